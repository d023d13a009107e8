#pragma once

#include <string>
#include <vector>

#include "driver/domain/domain.h"
#include "driver/emulator/capabilities.h"
#include "driver/emulator/properties.h"
#include "driver/emulator/resources.h"

namespace emulator {

/// What is executed: a program, its arguments without argv[0], and its whole environment ("NAME=value").
struct Command {
  std::string program;
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  friend bool operator==(const Command&, const Command&) = default;
};

/// The command of a domain whose devices have their aliases and addresses. The guest waits for `cont`; what a command
/// line cannot say is in initial_requests() (dialect.h), to be sent before it. Throws Error: CONFIG_UNSUPPORTED naming
/// what this emulator cannot honour, with its value.
Command command_line(const domain::Domain& domain, const Resources& resources, const Capabilities& capabilities);

/// The options that make one device and what stands behind it, back ends first, the device last. The one source of both
/// the command line and hotplug. Throws Error: CONFIG_UNSUPPORTED.
std::vector<Option> device_options(const domain::Domain& domain, const domain::Device& device,
                                   const Resources& resources, const Capabilities& capabilities);

/// domxml-to-native: environment, program and arguments as one line for a shell, made with placeholders().
std::string to_native(const domain::Domain& domain, Kind kind);

/// A command as one line for a shell, every word quoted where a shell would take it apart.
std::string to_shell(const Command& command);

/// Names that the emulator knows things by, derived from the device's alias (or a disk's target).
std::string drive_id(const domain::Disk& disk);
std::string netdev_id(const domain::Interface& interface);
std::string chardev_id(const domain::DeviceInfo& info);

}  // namespace emulator
