#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "vmm/monitor/commands.h"

/// The commands: a row each.
namespace monitor {

using Json = nlohmann::json;

enum class Type { text, number, boolean, object, list, any };

struct Argument {
  std::string_view name;
  Type type;
  bool mandatory = false;
};

/// A command as it is being executed.
struct Call {
  MachineControl& machine;
  Client& client;
  const Json& arguments;  ///< an object, checked against the command's table

  bool has(const char* name) const { return arguments.contains(name); }
  std::string text(const char* name) const { return arguments.value(name, std::string()); }
  std::uint64_t number(const char* name) const { return arguments.value(name, std::uint64_t{0}); }
  bool boolean(const char* name) const { return arguments.value(name, false); }
};

struct Command {
  std::string_view name;
  Json (*run)(Call& call);
  std::initializer_list<Argument> arguments = {};
  bool open = false;  ///< other arguments are for who reads them
};

std::span<const Command> queries();
std::span<const Command> hotplug_commands();
std::span<const Command> control_commands();

/// By Event::Kind.
inline constexpr std::string_view event_names[] = {
    "STOP",           "RESUME",           "RESET",          "POWERDOWN",      "SHUTDOWN",
    "GUEST_PANICKED", "GUEST_PVSHUTDOWN", "DEVICE_DELETED", "BALLOON_CHANGED"};

[[noreturn]] inline void generic(const std::string& what) {
  throw Refusal(Refusal::Class::generic_error, what);
}

/// The id in "/machine/peripheral/ID/virtio-backend", or the text itself.
std::string id_in_path(std::string_view path);
std::string device_path(const std::string& id);

}  // namespace monitor
