#include <unistd.h>

#include <algorithm>
#include <vector>

#include "driver/api/capabilities.h"
#include "driver/api/emulators.h"
#include "driver/core/error.h"
#include "driver/core/xml.h"
#include "driver/instance/firmware.h"

namespace api {
namespace {

using core::Error;
using core::ErrorCode;
using core::Task;
using core::XmlWriter;
using domain::Arch;
using domain::Type;

/// What is told of: a program that runs such a machine.
struct Subject {
  const Guest& guest;
  Type type;
  const Emulator& emulator;
  std::string machine;
  bool qemu() const { return emulator.capabilities.kind == emulator::Kind::qemu; }
  /// Of a StratoVirt its own documents tell, not its names of types.
  bool has(const char* device) const { return !qemu() || emulator.capabilities.has_type(device); }
};

void write_enum(XmlWriter& xml, const char* name, const std::vector<std::string>& values) {
  xml.start("enum").attribute("name", name);
  for (const std::string& value : values) xml.element("value", value);
  xml.end();
}

XmlWriter& supported(XmlWriter& xml, const char* element, bool yes) {
  return xml.start(element).attribute("supported", yes ? "yes" : "no");
}

/// What firmware a QEMU's machine can have: a choice of this host's, or an image by its path.
void write_os(XmlWriter& xml, const Subject& subject, const std::vector<emulator::Firmware>& all) {
  std::vector<std::string> kinds, loaders, secure;
  for (const emulator::Firmware& one : all) {
    if (!subject.qemu() || !one.fits(domain::to_string(subject.guest.arch), subject.machine)) continue;
    for (const auto& [interface, kind] : {std::pair{"bios", "bios"}, std::pair{"uefi", "efi"}}) {
      if (one.interfaces.contains(interface) && std::ranges::find(kinds, kind) == kinds.end()) kinds.emplace_back(kind);
    }
    if (one.has("requires-smm") && secure.empty()) secure.emplace_back("yes");
    if (std::ranges::find(loaders, one.code) == loaders.end()) loaders.push_back(one.code);
  }
  secure.emplace_back("no");
  supported(xml, "os", true);
  write_enum(xml, "firmware", kinds);
  supported(xml, "loader", true);
  for (const std::string& loader : loaders) xml.element("value", loader);
  write_enum(xml, "type", {"pflash"});
  write_enum(xml, "readonly", {"yes", "no"});
  write_enum(xml, "secure", secure);
  xml.end().end();
}

/// As a start goes: KVM passes the host's processor on for host-passthrough and host-model, software emulation does all
/// it can for either.
void write_cpu_modes(XmlWriter& xml, const Subject& subject) {
  const bool kvm = subject.type == Type::kvm;
  const auto mode = [&](const char* name, bool yes) -> XmlWriter& {
    return xml.start("mode").attribute("name", name).attribute("supported", yes ? "yes" : "no");
  };
  xml.start("cpu");
  mode("host-passthrough", true);
  if (kvm && subject.qemu()) write_enum(xml, "hostPassthroughMigratable", {"on", "off"});
  xml.end();
  mode("maximum", true).end();
  mode("host-model", true);
  const std::string model = kvm ? host_cpu_model() : "max";
  if (!model.empty()) xml.start("model").attribute("fallback", "forbid").text(model).end();
  if (kvm && !host_cpu().vendor.empty()) xml.element("vendor", host_cpu().vendor);
  xml.end();
  mode("custom", subject.qemu());
  if (subject.qemu()) {
    for (const auto& [name, usable] : *subject.emulator.capabilities.cpus) {
      xml.start("model").attribute("usable", kvm ? "unknown" : usable ? "yes" : "no");
      xml.attribute("vendor", "unknown").text(name).end();
    }
  }
  xml.end().end();
}

void write_devices(XmlWriter& xml, const Subject& subject) {
  xml.start("devices");
  supported(xml, "disk", subject.has("virtio-blk-pci"));
  write_enum(xml, "diskDevice", {"disk"});
  write_enum(xml, "bus", {"virtio"});
  write_enum(xml, "model", {"virtio"});
  xml.end();
  for (const char* missing : {"graphics", "video"}) supported(xml, missing, false).end();
  supported(xml, "hostdev", subject.has("vfio-pci"));
  write_enum(xml, "mode", {"subsystem"});
  write_enum(xml, "subsysType", {"pci"});
  write_enum(xml, "pciBackend", {"vfio"});
  xml.end();
  supported(xml, "rng", subject.has("virtio-rng-pci"));
  write_enum(xml, "model", {"virtio"});
  write_enum(xml, "backendModel", {"random"});
  xml.end();
  for (const char* missing : {"filesystem", "tpm", "redirdev", "channel"}) supported(xml, missing, false).end();
  xml.end();
}

void write_features(XmlWriter& xml, const Subject& subject) {
  const Arch arch = subject.guest.arch;
  xml.start("features");
  supported(xml, "gic", arch == Arch::aarch64);
  if (arch == Arch::aarch64) write_enum(xml, "version", {"3"});
  xml.end();
  supported(xml, "vmcoreinfo", false).end();
  supported(xml, "genid", subject.qemu() && arch == Arch::x86_64 && subject.has("vmgenid")).end();
  for (const char* missing : {"backingStoreInput", "backup", "sev", "sgx"}) {
    supported(xml, missing, false).end();
  }
  xml.end();
}

std::optional<Type> find_type(const std::string& name) {
  for (const Type type : {Type::kvm, Type::qemu}) {
    if (domain::to_string(type) == name) return type;
  }
  return {};
}

/// Whether a program runs domains of that type on this host.
bool runs(const emulator::Capabilities& capabilities, Type type, const Guest& guest) {
  if (type == Type::qemu) return capabilities.kind == emulator::Kind::qemu;
  return capabilities.kvm && host_cpu().arch == domain::to_string(guest.arch) && host::kvm().available;
}

}  // namespace

Task<std::string> domain_capabilities_xml(core::Loop* loop, instance::Prober* prober, const core::Layout* layout,
                                          Question question) {
  std::optional<Type> wanted;
  if (question.type) {
    wanted = find_type(*question.type);
    if (!wanted) throw Error(ErrorCode::invalid_arg, "unknown virttype: " + *question.type);
  }
  if (question.arch) find_guest(*question.arch);
  std::optional<Emulator> found;
  if (question.program) {
    found = Emulator{*question.program, co_await prober->ask(*question.program)};
    const std::string& its = found->capabilities.arch;
    if (!question.arch && !its.empty()) question.arch = its;
    if (!its.empty() && *question.arch != its) {
      throw Error(ErrorCode::invalid_arg,
                  "architecture from emulator '" + its + "' doesn't match given architecture '" + *question.arch + "'");
    }
  }
  const Guest& guest = find_guest(question.arch.value_or(host_cpu().arch));
  Type type = wanted.value_or(Type::kvm);
  if (question.program) {
    if (!wanted && !runs(found->capabilities, type, guest)) type = Type::qemu;
    if (!runs(found->capabilities, type, guest)) found.reset();
  } else {
    found = co_await default_emulator(prober, type, guest.arch);
    if (!found && !wanted) found = co_await default_emulator(prober, type = Type::qemu, guest.arch);
  }
  if (!found && !wanted && !question.program) {
    throw Error(ErrorCode::config_unsupported, "unable to find any emulator to serve '" +
                                                   std::string(domain::to_string(guest.arch)) + "' architecture");
  }
  if (!found) {
    const std::string by = question.program.value_or(emulator::default_program(type, guest.arch));
    throw Error(ErrorCode::invalid_arg, "the accel '" + std::string(type == Type::kvm ? "kvm" : "tcg") +
                                            "' is not supported by '" + by + "' on this host");
  }
  const std::string machine = question.machine.value_or(guest.machine);
  const auto& machines = *found->capabilities.machines;
  const bool qemu = found->capabilities.kind == emulator::Kind::qemu;
  if (!guest.is_machine(machine) || (qemu && !machines.empty() && !machines.contains(machine))) {
    throw Error(ErrorCode::invalid_arg,
                "the machine '" + machine + "' is not supported by emulator '" + found->path + "'");
  }
  const Subject subject{guest, type, *found, qemu ? found->capabilities.canonical(machine) : machine};
  const auto firmwares = co_await loop->blocking([&] {
    auto all = instance::read_firmwares(*layout);
    std::erase_if(all, [](const emulator::Firmware& one) { return ::access(one.code.c_str(), R_OK) < 0; });
    return all;
  });

  XmlWriter xml;
  xml.start("domainCapabilities").element("path", found->path).element("domain", domain::to_string(type));
  xml.element("machine", subject.machine).element("arch", domain::to_string(guest.arch));
  xml.start("vcpu").attribute("max", most_vcpus(guest, type, found->capabilities, subject.machine)).end();
  supported(xml, "iothreads", true).end();
  write_os(xml, subject, firmwares);
  write_cpu_modes(xml, subject);
  supported(xml, "memoryBacking", true);
  write_enum(xml, "sourceType", {"file", "anonymous", "memfd"});
  xml.end();
  write_devices(xml, subject);
  write_features(xml, subject);
  xml.end();
  co_return xml.take();
}

Task<unsigned> max_vcpus(instance::Prober* prober, std::optional<std::string> type) {
  const auto named = type ? find_type(*type) : std::nullopt;
  if (type && !named) throw Error(ErrorCode::invalid_arg, "unknown type '" + *type + "'");
  const host::Availability kvm = host::kvm();
  if (named == Type::kvm && !kvm.available) throw Error(ErrorCode::system_error, "Unable to use KVM: " + kvm.reason);
  const Guest& guest = find_guest(host_cpu().arch);
  for (const Type one : {Type::kvm, Type::qemu}) {
    if (named && *named != one) continue;
    if (const auto found = co_await default_emulator(prober, one, guest.arch))
      co_return most_vcpus(guest, one, found->capabilities, guest.machine);
  }
  co_return most_vcpus(guest, named.value_or(Type::qemu), {}, guest.machine);
}

}  // namespace api
