#pragma once

#include <sys/types.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "driver/domain/domain.h"
#include "driver/emulator/capabilities.h"
#include "driver/host/images.h"
#include "driver/instance/lifecycle.h"

namespace instance {

/// What is written down of a machine that lives, for a later daemon to go on with it: the one form of it. A member
/// never changes its meaning. One that an older daemon did not write has its default here; what a newer one wrote
/// besides is kept and written again.
struct LiveState {
  /// Of the form: 0 had no number, 1 says how a machine ends.
  static constexpr std::uint64_t current_version = 1;

  std::uint64_t version = current_version;
  int id = -1;                                     ///< -1: not written
  Status status{State::nostate, 0};                ///< no state: not written, or none that this daemon knows
  pid_t pid = 0;                                   ///< 0: there is no process yet
  std::uint64_t start_ticks = 0;                   ///< 0: not written
  std::optional<emulator::Capabilities> emulator;  ///< as far as its version tells
  std::string folder, hugepages;                   ///< empty: not written; none
  std::vector<std::string> cgroup;
  std::vector<host::FileOwner> owners;  ///< whom files go back to, below whom they are given
  bool tainted = false;
  bool reboot_when_off = false;   ///< a client asked for a reboot, and the guest is not off yet
  std::optional<Trigger> ending;  ///< it is being ended, and why
  domain::Domain live;
  nlohmann::json others = nlohmann::json::object();  ///< members of a newer daemon

  /// Throws Error: INTERNAL_ERROR naming the member for what is damaged; as domain::parse_live().
  static LiveState read(const std::string& text);
  std::string write() const;
};

}  // namespace instance
