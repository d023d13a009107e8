#include <algorithm>

#include "vmm/cmdline/keys.h"
#include "vmm/cmdline/machine_options.h"
#include "vmm/cmdline/parts.h"

// The options: one row each.
namespace cmdline {
namespace {

enum class Takes { nothing, value, maybe };

struct Option {
  std::string_view name;
  Takes takes;
  void (*read)(Config& config, const std::string& value);
};

template <auto M>
void flag(Config& config, const std::string&) {
  config.*M = true;
}
template <auto M>
void plain(Config& config, const std::string& value) {
  config.*M = value;
}
void nothing(Config&, const std::string&) {}

// --- character devices

/// "pty", "socket,path=P,server", and the short "unix:P,server", "tcp:HOST:PORT,server", "file:P"; "chardev:ID" is one
/// that is there already. The id of the chardev.
std::string name_chardev(Config& config, std::string_view option, const std::string& value, const std::string& id) {
  Properties properties = Properties::split(option, value, "backend");
  std::string* head = nullptr;
  if (!properties.items.empty() && properties.items.front().key == "backend") head = &properties.items.front().value;
  if (!head) refuse(option, "what it is connected with is missing, such as pty or unix:PATH,server,nowait");
  const auto colon = head->find(':');
  if (colon != std::string::npos) {
    const std::string kind = head->substr(0, colon), rest = head->substr(colon + 1);
    const auto add = [&](const char* key, const std::string& text) {
      if (properties.find(key)) refuse(option, "'" + std::string(key) + "' stands there twice");
      properties.items.push_back({key, text});
    };
    if (kind == "chardev") {
      if (properties.items.size() > 1) refuse(option, "'chardev:ID' has no keys");
      const Property named{"chardev", rest};
      return Value(properties.option, named).identifier();
    }
    if (kind == "unix") {
      *head = "socket";
      add("path", rest);
    } else if (kind == "tcp") {
      const auto last = rest.rfind(':');
      if (last == std::string::npos) refuse(option, "the port is missing in 'tcp:" + rest + "'");
      *head = "socket";
      add("host", rest.substr(0, last));
      add("port", rest.substr(last + 1));
    } else if (kind == "file") {
      *head = "file";
      add("path", rest);
    }
  }
  std::erase_if(properties.items, [](const Property& item) { return item.key == "host" && item.value.empty(); });
  if (!properties.find("id")) properties.items.push_back({"id", id});
  config.chardevs.push_back(read_chardev(properties));
  return config.chardevs.back().id;
}

void read_qmp(Config& config, const std::string& value) {
  const std::string id = "compat_monitor" + std::to_string(config.monitors.size());
  config.monitors.push_back(name_chardev(config, "-qmp", value, id));
}

void read_serial(Config& config, const std::string& value) {
  if (config.serial) refuse("-serial", "there is one serial port only");
  config.serial = name_chardev(config, "-serial", value, "serial0");
}

void read_mon(Config& config, const std::string& value) {
  struct Monitor {
    std::string chardev, id;
  };
  static constexpr Key<Monitor> keys[] = {
      {"chardev", identifier<&Monitor::chardev>, mandatory},
      {"id", identifier<&Monitor::id>},
      {"mode", [](Monitor&, const Value& mode) { mode.must_say("control"); }, mandatory},
      {"pretty", no_effect<Monitor>},
  };
  config.monitors.push_back(read(Properties::split("-mon", value, "chardev"), keys).chardev);
}

/// "unix:PATH" or a path alone.
template <Accel Kind>
void read_test_socket(Config& config, const std::string& value) {
  constexpr std::string_view prefix = "unix:";
  config.test_socket = value.starts_with(prefix) ? value.substr(prefix.size()) : value;
  config.test_protocol = Kind;
}

// --- parts

void read_parts_drive(Config& config, const std::string& value) {
  auto part = read_drive(Properties::split("-drive", value));
  if (auto* const flash = std::get_if<Pflash>(&part)) {
    config.pflash.push_back(std::move(*flash));
  } else {
    config.drives.push_back(std::get<Drive>(std::move(part)));
  }
}

void read_parts_object(Config& config, const std::string& value) {
  Object object = read_object(Properties::split("-object", value, "qom-type"));
  if (auto* const thread = std::get_if<Iothread>(&object)) config.iothreads.push_back(std::move(*thread));
  if (auto* const rng = std::get_if<RngBackend>(&object)) config.rngs.push_back(std::move(*rng));
  if (auto* const memory = std::get_if<MemoryBackend>(&object)) config.memory_backends.push_back(std::move(*memory));
}

/// Some write quotes around the path into the argument itself.
void read_mem_path(Config& config, const std::string& value) {
  config.memory.path = value;
  std::erase(config.memory.path, '"');
}

constexpr Option options[] = {
    {"name", Takes::value, read_name},
    {"uuid", Takes::value, read_uuid},
    {"machine", Takes::value, read_machine},
    {"M", Takes::value, read_machine},
    {"accel", Takes::value, read_accel},
    {"cpu", Takes::value, read_cpu},
    {"smp", Takes::value, read_smp},
    {"m", Takes::value, read_memory},
    {"mem-path", Takes::value, read_mem_path},
    {"mem-prealloc", Takes::nothing, [](Config& config, const std::string&) { config.memory.prealloc = true; }},
    {"numa", Takes::value, read_numa},
    {"smbios", Takes::value, read_smbios},
    {"global", Takes::value, read_global},

    {"kernel", Takes::value, plain<&Config::kernel>},
    {"initrd", Takes::value, plain<&Config::initrd>},
    {"append", Takes::value, plain<&Config::append>},

    {"object", Takes::value, read_parts_object},
    {"chardev", Takes::value,
     [](Config& config, const std::string& value) {
       config.chardevs.push_back(read_chardev(Properties::split("-chardev", value, "backend")));
     }},
    {"drive", Takes::value, read_parts_drive},
    {"netdev", Takes::value,
     [](Config& config, const std::string& value) {
       config.netdevs.push_back(read_netdev(Properties::split("-netdev", value, "type")));
     }},
    {"device", Takes::value,
     [](Config& config, const std::string& value) {
       config.devices.push_back(read_device(Properties::split("-device", value, "driver")));
     }},
    {"serial", Takes::value, read_serial},
    {"qmp", Takes::value, read_qmp},
    {"mon", Takes::value, read_mon},
    {"qtest", Takes::value, read_test_socket<Accel::qtest>},
    {"mod-test", Takes::value, read_test_socket<Accel::mod_test>},
    {"qtest-log", Takes::value, nothing},

    {"S", Takes::nothing, flag<&Config::start_paused>},
    {"freeze", Takes::nothing, flag<&Config::start_paused>},
    {"no-shutdown", Takes::nothing, flag<&Config::stay_when_off>},
    {"no-reboot", Takes::nothing, flag<&Config::exit_on_reset>},
    {"daemonize", Takes::nothing, flag<&Config::daemonize>},
    {"pidfile", Takes::value, plain<&Config::pid_file>},
    {"D", Takes::maybe, plain<&Config::log_file>},
    {"disable-seccomp", Takes::nothing, [](Config& config, const std::string&) { config.seccomp = false; }},

    {"no-user-config", Takes::nothing, nothing},
    {"nodefaults", Takes::nothing, nothing},
    {"nographic", Takes::nothing, nothing},
    {"usb", Takes::nothing, nothing},
    {"display", Takes::value, read_display},
    {"overcommit", Takes::value, read_overcommit},
    {"realtime", Takes::value, read_realtime},
    {"sandbox", Takes::value, read_sandbox},
    {"msg", Takes::value, read_msg},
    {"rtc", Takes::value, read_rtc},
    {"boot", Takes::value, read_boot},
};

/// What others have and this program has not.
struct Absent {
  std::string_view name, what;
};
constexpr Absent absent[] = {
    {"incoming", "migration and snapshots"},
    {"vnc", "a display"},
    {"cameradev", "cameras"},
    {"windows_emu_pid", "a display"},
    {"trace", "tracing"},
    {"battery", "a battery"},
    {"hardware-signature", "sleep states"},
    {"no-acpi", "a machine without ACPI"},
    {"bios", "firmware but -drive if=pflash"},
    {"blockdev", "-blockdev; disks are -drive"},
    {"monitor", "a monitor for people; -qmp is there"},
    {"snapshot", "snapshots"},
    {"loadvm", "snapshots"},
};

}  // namespace

std::variant<Config, ShowVersion, ShowHelp> parse(const std::vector<std::string>& words) {
  Config config;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!word.starts_with('-') || word.size() < 2)
      refuse("'" + word.substr(0, 200) + "'", "no option, those begin with '-'");
    const std::string_view name = std::string_view(word).substr(word.starts_with("--") ? 2 : 1);
    if (name == "h" || name == "help") return ShowHelp{};
    if (name == "V" || name == "version") return ShowVersion{};
    const std::string shown = "-" + std::string(name.substr(0, 200));
    const auto* const option = std::ranges::find(options, name, &Option::name);
    if (option == std::end(options)) {
      const auto* const known = std::ranges::find(absent, name, &Absent::name);
      refuse(shown, known == std::end(absent) ? "no such option; -h shows them"
                                              : "this program has not " + std::string(known->what));
    }
    const bool there = i + 1 < words.size() && (option->takes == Takes::value || !words[i + 1].starts_with('-'));
    if (option->takes == Takes::value && !there) refuse(shown, "its value is missing");
    static const std::string none;
    option->read(config, option->takes != Takes::nothing && there ? words[++i] : none);
  }
  return config;
}

}  // namespace cmdline
