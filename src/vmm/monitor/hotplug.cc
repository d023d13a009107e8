#include <algorithm>

#include "vmm/cmdline/parts.h"
#include "vmm/monitor/command_table.h"

// What comes to a running machine and goes from it. Arguments become the properties of a command line, and its tables
// read them.
namespace monitor {
namespace {

using cmdline::Properties;

/// Properties that are being made of arguments, and the descriptors that these name.
struct Arguments {
  Properties properties;
  std::vector<std::string> names;

  void add(std::string key, std::string value) {
    if (!properties.find(key)) properties.items.push_back({std::move(key), std::move(value)});
  }
  bool typed = true;  ///< strings are no numbers and no switches
};

int descriptor(const Descriptors& descriptors, const std::string& name, Arguments& into) {
  // A number is refused: it could be any of this program's own.
  const int fd = descriptors.find(name);
  if (fd < 0) generic("File descriptor named '" + name.substr(0, 200) + "' has not been found");
  if (std::ranges::find(into.names, name) != into.names.end()) generic("File descriptor '" + name + "' is used twice");
  into.names.push_back(name);
  return fd;
}

/// "fd-net0-0:fd-net0-1" as "27:28".
std::string numbers(const Descriptors& descriptors, std::string_view names, Arguments& into) {
  std::string result;
  for (;;) {
    const auto end = names.find(':');
    if (!result.empty()) result += ':';
    result += std::to_string(descriptor(descriptors, std::string(names.substr(0, end)), into));
    if (end == std::string_view::npos) return result;
    names.remove_prefix(end + 1);
  }
}

[[noreturn]] void wrong_type(const std::string& path, const char* expected) {
  generic("Invalid parameter type for '" + path.substr(0, 200) + "', expected: " + expected);
}

cmdline::Property property(const std::string& path, std::string key, const Json& value, bool typed) {
  using Type = cmdline::Property::Type;
  if (value.is_string()) return {std::move(key), value.get<std::string>(), typed ? Type::string : Type::any};
  if (value.is_boolean()) return {std::move(key), value.get<bool>() ? "on" : "off", Type::boolean};
  if (value.is_number_unsigned()) return {std::move(key), std::to_string(value.get<std::uint64_t>()), Type::integer};
  wrong_type(path, "string, boolean or integer");
}

/// Members of objects as "outer.inner"; `rename` says how the command line calls them, which is "" for what it does not
/// need.
template <class Rename>
void flatten(const Json& object, const std::string& prefix, const Descriptors& descriptors, Arguments& into,
             const Rename& rename) {
  constexpr std::string_view of_descriptors[] = {"fd", "fds", "vhostfd", "vhostfds"};
  constexpr std::string_view folder = "/dev/fd/";
  for (const auto& [member, value] : object.items()) {
    const std::string path = prefix + member;
    if (value.is_object()) {
      flatten(value, path + '.', descriptors, into, rename);
      continue;
    }
    const std::string key = rename(path, value);
    if (key.empty()) {
      if (!value.is_string()) wrong_type(path, "string");
      continue;
    }
    cmdline::Property one = property(path, key, value, into.typed);
    std::string& text = one.value;
    const bool names_descriptors = std::ranges::find(of_descriptors, key) != std::end(of_descriptors);
    const bool names_file = key == "file" || key == "filename";
    if ((names_descriptors || names_file) && !value.is_string()) wrong_type(path, "string");
    if (names_descriptors) text = numbers(descriptors, text, into);
    if (names_file && text.starts_with(folder)) {
      text = std::string(folder) + std::to_string(descriptor(descriptors, text.substr(folder.size()), into));
    }
    if (into.properties.find(key)) generic("Parameter '" + key.substr(0, 200) + "' is there twice");
    into.properties.items.push_back(std::move(one));
  }
}

std::string same(const std::string& name, const Json&) {
  return name;
}

template <class Rename>
Arguments arguments(const Call& call, const char* command, const Rename& rename, bool typed = true) {
  Arguments result{{command, {}}, {}, typed};
  flatten(call.arguments, {}, call.client.descriptors, result, rename);
  return result;
}

/// The machine has it now.
Json done(Call& call, const Arguments& used) {
  for (const std::string& name : used.names) call.client.descriptors.release(name);
  return Json::object();
}

// --- devices

Json device_add(Call& call) {
  // As with QEMU up to 9.1, a string may be whatever its property is.
  const auto key = [](const std::string& name, const Json&) { return name == "boot_index" ? "bootindex" : name; };
  const Arguments used = arguments(call, "device_add", key, false);
  call.machine.add_device(cmdline::read_device(used.properties));
  return done(call, used);
}

Json device_del(Call& call) {
  call.machine.remove_device(id_in_path(call.text("id")));
  return Json::object();
}

// --- disks

std::string drive_key(const std::string& name, const Json& value) {
  struct Row {
    std::string_view member, key;
  };
  constexpr Row rows[] = {
      {"node-name", "id"},
      {"id", ""},
      {"driver", "format"},
      {"file.filename", "file"},
      {"file.aio", "aio"},
      {"file.driver", ""},
      {"read-only", "readonly"},
      {"cache.direct", "direct"},
      {"cache.no-flush", "no-flush"},
  };
  if (name == "file.driver" && value != "file" && value != "host_device") {
    generic("Parameter 'file.driver' expects file or host_device");
  }
  const auto* const found = std::ranges::find(rows, name, &Row::member);
  return found == std::end(rows) ? name : std::string(found->key);
}

void add_drive(Call& call, const Properties& properties) {
  const auto drive = cmdline::read_drive(properties);
  if (!std::holds_alternative<cmdline::Drive>(drive)) generic("flash cannot be added to a running machine");
  call.machine.add_drive(std::get<cmdline::Drive>(drive));
}

Json blockdev_add(Call& call) {
  const Arguments used = arguments(call, "blockdev-add", drive_key);
  add_drive(call, used.properties);
  return done(call, used);
}
Json blockdev_del(Call& call) {
  call.machine.remove_drive(call.text("node-name"));
  return Json::object();
}

// --- network

Json netdev_add(Call& call) {
  Arguments used = arguments(call, "netdev_add", same);
  used.add("type", "tap");
  call.machine.add_netdev(cmdline::read_netdev(used.properties));
  return done(call, used);
}
Json netdev_del(Call& call) {
  call.machine.remove_netdev(call.text("id"));
  return Json::object();
}

// --- character devices

std::string chardev_key(const std::string& name, const Json& value) {
  constexpr std::string_view data = "backend.data.", address = "backend.data.addr.data.";
  if (name == "backend.type") return "backend";
  if (name == "backend.data.addr.type") {
    if (value != "unix" && value != "inet" && value != "fd") generic("Parameter 'addr.type' expects unix, inet or fd");
    return {};
  }
  if (name == "backend.data.addr.data.str") return "fd";
  if (name == "backend.data.out") return "path";
  if (name.starts_with(address)) return name.substr(address.size());
  if (name.starts_with(data)) return name.substr(data.size());
  return name;
}

Json chardev_add(Call& call) {
  Arguments used = arguments(call, "chardev-add", chardev_key);
  if (const std::string* const kind = used.properties.find("backend"); kind && *kind == "socket") {
    used.add("server", "on");
    used.add("wait", "off");
  }
  const cmdline::Chardev chardev = cmdline::read_chardev(used.properties);
  if (chardev.kind == cmdline::Chardev::Kind::stdio) generic("stdio cannot be added to a running machine");
  if (chardev.server && chardev.wait) generic("a running machine does not wait for who connects");
  const std::string name = call.machine.add_chardev(chardev);
  Json reply = done(call, used);
  constexpr std::string_view pty = "pty:";
  if (name.starts_with(pty)) reply["pty"] = name.substr(pty.size());
  return reply;
}
Json chardev_remove(Call& call) {
  call.machine.remove_chardev(call.text("id"));
  return Json::object();
}

// --- objects

Json object_add(Call& call) {
  const Arguments used = arguments(call, "object-add", [](const std::string& name, const Json&) {
    constexpr std::string_view nested = "props.";
    return name.starts_with(nested) ? name.substr(nested.size()) : name;
  });
  const cmdline::Object object = cmdline::read_object(used.properties);
  if (std::holds_alternative<cmdline::MemoryBackend>(object)) generic("memory cannot be added to a running machine");
  call.machine.add_object(object);
  return done(call, used);
}
Json object_del(Call& call) {
  call.machine.remove_object(call.text("id"));
  return Json::object();
}

// --- the few lines for people that programs send

Json human_command(Call& call) {
  const std::string line = call.text("command-line");
  std::string_view rest = line;
  const auto word = [&rest] {
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    const auto end = std::min(rest.find(' '), rest.size());
    const std::string result(rest.substr(0, end));
    rest.remove_prefix(end);
    return result;
  };
  const std::string command = word();
  if (command == "drive_add") {
    word();  // where, which nothing comes of
    const Properties properties = Properties::split("drive_add", word());
    // As on a monitor: a descriptor of this program's own is nobody's to name.
    if (const std::string* const file = properties.find("file"); file && cmdline::descriptor_of(*file) >= 0) {
      generic("drive_add: file='" + file->substr(0, 200) + "' is no file; blockdev-add takes what getfd has named");
    }
    add_drive(call, properties);
    return "OK\r\n";
  }
  if (command == "drive_del") {
    call.machine.remove_drive(word());
    return "";
  }
  if (command == "info" && word() == "snapshots") return "There is no snapshot available.\r\n";
  generic("unknown command: '" + line.substr(0, 200) + "', there are: drive_add, drive_del, info snapshots");
}

}  // namespace

std::span<const Command> hotplug_commands() {
  static constexpr bool open = true;
  static const Command table[] = {
      {"device_add", device_add, {{"driver", Type::text, true}, {"id", Type::text, true}}, open},
      {"device_del", device_del, {{"id", Type::text, true}}},
      {"blockdev-add", blockdev_add, {{"node-name", Type::text, true}, {"file", Type::object, true}}, open},
      {"blockdev-del", blockdev_del, {{"node-name", Type::text, true}}},
      {"netdev_add", netdev_add, {{"type", Type::text}, {"id", Type::text, true}}, open},
      {"netdev_del", netdev_del, {{"id", Type::text, true}}},
      {"chardev-add", chardev_add, {{"id", Type::text, true}, {"backend", Type::object, true}}},
      {"chardev-remove", chardev_remove, {{"id", Type::text, true}}},
      {"object-add", object_add, {{"qom-type", Type::text, true}, {"id", Type::text, true}}, open},
      {"object-del", object_del, {{"id", Type::text, true}}},
      {"human-monitor-command", human_command, {{"command-line", Type::text, true}, {"cpu-index", Type::number}}},
  };
  return table;
}

}  // namespace monitor
