#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "driver/instance/state.h"

namespace instance {

/// What clients can be told of a domain (virDomainEventID), beside its lifecycle.
struct Rebooted {};
struct BalloonChanged {
  std::uint64_t kib;
};
struct DeviceAdded {
  std::string alias;
};
struct DeviceRemoved {
  std::string alias;
};
/// The guest keeps a device that it was asked to give up.
struct DeviceRemovalFailed {
  std::string alias;
};
/// What was set of a running domain's tuning, by libvirt's names for it ("cputune.vcpupin0").
struct Tuned {
  std::vector<std::pair<std::string, std::variant<std::uint64_t, std::string>>> values;
};
struct MetadataChanged {
  int type;                        ///< virDomainMetadataType
  std::optional<std::string> uri;  ///< of an element's namespace; a title and a description have none
};
/// A QMP event as it came (virConnectDomainQemuMonitorEvent).
struct MonitorEvent {
  std::string name, details;
  std::int64_t seconds, microseconds;
};

using Event = std::variant<Lifecycle, Rebooted, BalloonChanged, DeviceAdded, DeviceRemoved, DeviceRemovalFailed, Tuned,
                           MetadataChanged, MonitorEvent>;

}  // namespace instance
