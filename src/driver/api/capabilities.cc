#include "driver/api/capabilities.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "driver/core/error.h"
#include "driver/core/xml.h"
#include "driver/emulator/capabilities.h"
#include "driver/host/facts.h"
#include "driver/host/spawn.h"
#include "driver/instance/probe.h"

namespace api {
namespace {

using core::Error;
using core::ErrorCode;
using core::XmlWriter;
using domain::Arch;
using domain::Type;

/// What can be run, where its program is: vCPUs as the machine of that type has at most.
struct Guest {
  Arch arch;
  const char* machine;
  const char* machine_versions;  ///< what names of other versions begin with
  unsigned qemu_vcpus;
};
constexpr std::array<Guest, 2> guests{{{Arch::x86_64, "q35", "pc-q35-", 288}, {Arch::aarch64, "virt", "virt-", 512}}};
constexpr unsigned stratovirt_vcpus = 254;

unsigned most_vcpus(const Guest& guest, Type type) {
  return type == Type::kvm ? stratovirt_vcpus : guest.qemu_vcpus;
}

/// The processor is the same as long as this process lives.
const host::CpuModel& cpu_model() {
  static const host::CpuModel model = host::cpu_model();
  return model;
}

std::optional<std::string> program(Type type, Arch arch) {
  return host::find_program(emulator::default_program(type, arch));
}

/// A StratoVirt where the host is of that architecture and has KVM.
std::optional<std::string> stratovirt(Arch arch) {
  if (cpu_model().arch != domain::to_string(arch) || !host::kvm().available) return {};
  return program(Type::kvm, arch);
}

/// libvirt's name (its cpu_map) for the newest model that has no more than this processor.
struct NamedModel {
  const char* vendor;
  unsigned family, first, last;  ///< models from first to last
  const char* name;
};
constexpr NamedModel named_models[] = {
    {"Intel", 6, 26, 31, "Nehalem"},
    {"Intel", 6, 37, 37, "Westmere"},
    {"Intel", 6, 42, 42, "SandyBridge"},
    {"Intel", 6, 44, 44, "Westmere"},
    {"Intel", 6, 45, 45, "SandyBridge"},
    {"Intel", 6, 58, 58, "IvyBridge"},
    {"Intel", 6, 60, 60, "Haswell"},
    {"Intel", 6, 61, 61, "Broadwell"},
    {"Intel", 6, 62, 62, "IvyBridge"},
    {"Intel", 6, 63, 63, "Haswell"},
    {"Intel", 6, 69, 70, "Haswell"},
    {"Intel", 6, 71, 71, "Broadwell"},
    {"Intel", 6, 78, 78, "Skylake-Client"},
    {"Intel", 6, 79, 79, "Broadwell"},
    {"Intel", 6, 85, 85, "Skylake-Server"},
    {"Intel", 6, 86, 86, "Broadwell"},
    {"Intel", 6, 94, 94, "Skylake-Client"},
    {"Intel", 6, 106, 108, "Icelake-Server"},
    {"Intel", 6, 142, 142, "Skylake-Client"},
    {"Intel", 6, 158, 158, "Skylake-Client"},
    {"AMD", 23, 1, 47, "EPYC"},
    {"AMD", 23, 48, 255, "EPYC-Rome"},
    {"AMD", 25, 0, 255, "EPYC-Milan"},
};

std::string model_name(const host::CpuModel& cpu) {
  const auto found = std::ranges::find_if(named_models, [&](const NamedModel& one) {
    return cpu.vendor == one.vendor && cpu.family == one.family && cpu.model >= one.first && cpu.model <= one.last;
  });
  if (found != std::end(named_models)) return found->name;
  return cpu.arch == "x86_64" ? "kvm64" : std::string();  // what every one of them has
}

void write_cpu(XmlWriter& xml, const std::vector<host::Cell>& cells) {
  const host::CpuModel& cpu = cpu_model();
  xml.start("cpu").element("arch", cpu.arch);
  if (const std::string name = model_name(cpu); !name.empty()) xml.element("model", name);
  if (!cpu.vendor.empty()) xml.element("vendor", cpu.vendor);
  if (cpu.microcode) xml.start("microcode").attribute("version", *cpu.microcode).end();
  if (cpu.family > 0) {
    xml.start("signature").attribute("family", cpu.family).attribute("model", cpu.model);
    xml.attribute("stepping", cpu.stepping).end();
  }
  const host::NodeInfo info = host::node_info();
  xml.start("topology").attribute("sockets", info.sockets).attribute("dies", 1);
  xml.attribute("cores", info.cores).attribute("threads", info.threads).end();
  for (const std::string& feature : cpu.features) xml.start("feature").attribute("name", feature).end();
  if (!cells.empty()) {
    for (const auto& pages : cells.front().pages) {
      xml.start("pages").attribute("unit", "KiB").attribute("size", pages.size_kib).end();
    }
  }
  xml.end();
}

void write_cell(XmlWriter& xml, const host::Cell& cell) {
  xml.start("cell").attribute("id", cell.id);
  xml.start("memory").attribute("unit", "KiB").text(std::to_string(cell.memory_kib)).end();
  for (const auto& pages : cell.pages) {
    xml.start("pages").attribute("unit", "KiB").attribute("size", pages.size_kib);
    xml.text(std::to_string(pages.count)).end();
  }
  if (!cell.distances.empty()) {
    xml.start("distances");
    for (const auto& [id, distance] : cell.distances) {
      xml.start("sibling").attribute("id", id).attribute("value", distance).end();
    }
    xml.end();
  }
  xml.start("cpus").attribute("num", cell.cpus.size());
  for (const auto& one : cell.cpus) {
    xml.start("cpu").attribute("id", one.id).attribute("socket_id", one.socket).attribute("die_id", one.die);
    xml.attribute("core_id", one.core).attribute("siblings", one.siblings).end();
  }
  xml.end().end();
}

void write_machine(XmlWriter& xml, const Guest& guest, Type type) {
  xml.start("machine").attribute("maxCpus", most_vcpus(guest, type)).text(guest.machine).end();
}

/// qemu where a QEMU is; kvm where KVM and a StratoVirt are there.
void write_guest(XmlWriter& xml, const Guest& guest) {
  const auto qemu = program(Type::qemu, guest.arch);
  const auto kvm = stratovirt(guest.arch);
  if (!qemu && !kvm) return;
  xml.start("guest").element("os_type", "hvm").start("arch").attribute("name", domain::to_string(guest.arch));
  xml.element("wordsize", "64").element("emulator", qemu ? *qemu : *kvm);
  write_machine(xml, guest, qemu ? Type::qemu : Type::kvm);
  if (qemu) xml.start("domain").attribute("type", "qemu").end();
  if (kvm) {
    xml.start("domain").attribute("type", "kvm").element("emulator", *kvm);
    write_machine(xml, guest, Type::kvm);
    xml.end();
  }
  xml.end().start("features");
  xml.start("acpi").attribute("default", "on").attribute("toggle", "no").end();
  if (guest.arch == Arch::x86_64) xml.start("apic").attribute("default", "on").attribute("toggle", "no").end();
  xml.element("deviceboot").end().end();
}

void write_enum(XmlWriter& xml, const char* name, std::initializer_list<const char*> values) {
  xml.start("enum").attribute("name", name);
  for (const char* value : values) xml.element("value", value);
  xml.end();
}

XmlWriter& supported(XmlWriter& xml, const char* element, bool yes) {
  return xml.start(element).attribute("supported", yes ? "yes" : "no");
}

void write_cpu_modes(XmlWriter& xml, Type type) {
  const auto mode = [&](const char* name, bool yes) {
    xml.start("mode").attribute("name", name).attribute("supported", yes ? "yes" : "no").end();
  };
  xml.start("cpu");
  mode("host-passthrough", type == Type::kvm);
  mode("maximum", true);
  mode("host-model", false);
  mode("custom", type == Type::qemu);
  xml.end();
}

void write_devices(XmlWriter& xml) {
  xml.start("devices");
  supported(xml, "disk", true);
  write_enum(xml, "diskDevice", {"disk"});
  write_enum(xml, "bus", {"virtio"});
  write_enum(xml, "model", {"virtio"});
  xml.end();
  for (const char* missing : {"graphics", "video"}) supported(xml, missing, false).end();
  supported(xml, "hostdev", true);
  write_enum(xml, "mode", {"subsystem"});
  write_enum(xml, "subsysType", {"pci"});
  write_enum(xml, "pciBackend", {"vfio"});
  xml.end();
  supported(xml, "rng", true);
  write_enum(xml, "model", {"virtio"});
  write_enum(xml, "backendModel", {"random"});
  xml.end();
  for (const char* missing : {"filesystem", "tpm", "redirdev", "channel"}) supported(xml, missing, false).end();
  xml.end();
}

void write_features(XmlWriter& xml, Arch arch) {
  xml.start("features");
  supported(xml, "gic", arch == Arch::aarch64);
  if (arch == Arch::aarch64) write_enum(xml, "version", {"3"});
  xml.end();
  for (const char* missing : {"vmcoreinfo", "genid", "backingStoreInput", "backup", "sev", "sgx"}) {
    supported(xml, missing, false).end();
  }
  xml.end();
}

/// Every architecture that libvirt has a name for (its schema's archnames).
constexpr std::string_view architectures[] = {
    "aarch64", "alpha",     "armv6l",      "armv7b", "armv7l",     "cris",         "i686",  "ia64",
    "itanium", "lm32",      "loongarch64", "m68k",   "microblaze", "microblazeel", "mips",  "mipsel",
    "mips64",  "mips64el",  "openrisc",    "parisc", "parisc64",   "ppc",          "ppc64", "ppc64le",
    "ppcemb",  "riscv32",   "riscv64",     "s390",   "s390x",      "sh4",          "sh4eb", "sparc",
    "sparc64", "unicore32", "x86_64",      "xtensa", "xtensaeb"};

const Guest& find_guest(const std::string& arch) {
  if (std::ranges::find(architectures, arch) == std::end(architectures)) {
    throw Error(ErrorCode::invalid_arg, "unknown architecture: " + arch);
  }
  const auto found =
      std::ranges::find_if(guests, [&](const Guest& one) { return domain::to_string(one.arch) == arch; });
  if (found == guests.end()) {
    throw Error(ErrorCode::config_unsupported, "unable to find any emulator to serve '" + arch + "' architecture");
  }
  return *found;
}

std::optional<Type> find_type(const std::string& name) {
  for (const Type type : {Type::kvm, Type::qemu}) {
    if (domain::to_string(type) == name) return type;
  }
  return {};
}

/// Which type a program serves, and where its name tells it the only architecture; checks it against what was asked.
Type type_of(const std::string& path, const Guest& guest) {
  if (::access(path.c_str(), X_OK) < 0) throw Error::system(errno, "Cannot check QEMU binary " + path);
  const Type type = instance::probe(path).kind == emulator::Kind::stratovirt ? Type::kvm : Type::qemu;
  for (const Guest& other : guests) {
    const bool named = type == Type::qemu && path.ends_with("/" + emulator::default_program(type, other.arch));
    if (named && other.arch != guest.arch) {
      throw Error(ErrorCode::invalid_arg, "architecture from emulator '" + std::string(domain::to_string(other.arch)) +
                                              "' doesn't match given architecture '" +
                                              std::string(domain::to_string(guest.arch)) + "'");
    }
  }
  return type;
}

}  // namespace

std::string capabilities_xml() {
  static const std::optional<std::string> uuid = host::host_uuid();
  const auto cells = host::cells();
  XmlWriter xml;
  xml.start("capabilities").start("host");
  if (uuid) xml.element("uuid", *uuid);
  write_cpu(xml, cells);
  xml.element("power_management");
  std::error_code unreadable;
  const bool iommu = !std::filesystem::is_empty("/sys/kernel/iommu_groups", unreadable) && !unreadable;
  xml.start("iommu").attribute("support", iommu ? "yes" : "no").end();
  xml.start("topology").start("cells").attribute("num", cells.size());
  for (const host::Cell& cell : cells) write_cell(xml, cell);
  xml.end().end();
  xml.start("secmodel").element("model", "none").element("doi", "0").end();
  xml.end();
  for (const Guest& guest : guests) write_guest(xml, guest);
  xml.end();
  return xml.take();
}

std::string domain_capabilities_xml(const Question& question) {
  const Guest& guest = find_guest(question.arch.value_or(cpu_model().arch));
  std::optional<Type> wanted;
  if (question.type) {
    wanted = find_type(*question.type);
    if (!wanted) throw Error(ErrorCode::invalid_arg, "unknown virttype: " + *question.type);
  }
  const auto kvm = stratovirt(guest.arch);
  Type type = wanted.value_or(kvm ? Type::kvm : Type::qemu);
  std::string path;
  if (question.program) {
    path = *question.program;
    const Type its = type_of(path, guest);
    if (!wanted) type = its;
    const bool usable = its == type && (type == Type::qemu || host::kvm().available);
    if (!usable) wanted = type, path.clear();
  } else if (const auto found = type == Type::kvm ? kvm : program(Type::qemu, guest.arch)) {
    path = *found;
  }
  if (path.empty()) {
    if (!wanted) {
      throw Error(ErrorCode::config_unsupported, "unable to find any emulator to serve '" +
                                                     std::string(domain::to_string(guest.arch)) + "' architecture");
    }
    const std::string by = question.program.value_or(emulator::default_program(type, guest.arch));
    throw Error(ErrorCode::invalid_arg, "the accel '" + std::string(type == Type::kvm ? "kvm" : "tcg") +
                                            "' is not supported by '" + by + "' on this host");
  }
  const std::string machine = question.machine.value_or(guest.machine);
  if (machine != guest.machine && !machine.starts_with(guest.machine_versions)) {
    throw Error(ErrorCode::invalid_arg, "the machine '" + machine + "' is not supported by emulator '" + path + "'");
  }

  XmlWriter xml;
  xml.start("domainCapabilities").element("path", path).element("domain", domain::to_string(type));
  xml.element("machine", machine).element("arch", domain::to_string(guest.arch));
  xml.start("vcpu").attribute("max", most_vcpus(guest, type)).end();
  supported(xml, "iothreads", true).end();
  supported(xml, "os", true);
  supported(xml, "loader", true);
  write_enum(xml, "type", {"pflash"});
  write_enum(xml, "readonly", {"yes", "no"});
  write_enum(xml, "secure", {"no"});
  xml.end().end();
  write_cpu_modes(xml, type);
  supported(xml, "memoryBacking", true);
  write_enum(xml, "sourceType", {"file", "anonymous", "memfd"});
  xml.end();
  write_devices(xml);
  write_features(xml, guest.arch);
  xml.end();
  return xml.take();
}

unsigned max_vcpus(const std::optional<std::string>& type) {
  const auto found = type ? find_type(*type) : std::nullopt;
  if (type && !found) throw Error(ErrorCode::invalid_arg, "unknown type '" + *type + "'");
  const host::Availability kvm = host::kvm();
  if (found == Type::kvm && !kvm.available) throw Error(ErrorCode::system_error, "Unable to use KVM: " + kvm.reason);
  const Guest& guest = find_guest(cpu_model().arch);
  return most_vcpus(guest, found.value_or(stratovirt(guest.arch) ? Type::kvm : Type::qemu));
}

void require_architecture(const std::string& name) {
  if (std::ranges::find(architectures, name) == std::end(architectures)) {
    throw Error(ErrorCode::invalid_arg, "cannot find architecture " + name);
  }
}

}  // namespace api
