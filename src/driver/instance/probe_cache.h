#pragma once

#include <optional>
#include <string>

#include "driver/emulator/capabilities.h"
#include "driver/instance/prober.h"

namespace instance {

/// The file in which later daemons find what a program can do, named by the program's path. What is damaged, of another
/// format or of another state of the program is as good as none. Both block: for the pool.
std::optional<emulator::Capabilities> read_cache(const std::string& folder, const std::string& program,
                                                 const FileStamp& stamp);
/// Durably. Throws Error and std::system_error.
void write_cache(const std::string& folder, const std::string& program, const FileStamp& stamp,
                 const emulator::Capabilities& capabilities);

}  // namespace instance
