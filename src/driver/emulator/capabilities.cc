#include "driver/emulator/capabilities.h"

#include <charconv>
#include <nlohmann/json.hpp>

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

/// The strings under `name` of a list of objects.
std::set<std::string> names(std::string_view query, const json& list, const char* name) {
  const auto broken = [&] { return Error(ErrorCode::internal_error, "broken reply to " + std::string(query)); };
  if (!list.is_array()) throw broken();
  std::set<std::string> result;
  for (const json& item : list) {
    if (!item.is_object()) throw broken();
    const auto found = item.find(name);
    if (found == item.end()) continue;
    if (!found->is_string()) throw broken();
    result.insert(found->get<std::string>());
  }
  return result;
}

/// One query of the probe: the member of each item of its reply that names something, and where the names go.
struct Query {
  std::string_view command;
  std::vector<const char*> members;
  std::set<std::string> Capabilities::* into;
};
const std::vector<Query>& queries() {
  static const std::vector<Query> table = {
      {"query-machines", {"name", "alias"}, &Capabilities::machines},
      {"query-command-line-options", {"option"}, &Capabilities::options},
      {"qom-list-types", {"name"}, &Capabilities::types},
      {"query-commands", {"name"}, &Capabilities::commands},
  };
  return table;
}

}  // namespace

Kind kind_of(domain::Type type) {
  return type == domain::Type::kvm ? Kind::stratovirt : Kind::qemu;
}

std::string_view to_string(Kind kind) {
  return kind == Kind::stratovirt ? "stratovirt" : "qemu";
}

std::string default_program(domain::Type type, domain::Arch arch) {
  if (kind_of(type) == Kind::stratovirt) return "stratovirt";
  return arch == domain::Arch::x86_64 ? "qemu-system-x86_64" : "qemu-system-aarch64";
}

std::string to_string(const Version& version) {
  return std::to_string(version.major) + '.' + std::to_string(version.minor) + '.' + std::to_string(version.micro);
}

Capabilities assumed(Kind kind, domain::Arch arch) {
  Capabilities result;
  result.kind = kind;
  result.arch = arch;
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

std::vector<std::string> probe_queries() {
  std::vector<std::string> result;
  for (const Query& query : queries()) result.emplace_back(query.command);
  return result;
}

void read_probe(Capabilities& capabilities, std::string_view query, const json& reply) {
  for (const Query& row : queries()) {
    if (row.command != query) continue;
    for (const char* member : row.members) (capabilities.*row.into).merge(names(query, reply, member));
  }
}

}  // namespace emulator
