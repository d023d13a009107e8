#include "driver/emulator/capabilities.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <type_traits>
#include <utility>

#include "driver/core/error.h"
#include "driver/emulator/properties.h"

namespace emulator {
namespace {

using core::Error;
using core::ErrorCode;
using nlohmann::json;

/// "7.2.22" at the beginning of `text`; what is missing is 0.
bool read_numbers(std::string_view& text, Version& version) {
  bool first = true;
  for (unsigned* number : {&version.major, &version.minor, &version.micro}) {
    if (!first) {
      if (!text.starts_with('.')) break;
      text.remove_prefix(1);
    }
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
    if (error != std::errc{} || *number > 999) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    first = false;
  }
  return true;
}

[[noreturn]] void broken(std::string_view query) {
  throw Error(ErrorCode::internal_error, "broken reply to " + std::string(query));
}

/// Calls `take` with each object of the list that is the reply.
template <class Take>
void each(std::string_view query, const json& list, const Take& take) {
  if (!list.is_array()) broken(query);
  for (const json& item : list) {
    if (!item.is_object()) broken(query);
    take(item);
  }
}

/// A member that may be missing.
template <class T>
std::optional<T> member(std::string_view query, const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return std::nullopt;
  bool fits = false;
  if constexpr (std::is_same_v<T, std::string>) fits = found->is_string();
  if constexpr (std::is_same_v<T, bool>) fits = found->is_boolean();
  if constexpr (std::is_same_v<T, unsigned>)
    fits = found->is_number_unsigned() && std::in_range<unsigned>(found->template get<std::uint64_t>());
  if (!fits) broken(query);
  return found->template get<T>();
}

template <Names Capabilities::* into>
void read_names(Capabilities& capabilities, std::string_view query, const json& reply, const char* name) {
  std::set<std::string> names;
  each(query, reply, [&](const json& item) {
    if (auto text = member<std::string>(query, item, name)) names.insert(std::move(*text));
  });
  capabilities.*into = std::move(names);
}

void read_monitor(Capabilities& capabilities, std::string_view query, const json& reply, const char* name) {
  const auto qemu = reply.is_object() ? reply.find(name) : reply.end();
  if (!reply.is_object() || qemu == reply.end() || !qemu->is_object()) broken(query);
  const auto number = [&](const char* which) { return member<unsigned>(query, *qemu, which).value_or(0); };
  capabilities.monitor = {number("major"), number("minor"), number("micro")};
}

void read_target(Capabilities& capabilities, std::string_view query, const json& reply, const char* name) {
  if (!reply.is_object()) broken(query);
  capabilities.arch = member<std::string>(query, reply, name).value_or("");
}

void read_kvm(Capabilities& capabilities, std::string_view query, const json& reply, const char* name) {
  if (!reply.is_object()) broken(query);
  capabilities.kvm = member<bool>(query, reply, name).value_or(false);
}

void read_machines(Capabilities& capabilities, std::string_view query, const json& reply, const char* name) {
  std::map<std::string, Machine> machines;
  each(query, reply, [&](const json& item) {
    const auto canonical = member<std::string>(query, item, name);
    if (!canonical) return;
    const Machine machine{*canonical, member<unsigned>(query, item, "cpu-max").value_or(0)};
    if (auto alias = member<std::string>(query, item, "alias")) machines.insert_or_assign(std::move(*alias), machine);
    machines.insert_or_assign(*canonical, machine);
  });
  capabilities.machines = std::move(machines);
}

void read_cpus(Capabilities& capabilities, std::string_view query, const json& reply, const char* name) {
  std::map<std::string, bool> cpus;
  each(query, reply, [&](const json& item) {
    const auto model = member<std::string>(query, item, name);
    const auto missing = item.find("unavailable-features");
    if (model) cpus[*model] = missing == item.end() || missing->empty();
  });
  capabilities.cpus = std::move(cpus);
}

/// One query of the probe, how its reply is read, and the member that is looked for in it.
struct Query {
  std::string_view command;
  void (*read)(Capabilities& capabilities, std::string_view query, const json& reply, const char* name);
  const char* member;
  bool qemu_alone = false;  ///< a StratoVirt has no such command
};
constexpr Query queries[] = {
    {"query-version", read_monitor, "qemu"},
    {"query-target", read_target, "arch"},
    {"query-kvm", read_kvm, "present"},
    {"query-machines", read_machines, "name"},
    {"query-command-line-options", read_names<&Capabilities::options>, "option"},
    {"qom-list-types", read_names<&Capabilities::types>, "name"},
    {"query-commands", read_names<&Capabilities::commands>, "name"},
    {"query-cpu-definitions", read_cpus, "name", true},
};

}  // namespace

Kind default_kind(domain::Type type) {
  return type == domain::Type::kvm ? Kind::stratovirt : Kind::qemu;
}

std::string_view to_string(Kind kind) {
  return kind == Kind::stratovirt ? "stratovirt" : "qemu";
}

std::string default_program(domain::Type type, domain::Arch arch) {
  if (default_kind(type) == Kind::stratovirt) return "stratovirt";
  return arch == domain::Arch::x86_64 ? "qemu-system-x86_64" : "qemu-system-aarch64";
}

std::string to_string(const Version& version) {
  return std::to_string(version.major) + '.' + std::to_string(version.minor) + '.' + std::to_string(version.micro);
}

void require_runs(const Capabilities& capabilities, const domain::Domain& domain, const std::string& path) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorCode::config_unsupported, "Emulator '" + path + "' does not support " + what);
  };
  const std::string type(domain::to_string(domain.type)), arch(domain::to_string(domain.os.arch));
  const bool kvm = domain.type == domain::Type::kvm;
  if (capabilities.kind == Kind::stratovirt && !kvm)
    refuse("virt type '" + type + "': it is a StratoVirt, which needs KVM; name a QEMU, or write type='kvm'");
  if (!capabilities.arch.empty() && capabilities.arch != arch) refuse("arch '" + arch + "'");
  if (kvm && !capabilities.kvm) refuse("virt type '" + type + "'");
  // A StratoVirt has one version of its machine.
  const auto& machines = *capabilities.machines;
  if (capabilities.kind == Kind::qemu && !machines.empty() && !machines.contains(domain.os.machine))
    refuse("machine type '" + domain.os.machine + "'");
}

