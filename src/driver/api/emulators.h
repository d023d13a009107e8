#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "driver/domain/domain.h"
#include "driver/emulator/capabilities.h"
#include "driver/host/facts.h"
#include "driver/instance/prober.h"

/// The emulators of this host, as they say themselves.
namespace api {

/// A program and what it can do.
struct Emulator {
  std::string path;
  emulator::Capabilities capabilities;
};

/// An architecture that can be run, with the machine that descriptions name.
struct Guest {
  domain::Arch arch;
  const char* machine;
  const char* machine_versions;  ///< what names of other versions begin with
  unsigned qemu_vcpus;           ///< as many as a description may have
  bool is_machine(const std::string& name) const { return name == machine || name.starts_with(machine_versions); }
};
inline constexpr std::array<Guest, 2> guests{
    {{domain::Arch::x86_64, "q35", "pc-q35-", 288}, {domain::Arch::aarch64, "virt", "virt-", 512}}};
/// Throws Error: INVALID_ARG for what libvirt has no architecture of, CONFIG_UNSUPPORTED for one nobody serves here.
const Guest& find_guest(const std::string& arch);

/// The processor, which is the same as long as this process lives.
const host::CpuModel& host_cpu();
/// libvirt's name for the newest model that has no more than this processor; empty for none.
std::string host_cpu_model();

/// What runs domains of a type that name no emulator; nothing where it is not installed, does not tell what it can do,
/// or, of type kvm, where the host has no KVM for that architecture.
core::Task<std::optional<Emulator>> default_emulator(instance::Prober* prober, domain::Type type, domain::Arch arch);

/// The most vCPUs of that machine on that emulator.
unsigned most_vcpus(const Guest& guest, domain::Type type, const emulator::Capabilities& capabilities,
                    const std::string& machine);

/// The version that virConnectGetVersion tells: that of the QEMU that runs domains here, or whose monitor the
/// StratoVirt that runs them speaks. Throws Error: INTERNAL_ERROR where neither is installed.
core::Task<unsigned long> hypervisor_version(instance::Prober* prober);

}  // namespace api
