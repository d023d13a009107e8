#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "driver/domain/domain.h"

namespace instance {

/// The sockets of consoles and serial ports that an emulator listens at. They are gone at the end of this object's
/// life.
class CharacterSockets {
 public:
  CharacterSockets() = default;
  /// Those of a domain that runs.
  explicit CharacterSockets(const domain::Domain& domain);
  CharacterSockets(CharacterSockets&& other) noexcept : paths_(std::exchange(other.paths_, {})) {}
  CharacterSockets& operator=(CharacterSockets&& other) noexcept {
    std::swap(paths_, other.paths_);
    return *this;
  }
  ~CharacterSockets();
  /// Lets them stay.
  void release() { paths_.clear(); }

 private:
  std::vector<std::string> paths_;
};

/// Makes the sockets, by their devices' aliases, for the emulator may not be let into their folders; they are its
/// user's, and one that a process left behind is replaced. Blocks. Throws std::system_error, and Error:
/// CONFIG_UNSUPPORTED where something else than a socket is in the way.
std::map<std::string, base::UniqueFd> listen_for_characters(const domain::Domain& domain, uid_t uid, gid_t gid);

/// Makes those files that consoles and serial ports write to, or log to, that are not there; all of them. Blocks.
/// Throws std::system_error.
std::vector<std::string> make_character_files(const domain::Domain& domain);

}  // namespace instance
