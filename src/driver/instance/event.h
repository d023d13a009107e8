#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "driver/instance/state.h"

namespace instance {

/// What clients can be told of a domain (virDomainEventID), beside its lifecycle.
struct Rebooted {};
struct BalloonChanged {
  std::uint64_t kib;
};
struct DeviceRemoved {
  std::string alias;
};
struct MetadataChanged {
  int type;  ///< virDomainMetadataType
  std::string uri;
};
/// A QMP event as it came (virConnectDomainQemuMonitorEvent).
struct MonitorEvent {
  std::string name, details;
  std::int64_t seconds, microseconds;
};

using Event = std::variant<Lifecycle, Rebooted, BalloonChanged, DeviceRemoved, MetadataChanged, MonitorEvent>;

}  // namespace instance
