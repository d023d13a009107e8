#pragma once

#include <string>

#include "driver/core/loop.h"
#include "driver/domain/domain.h"
#include "driver/emulator/capabilities.h"

namespace instance {

/// The absolute path of the program that runs a domain: its <emulator>, else the default of its type on PATH. Throws
/// Error: CONFIG_UNSUPPORTED naming the program that is missing and what would help.
std::string emulator_program(const domain::Domain& domain);

/// Asks a program what it is by its -version, in at most 10 s, as an ordinary child. Answers are kept until the file
/// changes. Blocks: for the pool. Throws Error: INTERNAL_ERROR, SYSTEM_ERROR.
emulator::Capabilities probe(const std::string& program);

}  // namespace instance
