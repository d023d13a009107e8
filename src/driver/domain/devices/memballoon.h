#pragma once

#include <optional>

#include "driver/domain/devices/address.h"

namespace domain {

/// The memory balloon (libvirt formatdomain "Memory balloon device"). model none: written, and no device is made.
struct Memballoon {
  enum class Model { virtio, none };
  Model model = Model::virtio;
  std::optional<bool> autodeflate;
  std::optional<bool> free_page_reporting;
  std::optional<unsigned> stats_period;  ///< seconds
  DeviceInfo info;
  friend bool operator==(const Memballoon&, const Memballoon&) = default;
};

/// Reads and checks the element by itself. `live` keeps what only a running domain has.
Memballoon parse_memballoon(const core::XmlNode& node, bool live);
/// Reads no more than that it is one: there is one to be looked up.
Memballoon parse_memballoon_pattern(const core::XmlNode& node);
void format(core::XmlWriter& writer, const Memballoon& memballoon, bool live);

}  // namespace domain
