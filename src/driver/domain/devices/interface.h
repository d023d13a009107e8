#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "driver/domain/devices/address.h"

namespace domain {

using Mac = std::array<std::uint8_t, 6>;
inline constexpr Mac any_mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};  ///< of a pattern without one; no card can have it

/// A network card on virtio-net with a tap behind it (libvirt formatdomain "Network interfaces").
struct Interface {
  enum class Type { bridge, ethernet };
  enum class Backend { unset, qemu, vhost };  ///< driver@name
  enum class Link { unset, up, down };

  Type type = Type::bridge;
  Mac mac{};
  std::string bridge;                  ///< source@bridge; empty for ethernet
  std::string target;                  ///< the tap's name; empty until started ("vnetN" then), at most 15 bytes
  std::optional<bool> target_managed;  ///< target@managed of an ethernet interface
  std::string model = "virtio";
  Backend backend = Backend::unset;
  std::optional<unsigned> queues;
  std::optional<unsigned> rx_queue_size, tx_queue_size;
  Link link = Link::unset;
  std::optional<unsigned> mtu;  ///< bytes
  DeviceInfo info;
  friend bool operator==(const Interface&, const Interface&) = default;
};

/// Reads and checks the element by itself. `live` keeps what only a running domain has.
Interface parse_interface(const core::XmlNode& node, bool live);
/// Reads what a card is looked up by: its MAC, address and alias.
Interface parse_interface_pattern(const core::XmlNode& node, bool live);
void format(core::XmlWriter& writer, const Interface& interface, bool live);

std::string to_string(const Mac& mac);

}  // namespace domain
