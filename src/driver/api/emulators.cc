#include "driver/api/emulators.h"

#include <algorithm>

#include "driver/api/capabilities.h"
#include "driver/core/error.h"
#include "driver/host/spawn.h"

namespace api {
namespace {

using core::Error;
using core::ErrorCode;
using core::Task;
using domain::Arch;
using domain::Type;

/// Every architecture that libvirt has a name for (its schema's archnames).
constexpr std::string_view architectures[] = {
    "aarch64", "alpha",     "armv6l",      "armv7b", "armv7l",     "cris",         "i686",  "ia64",
    "itanium", "lm32",      "loongarch64", "m68k",   "microblaze", "microblazeel", "mips",  "mipsel",
    "mips64",  "mips64el",  "openrisc",    "parisc", "parisc64",   "ppc",          "ppc64", "ppc64le",
    "ppcemb",  "riscv32",   "riscv64",     "s390",   "s390x",      "sh4",          "sh4eb", "sparc",
    "sparc64", "unicore32", "x86_64",      "xtensa", "xtensaeb"};

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

constexpr unsigned stratovirt_vcpus = 254;

}  // namespace

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

void require_architecture(const std::string& name) {
  if (std::ranges::find(architectures, name) == std::end(architectures)) {
    throw Error(ErrorCode::invalid_arg, "cannot find architecture " + name);
  }
}

const host::CpuModel& host_cpu() {
  static const host::CpuModel model = host::cpu_model();
  return model;
}

std::string host_cpu_model() {
  const host::CpuModel& cpu = host_cpu();
  const auto found = std::ranges::find_if(named_models, [&](const NamedModel& one) {
    return cpu.vendor == one.vendor && cpu.family == one.family && cpu.model >= one.first && cpu.model <= one.last;
  });
  if (found != std::end(named_models)) return found->name;
  return cpu.arch == "x86_64" ? "kvm64" : std::string();  // what every one of them has
}

Task<std::optional<Emulator>> default_emulator(instance::Prober* prober, Type type, Arch arch) {
  if (type == Type::kvm && (host_cpu().arch != domain::to_string(arch) || !host::kvm().available))
    co_return std::nullopt;
  const auto path = host::find_program(emulator::default_program(type, arch));
  if (!path) co_return std::nullopt;
  try {
    Emulator found{*path, co_await prober->ask(*path)};
    const bool right = found.capabilities.kind == emulator::default_kind(type) &&
                       (found.capabilities.arch.empty() || found.capabilities.arch == domain::to_string(arch));
    co_return right ? std::optional(std::move(found)) : std::nullopt;
  } catch (const Error&) {  // the prober has told of it
    co_return std::nullopt;
  }
}

unsigned most_vcpus(const Guest& guest, Type type, const emulator::Capabilities& capabilities,
                    const std::string& machine) {
  const unsigned allowed = type == Type::kvm ? stratovirt_vcpus : guest.qemu_vcpus;
  const auto found = capabilities.machines->find(machine);
  if (found == capabilities.machines->end() || found->second.most_vcpus == 0) return allowed;
  return std::min(allowed, found->second.most_vcpus);
}

Task<unsigned long> hypervisor_version(instance::Prober* prober) {
  for (const auto type : {Type::kvm, Type::qemu}) {
    for (const Guest& guest : guests) {
      const auto found = co_await default_emulator(prober, type, guest.arch);
      if (found) co_return (type == Type::kvm ? found->capabilities.monitor : found->capabilities.version).number();
    }
  }
  // A StratoVirt that cannot run for want of KVM still tells what it would be.
  if (const auto path = host::find_program(emulator::default_program(Type::kvm, Arch::x86_64)))
    co_return (co_await prober->ask(*path)).monitor.number();
  throw Error(ErrorCode::internal_error,
              "Cannot find suitable emulator: neither stratovirt nor a qemu-system-ARCH is installed");
}

}  // namespace api
