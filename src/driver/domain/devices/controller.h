#pragma once

#include <optional>
#include <string>

#include "driver/domain/devices/address.h"

namespace domain {

/// A PCI or virtio-serial controller (libvirt formatdomain "Controllers").
struct Controller {
  enum class Type { pci, virtio_serial };
  enum class Model { none, pcie_root, pcie_root_port };  ///< of a pci controller
  Type type = Type::pci;
  Model model = Model::none;
  unsigned index = 0;               ///< of a pci controller: the number of the bus behind it
  std::optional<unsigned> chassis;  ///< target@chassis of a root port
  std::optional<unsigned> port;     ///< target@port of a root port
  std::optional<unsigned> ports;    ///< of a virtio-serial controller, 1-31
  std::optional<unsigned> vectors;  ///< of a virtio-serial controller
  DeviceInfo info;
  friend bool operator==(const Controller&, const Controller&) = default;
};

/// Reads and checks the element by itself. `live` keeps what only a running domain has.
Controller parse_controller(const core::XmlNode& node, bool live);
/// Reads what a controller is looked up by: its type and index. Nothing for a type that no machine here has.
std::optional<Controller> parse_controller_pattern(const core::XmlNode& node);
void format(core::XmlWriter& writer, const Controller& controller, bool live);

}  // namespace domain
