#pragma once

#include <optional>

#include "driver/instance/state.h"

namespace instance {

/// What can happen to a domain: a client's wish, or news from the emulator.
enum class Trigger : std::uint8_t {
  boot,            ///< started, its vCPUs running
  boot_paused,     ///< started with its vCPUs stopped
  suspend,         ///< a client stops the vCPUs
  resume,          ///< a client lets them go on
  io_error,        ///< the emulator stopped the vCPUs for a failed disk
  panic,           ///< the guest kernel panicked
  guest_off,       ///< the guest powered off, or was told to by the host, and the emulator waits
  reset,           ///< the guest restarts within the running emulator
  exit_shutdown,   ///< the process ended after the guest was off
  exit_destroyed,  ///< the process was ended by a client
  exit_crashed,    ///< the process ended by itself
  exit_panicked,   ///< the process was ended because the guest kernel panicked
  exit_failed,     ///< the process ended while it was being started
};

/// A step of the lifecycle: the new state and the event that tells of it, where one is sent.
struct Step {
  Status to;
  std::optional<Lifecycle> event;
};

/// The step that `trigger` makes from `from`; throws core::Error OPERATION_INVALID, with libvirt's words, where there
/// is none. A step to the state that already holds carries no event (suspend of a paused domain succeeds).
Step step(State from, Trigger trigger);

}  // namespace instance
