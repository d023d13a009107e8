#pragma once

#include <string>
#include <vector>

#include "driver/domain/domain.h"
#include "driver/emulator/capabilities.h"
#include "driver/emulator/properties.h"
#include "driver/emulator/resources.h"

/// Inside of the folder: what the two emulators' files share.
namespace emulator {

/// What a device's options are made from, besides the device.
struct Context {
  const domain::Domain& domain;
  const Resources& resources;
  const Capabilities& capabilities;
  bool qemu() const { return capabilities.kind == Kind::qemu; }
};

using Options = std::vector<Option>;

/// CONFIG_UNSUPPORTED, in the emulator's name: "stratovirt: DETAIL".
[[noreturn]] void unsupported(const Context& context, const std::string& detail);

void add(Properties& properties, const Properties& more);
/// An id made from another's: prefix and alias, its last bytes when both are above 255 together.
std::string related_id(std::string_view prefix, std::string_view alias);
/// The directory of guest memory. Throws Error: INTERNAL_ERROR when none was prepared.
const std::string& memory_dir(const Context& context);
/// Where a device sits: {"bus", "pci.1"}, {"addr", "0x0"}.
Properties pci_address(const Context& context, const domain::DeviceInfo& info);
/// What a disk or an interface boots as: its own order, else its kind's place in os/boot when it is the first of its
/// kind.
std::optional<std::uint64_t> boot_index(const domain::Domain& domain, const domain::Disk& disk);
std::optional<std::uint64_t> boot_index(const domain::Domain& domain, const domain::Interface& interface);
/// All devices in the order of the command line.
std::vector<domain::Device> devices_of(const domain::Domain& domain);

/// The -smbios options of <sysinfo> where os/smbios asks for them.
Options smbios(const Context& context);

// Devices that both emulators take alike.
Options controller(const Context& context, const domain::Controller& controller);
Options rng(const Context& context, const domain::Rng& rng);
Options vsock(const Context& context, const domain::Vsock& vsock);
Options hostdev(const Context& context, const domain::Hostdev& hostdev);
Option netdev(const Context& context, const domain::Interface& interface);
Properties network_card(const Context& context, const domain::Interface& interface);
Option chardev(const Context& context, const domain::CharacterSource& source, const domain::DeviceInfo& info);

// stratovirt.cc, qemu.cc: the machine, from the name to the monitor and the kernel; and the devices that differ.
Options stratovirt_machine(const Context& context);
Options stratovirt_device(const Context& context, const domain::Device& device);
Options qemu_machine(const Context& context);
Options qemu_device(const Context& context, const domain::Device& device);

/// Calls the one of several callables that takes the alternative.
template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

}  // namespace emulator
