#pragma once

#include <cstdint>
#include <string_view>

namespace instance {

/// virDomainState, with libvirt's values (libvirt-domain.h).
enum class State : std::uint8_t { nostate = 0, running = 1, paused = 3, shutdown = 4, shutoff = 5, crashed = 6 };

/// A state and why it holds; `reason` is the value of libvirt's reason enumeration for that state.
struct Status {
  State state = State::shutoff;
  int reason = 0;
  friend bool operator==(const Status&, const Status&) = default;
};

/// virDomainRunningReason … virDomainCrashedReason: those this driver comes to.
namespace reason {
inline constexpr int running_booted = 1, running_restored = 3, running_unpaused = 5, running_crashed = 9;
inline constexpr int paused_unknown = 0, paused_user = 1, paused_save = 3, paused_io_error = 5,
                     paused_shutting_down = 8, paused_crashed = 10, paused_starting_up = 11;
inline constexpr int shutdown_user = 1;
inline constexpr int shutoff_unknown = 0, shutoff_shutdown = 1, shutoff_destroyed = 2, shutoff_crashed = 3,
                     shutoff_saved = 5, shutoff_failed = 6, shutoff_daemon = 8;
inline constexpr int crashed_panicked = 1;
}  // namespace reason

/// virDomainEventType and its details: what a domain's lifecycle event says.
struct Lifecycle {
  int event = 0;
  int detail = 0;
  friend bool operator==(const Lifecycle&, const Lifecycle&) = default;
};

namespace lifecycle {
inline constexpr Lifecycle defined_added{0, 0}, defined_updated{0, 1}, defined_renamed{0, 2};
inline constexpr Lifecycle undefined_removed{1, 0}, undefined_renamed{1, 1};
inline constexpr Lifecycle started_booted{2, 0};
inline constexpr Lifecycle suspended_paused{3, 0}, suspended_io_error{3, 2};
inline constexpr Lifecycle resumed_unpaused{4, 0};
inline constexpr Lifecycle stopped_shutdown{5, 0}, stopped_destroyed{5, 1}, stopped_crashed{5, 2}, stopped_failed{5, 5};
inline constexpr Lifecycle shutdown_finished{6, 0}, shutdown_guest{6, 1}, shutdown_host{6, 2};
inline constexpr Lifecycle crashed_panicked{8, 0};
}  // namespace lifecycle

}  // namespace instance