Capabilities assumed(Kind kind, domain::Arch arch) {
  Capabilities result;
  result.kind = kind;
  result.arch = domain::to_string(arch);
  result.version = kind == Kind::stratovirt ? Version{2, 5, 0} : Version{7, 2, 0};
  return result;
}

Capabilities read_version(std::string_view text) {
  constexpr std::pair<std::string_view, Kind> beginnings[] = {{"StratoVirt ", Kind::stratovirt},
                                                              {"QEMU emulator version ", Kind::qemu}};
  for (const auto& [beginning, kind] : beginnings) {
    const auto at = text.find(beginning);
    if (at == std::string_view::npos) continue;
    Capabilities result;
    result.kind = kind;
    auto rest = text.substr(at + beginning.size());
    if (!read_numbers(rest, result.version)) break;
    const auto line = rest.substr(0, rest.find('\n'));
    if (const auto open = line.find('('); open != std::string_view::npos) {
      if (const auto close = line.rfind(')'); close != std::string_view::npos && close > open) {
        result.package = line.substr(open + 1, close - open - 1);
        for (char& byte : result.package)  // it goes into documents of text
          if (byte < ' ' || byte > '~') byte = '?';
      }
    }
    return result;
  }
  throw Error(ErrorCode::internal_error,
              "neither StratoVirt nor QEMU prints the version '" + std::string(text.substr(0, 80)) + "'");
}

std::string version_line(const Capabilities& capabilities) {
  const std::string begin = capabilities.kind == Kind::stratovirt ? "StratoVirt " : "QEMU emulator version ";
  return begin + to_string(capabilities.version) +
         (capabilities.package.empty() ? std::string() : " (" + capabilities.package + ")");
}

std::vector<std::string> probe_arguments(Kind kind, const std::string& monitor_path) {
  const Option monitor{"-qmp", "unix:" + monitor_path,
                       kind == Kind::qemu ? Properties{{"server", true}, {"wait", false}}
                                          : Properties{{"server", Flag{}}, {"nowait", Flag{}}}};
  if (kind == Kind::stratovirt) return {"-machine", "none", monitor.flag, render(monitor, kind)};
  return {"-S",
          "-no-user-config",
          "-nodefaults",
          "-display",
          "none",
          "-machine",
          "none",
          "-accel",
          "tcg",
          "-monitor",
          "none",
          monitor.flag,
          render(monitor, kind)};
}

std::vector<std::string> probe_queries(Kind kind) {
  std::vector<std::string> result;
  for (const Query& query : queries)
    if (kind == Kind::qemu || !query.qemu_alone) result.emplace_back(query.command);
  return result;
}

void read_probe(Capabilities& capabilities, std::string_view query, const json& reply) {
  for (const Query& row : queries) {
    if (row.command == query) row.read(capabilities, query, reply, row.member);
  }
}

std::string to_text(const Capabilities& capabilities) {
  json machines = json::object();
  for (const auto& [name, machine] : *capabilities.machines) machines[name] = {machine.canonical, machine.most_vcpus};
  const Version& monitor = capabilities.monitor;
  return json{{"version", version_line(capabilities)},
              {"monitor", {monitor.major, monitor.minor, monitor.micro}},
              {"arch", capabilities.arch},
              {"kvm", capabilities.kvm},
              {"machines", std::move(machines)},
              {"cpus", *capabilities.cpus},
              {"options", *capabilities.options},
              {"types", *capabilities.types},
              {"commands", *capabilities.commands}}
      .dump();
}

Capabilities read_text(std::string_view text) {
  try {
    const json value = json::parse(text);
    Capabilities result = read_version(value.at("version").get<std::string>());
    const json& monitor = value.at("monitor");
    result.monitor = {monitor.at(0), monitor.at(1), monitor.at(2)};
    result.arch = value.at("arch");
    result.kvm = value.at("kvm");
    std::map<std::string, Machine> machines;
    for (const auto& [name, machine] : value.at("machines").items()) machines[name] = {machine.at(0), machine.at(1)};
    result.machines = std::move(machines);
    result.cpus = value.at("cpus").get<std::map<std::string, bool>>();
    result.options = value.at("options").get<std::set<std::string>>();
    result.types = value.at("types").get<std::set<std::string>>();
    result.commands = value.at("commands").get<std::set<std::string>>();
    return result;
  } catch (const json::exception& wrong) {
    throw Error(ErrorCode::internal_error, std::string("no text of capabilities: ") + wrong.what());
  }
}

}  // namespace emulator
