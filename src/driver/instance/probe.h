#pragma once

#include <chrono>
#include <string>

#include "driver/core/loop.h"
#include "driver/domain/domain.h"
#include "driver/emulator/capabilities.h"
#include "driver/instance/monitor.h"

namespace instance {

/// The absolute path of the program that runs a domain: its <emulator>, else the default of its type on PATH. Throws
/// Error: CONFIG_UNSUPPORTED naming the program that is missing and what would help.
std::string emulator_program(const domain::Domain& domain);

/// Asks a program what it is by its -version, as an ordinary child that is killed at the end of `limit`. Answers are
/// kept until the file changes. Blocks: for the pool. Throws Error: INTERNAL_ERROR, SYSTEM_ERROR.
emulator::Capabilities probe(const std::string& program, std::chrono::milliseconds limit = std::chrono::seconds(10));

/// The same of a StratoVirt that runs, with its commands, by which this project's and the original differ: -version
/// does not tell them. A QEMU is not asked.
core::Task<emulator::Capabilities> with_commands(std::shared_ptr<Monitor> monitor, emulator::Capabilities capabilities);

}  // namespace instance
