#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "driver/host/spawn.h"

/// Processes that an earlier daemon started.
namespace host {

/// What the state file of an emulator says of its process.
struct ProcessName {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  ///< since boot; 0: not known, then `uuid` tells
  std::string uuid;               ///< behind -uuid on its command line
};

/// That process; nothing when it has ended for certain: its number is free, or another's. Throws Error: SYSTEM_ERROR
/// where the host does not tell at the moment (EMFILE, ENOMEM …).
std::optional<Child> find_process(const ProcessName& name);

/// A process that has `-uuid UUID` on its command line, as far as this process may read that; nothing where there is
/// none. Throws Error, as above.
std::optional<pid_t> find_emulator(const std::string& uuid);

/// Throws Error: SYSTEM_ERROR where this process cannot open as many descriptors more.
void require_descriptors(std::size_t count);

/// The folder a process works in; empty where that cannot be read.
std::string working_folder(pid_t pid);

}  // namespace host
