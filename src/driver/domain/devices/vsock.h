#pragma once

#include <cstdint>
#include <optional>

#include "driver/domain/devices/address.h"

namespace domain {

/// A vhost-vsock device (libvirt formatdomain "Vsock").
struct Vsock {
  std::optional<bool> auto_cid;      ///< cid@auto
  std::optional<std::uint32_t> cid;  ///< 3-4294967294; with auto: chosen at start
  DeviceInfo info;
  friend bool operator==(const Vsock&, const Vsock&) = default;
};

/// Reads and checks the element by itself. `live` keeps what only a running domain has.
Vsock parse_vsock(const core::XmlNode& node, bool live);
/// Reads what a vsock is looked up by: whether its cid is chosen for it, and its address.
Vsock parse_vsock_pattern(const core::XmlNode& node);
void format(core::XmlWriter& writer, const Vsock& vsock, bool live);

}  // namespace domain
