#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

namespace domain {

/// A place on the guest's PCI topology (libvirt formatdomain "Device Addresses", type 'pci'). Bus N is the bus behind
/// the controller of index N; slot 0-31, function 0-7.
struct PciAddress {
  std::uint16_t domain = 0;
  std::uint8_t bus = 0;
  std::uint8_t slot = 0;
  std::uint8_t function = 0;
  bool multifunction = false;
  friend auto operator<=>(const PciAddress&, const PciAddress&) = default;
};

/// What every device may carry besides its own values.
struct DeviceInfo {
  std::string alias;                  ///< the id to the emulator; empty until assigned
  std::optional<PciAddress> address;  ///< set by assign_addresses() where the device has one
  std::optional<unsigned> boot_order;
  friend bool operator==(const DeviceInfo&, const DeviceInfo&) = default;
};

}  // namespace domain
