#include "driver/emulator/command.h"

#include <algorithm>

#include "driver/core/error.h"
#include "driver/emulator/devices.h"

namespace emulator {
namespace {

/// The rules of names that only the emulator has, on every device.
void check(const Context& context, const Option& option) {
  if (!context.qemu()) return;
  for (const auto& [name, value] : option.properties) {
    const auto* id = std::get_if<std::string>(&value);
    const bool letter = id != nullptr && !id->empty() && ((*id)[0] | 0x20) >= 'a' && ((*id)[0] | 0x20) <= 'z';
    if (name == "id" && !letter)
      unsupported(context, "the alias '" + (id ? *id : "") + "' does not begin with a letter");
  }
  if (option.flag == "-device" && !context.capabilities.has_type(option.head)) {
    unsupported(context, "this program has no device '" + option.head + "'");
  }
}

std::vector<std::string> environment(const Resources& resources) {
  std::vector<std::string> result = {"LC_ALL=C", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  if (!resources.home.empty()) {
    result.push_back("HOME=" + resources.home);
    result.push_back("XDG_DATA_HOME=" + resources.home + "/.local/share");
    result.push_back("XDG_CACHE_HOME=" + resources.home + "/.cache");
    result.push_back("XDG_CONFIG_HOME=" + resources.home + "/.config");
  }
  return result;
}

std::string quote(const std::string& word) {
  const auto harmless = [](char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           std::string_view("_-./:,=+@%").contains(byte);
  };
  if (!word.empty() && std::ranges::all_of(word, harmless)) return word;
  std::string text = "'";
  for (const char byte : word) text += byte == '\'' ? std::string("'\\''") : std::string(1, byte);
  return text + "'";
}

}  // namespace

std::vector<Option> device_options(const domain::Domain& domain, const domain::Device& device,
                                   const Resources& resources, const Capabilities& capabilities) {
  const Context context{domain, resources, capabilities};
  Options options = context.qemu() ? qemu_device(context, device) : stratovirt_device(context, device);
  for (const Option& option : options) check(context, option);
  return options;
}

Command command_line(const domain::Domain& domain, const Resources& resources, const Capabilities& capabilities) {
  const Context context{domain, resources, capabilities};
  const std::string program = !resources.program.empty() ? resources.program
                              : !domain.emulator.empty() ? domain.emulator
                                                         : default_program(domain.type, domain.os.arch);
  require_runs(capabilities, domain, program);
  Options options = context.qemu() ? qemu_machine(context) : stratovirt_machine(context);
  for (const auto& device : devices_of(domain)) {
    for (auto& option : device_options(domain, device, resources, capabilities)) options.push_back(std::move(option));
  }
  if (!resources.incoming.empty()) options.push_back({"-incoming", resources.incoming, {}, true});

  Command command;
  command.program = program;
  command.environment = environment(resources);
  for (const Option& option : options) {
    command.arguments.push_back(option.flag);
    if (!option.head.empty() || !option.properties.empty()) {
      command.arguments.push_back(render(option, capabilities.kind));
    }
  }
  return command;
}

std::string to_shell(const Command& command) {
  std::string line;
  for (const auto& variable : command.environment) {
    const auto value = variable.find('=') + 1;
    line += variable.substr(0, value) + quote(variable.substr(value)) + ' ';
  }
  line += quote(command.program);
  for (const auto& argument : command.arguments) line += ' ' + quote(argument);
  return line;
}

}  // namespace emulator
