#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace host {

struct TapConfig {
  std::string name;    ///< empty, or the interface's name, at most 15 bytes; empty: the kernel's first free vnetN
  std::string bridge;  ///< empty: on none
  std::array<std::uint8_t, 6>
      mac{};                    ///< the guest's; the tap gets it with 0xfe as first byte, or 0xfa, as libvirt does
  std::optional<unsigned> mtu;  ///< bytes; absent: the bridge's
  unsigned queues = 1;          ///< a descriptor each, 1 to 256
  bool managed = true;          ///< false: it is there already and its owner set it up (target@managed='no')
};

/// One tap interface with virtio headers, open for an emulator. It lives as long as a descriptor of it does, ours or
/// the emulator's, and is gone with the last: nothing else has to be removed. One that was persistent before stays.
class Tap {
 public:
  /// Throws Error: SYSTEM_ERROR (no such bridge, name taken, not permitted), CONFIG_UNSUPPORTED (a MAC that begins with
  /// fe on a bridge), OPERATION_FAILED (not managed and not there).
  static Tap open(const TapConfig& config);

  const std::string& name() const { return name_; }
  /// A descriptor a queue, close-on-exec.
  const std::vector<base::UniqueFd>& queues() const { return queues_; }

 private:
  std::string name_;
  std::vector<base::UniqueFd> queues_;
};

/// A descriptor of /dev/vhost-net a queue; empty where the host has none.
std::vector<base::UniqueFd> open_vhost_net(unsigned queues);

/// An interface's counters as the guest sees them: what the tap sent, the guest received (domifstat).
struct InterfaceStatistics {
  std::uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  std::uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};
/// Nothing when there is no such interface.
std::optional<InterfaceStatistics> tap_statistics(const std::string& name);

}  // namespace host
