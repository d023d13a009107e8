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

}  // namespace domain
