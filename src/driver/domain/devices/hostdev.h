#pragma once

#include <optional>

#include "driver/domain/devices/address.h"

namespace domain {

/// A PCI device of the host given to the guest through VFIO (libvirt formatdomain "Host device assignment").
struct Hostdev {
  PciAddress source;
  bool managed = false;
  std::optional<bool> vfio_driver;  ///< driver@name='vfio' written
  DeviceInfo info;
  friend bool operator==(const Hostdev&, const Hostdev&) = default;
};

/// Reads and checks the element by itself. `live` keeps what only a running domain has.
Hostdev parse_hostdev(const core::XmlNode& node, bool live);
/// Reads what a host device is looked up by: its address on the host. Nothing for one that is not of PCI.
std::optional<Hostdev> parse_hostdev_pattern(const core::XmlNode& node);
void format(core::XmlWriter& writer, const Hostdev& hostdev, bool live);

}  // namespace domain
