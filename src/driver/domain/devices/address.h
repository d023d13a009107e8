#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

namespace core {
class XmlNode;
class XmlWriter;
}  // namespace core

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

/// What becomes of an alias that is written: libvirt's drivers keep those with "ua-" only, StratoVirt's guide names
/// some more.
enum class AliasRule { user_only, any };

/// Whether a description keeps the alias, or drops it for one that is chosen at start.
bool is_kept(const std::string& alias, AliasRule rule);

/// Reads <address> of type pci; nothing where none is written or it is all zero, which libvirt reads as "choose one".
std::optional<PciAddress> parse_address(const core::XmlNode& device);
/// Reads boot@order, alias and address below a device. `live` keeps every alias.
DeviceInfo parse_info(const core::XmlNode& device, AliasRule rule, bool live);
/// Writes boot@order, the alias where it is kept or the view is live, and the address.
void format_info(core::XmlWriter& writer, const DeviceInfo& info, AliasRule rule, bool live);

/// "0000:01:00.0"
std::string to_string(const PciAddress& address);

}  // namespace domain
