#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "driver/domain/devices/address.h"

namespace domain {

/// A random number generator on virtio-rng (libvirt formatdomain "Random number generator device").
struct Rng {
  std::string backend = "/dev/random";  ///< backend of model random: a path on the host
  std::optional<std::uint32_t> bytes;   ///< rate@bytes: at most this many a period
  std::optional<std::uint32_t> period;  ///< rate@period in ms; 1000 is the only value allowed
  DeviceInfo info;
  friend bool operator==(const Rng&, const Rng&) = default;
};

/// Reads and checks the element by itself. `live` keeps what only a running domain has.
Rng parse_rng(const core::XmlNode& node, bool live);
/// Reads what a generator is looked up by: its backend, rate and address. Nothing for a backend that no machine here
/// has.
std::optional<Rng> parse_rng_pattern(const core::XmlNode& node);
void format(core::XmlWriter& writer, const Rng& rng, bool live);

}  // namespace domain
