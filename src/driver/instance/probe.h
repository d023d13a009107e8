#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "driver/core/loop.h"
#include "driver/domain/domain.h"
#include "driver/emulator/capabilities.h"
#include "driver/host/spawn.h"
#include "driver/instance/monitor.h"

namespace instance {

/// The absolute path of the program that runs a domain: its <emulator>, else the default of its type on PATH. Throws
/// Error: CONFIG_UNSUPPORTED naming the program that is missing and what would help.
std::string emulator_program(const domain::Domain& domain);

/// How a program is asked.
struct ProbeConfig {
  std::string state;                                           ///< a folder in which the probe makes one of its own
  std::optional<host::Identity> identity;                      ///< who it runs as; absent: the caller
  std::chrono::milliseconds limit = std::chrono::seconds(10);  ///< for all of it
};

/// Asks a program what it is by its -version, and what it can do by QMP, without a machine. It runs as an ordinary
/// child, is killed when it has answered or had its time, and leaves nothing. Blocks: for the pool. Throws Error:
/// INTERNAL_ERROR, SYSTEM_ERROR.
emulator::Capabilities probe(const std::string& program, const ProbeConfig& config);
/// Removes what a probe left that ended with its daemon.
void remove_probes(const std::string& state);

/// The same of a StratoVirt that an earlier daemon started: with its commands, by which this project's and the original
/// differ. One that was probed and a QEMU are not asked.
core::Task<emulator::Capabilities> with_commands(std::shared_ptr<Monitor> monitor, emulator::Capabilities capabilities);

}  // namespace instance
