#include "vmm/cmdline/machine_options.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "vmm/cmdline/keys.h"

namespace cmdline {
namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20;
constexpr unsigned most_cpus = 254;
constexpr unsigned most_nodes = 8;

Accel accel(const Value& value) {
  return value.choice<Accel>(
      {{"kvm", Accel::kvm}, {"kvm:tcg", Accel::kvm}, {"qtest", Accel::qtest}, {"test", Accel::mod_test}});
}

/// For an option of which nothing is kept.
struct Nothing {};

constexpr Key<Config> name_keys[] = {
    {"guest", text<&Config::name>, mandatory},
    {"debug-threads", [](Config&, const Value& value) { value.boolean(); }},
    {"process", no_effect<Config>},
};

constexpr Key<Config> machine_keys[] = {
    {"type",
     [](Config& into, const Value& value) {
       into.machine = value.choice<MachineType>(
           {{"none", MachineType::none}, {"q35", MachineType::q35}, {"virt", MachineType::virt}});
     }},
    {"accel", [](Config& into, const Value& value) { into.accel = accel(value); }},
    {"dump-guest-core", [](Config& into, const Value& value) { into.memory.dump = value.boolean(); }},
    {"mem-share", [](Config& into, const Value& value) { into.memory.share = value.boolean(); }},
    {"usb", only<Config, false>},
    {"vmport", only<Config, false>},
    {"hpet", only<Config, false>},
    {"smm", only<Config, false>},
    {"graphics", only<Config, false>},
    {"acpi", only<Config, true>},
    {"gic-version", [](Config&, const Value& value) { value.must_say("3"); }},
};

constexpr Key<Config> accel_keys[] = {
    {"accel", [](Config& into, const Value& value) { into.accel = accel(value); }, mandatory},
};

constexpr Key<CpuFeatures> cpu_keys[] = {
    {"model", [](CpuFeatures&, const Value& value) { value.must_say("host"); }, mandatory},
    {"pmu", boolean<&CpuFeatures::pmu>},
    {"sve", boolean<&CpuFeatures::sve>},
    {"kvm-steal-time", boolean<&CpuFeatures::kvm_steal_time>},
    {"migratable", no_effect<CpuFeatures>},
};

/// As written: 0 is what is not there.
constexpr Key<Smp> smp_keys[] = {
    {"cpus", number<&Smp::cpus, 1, most_cpus>, mandatory}, {"maxcpus", number<&Smp::max_cpus, 1, most_cpus>},
    {"sockets", number<&Smp::sockets, 1, most_cpus>},      {"dies", number<&Smp::dies, 1, most_cpus>},
    {"clusters", number<&Smp::clusters, 1, most_cpus>},    {"cores", number<&Smp::cores, 1, most_cpus>},
    {"threads", number<&Smp::threads, 1, most_cpus>},
};

constexpr Key<Memory> memory_keys[] = {
    {"size",
     [](Memory& into, const Value& value) {
       into.size = value.size(mib);
       if (into.size < 128 * mib || into.size > 512 * 1024 * mib) value.refuse("128M to 512G");
     },
     mandatory},
    {"maxmem", [](Memory&, const Value& value) { value.size(mib); }},
    {"slots", no_effect<Memory>},
};

constexpr Key<NumaNode> node_keys[] = {
    {"nodeid", number<&NumaNode::id, 0, most_nodes - 1>, mandatory},
    {"cpus", [](NumaNode& into, const Value& value) { into.cpus = value.range(most_cpus - 1); }, mandatory},
    {"memdev", identifier<&NumaNode::memdev>, mandatory},
};
constexpr Key<NumaDistance> distance_keys[] = {
    {"src", number<&NumaDistance::from, 0, most_nodes - 1>, mandatory},
    {"dst", number<&NumaDistance::to, 0, most_nodes - 1>, mandatory},
    {"val", number<&NumaDistance::distance, 10, 254>, mandatory},
};

/// SMBIOS types and what of each can be said (DSP0134).
struct SmbiosType {
  std::string_view name;
  unsigned type;
  std::initializer_list<std::string_view> keys;
};
const SmbiosType smbios_types[] = {
    {"0", 0, {"vendor", "version", "date", "release"}},
    {"1", 1, {"manufacturer", "product", "version", "serial", "uuid", "sku", "family"}},
    {"2", 2, {"manufacturer", "product", "version", "serial", "asset", "location"}},
    {"3", 3, {"manufacturer", "version", "serial", "asset", "sku"}},
    {"4", 4, {"sock_pfx", "manufacturer", "version", "serial", "asset", "part", "max-speed", "current-speed"}},
    {"17", 17, {"loc_pfx", "bank", "manufacturer", "serial", "asset", "part", "speed"}},
};

constexpr Key<Config> global_keys[] = {
    {"pcie-root-port.fast-unplug",
     [](Config& into, const Value& value) {
       into.fast_unplug = value.choice<bool>({{"1", true}, {"0", false}, {"on", true}, {"off", false}});
     }},
    // This machine has no sleep states.
    {"ICH9-LPC.disable_s3", [](Config&, const Value& value) { value.must_say("1"); }},
    {"ICH9-LPC.disable_s4", [](Config&, const Value& value) { value.must_say("1"); }},
};

constexpr Key<Nothing> overcommit_keys[] = {
    {"mem-lock", only<Nothing, false>},
    {"cpu-pm", only<Nothing, false>},
};
constexpr Key<Nothing> realtime_keys[] = {{"mlock", only<Nothing, false>}};
constexpr Key<Nothing> sandbox_keys[] = {
    {"enable", [](Nothing&, const Value& value) { value.boolean(); }},
    {"obsolete", no_effect<Nothing>},
    {"elevateprivileges", no_effect<Nothing>},
    {"spawn", no_effect<Nothing>},
    {"resourcecontrol", no_effect<Nothing>},
};
constexpr Key<Nothing> msg_keys[] = {
    {"timestamp", [](Nothing&, const Value& value) { value.boolean(); }},
    {"guest-name", [](Nothing&, const Value& value) { value.boolean(); }},
};
constexpr Key<Nothing> rtc_keys[] = {
    {"base", [](Nothing&, const Value& value) { value.must_say("utc"); }},
    {"clock", [](Nothing&, const Value& value) { value.must_say("host"); }},
    {"driftfix", no_effect<Nothing>},
};
constexpr Key<Nothing> boot_keys[] = {
    {"order", no_effect<Nothing>},
    {"strict", [](Nothing&, const Value& value) { value.boolean(); }},
    {"menu", only<Nothing, false>},
};
constexpr Key<Nothing> display_keys[] = {
    {"type", [](Nothing&, const Value& value) { value.must_say("none"); }, mandatory},
};

template <class T, std::size_t N>
void read_into(T& into, const Key<T> (&keys)[N], std::string_view option, const std::string& value,
               std::string_view head = {}) {
  into = read(Properties::split(option, value, head), keys, std::move(into));
}

template <std::size_t N>
void check(const Key<Nothing> (&keys)[N], std::string_view option, const std::string& value,
           std::string_view head = {}) {
  Nothing nothing;
  read_into(nothing, keys, option, value, head);
}

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !std::isxdigit(static_cast<unsigned char>(text[i]))) return false;
  }
  return true;
}

bool is_release(const std::string& text) {
  unsigned major = 0, minor = 0;
  const char *const end = text.data() + text.size(), *const dot = std::from_chars(text.data(), end, major).ptr;
  if (dot == text.data() || dot == end || *dot != '.') return false;
  const char* const last = std::from_chars(dot + 1, end, minor).ptr;
  return last != dot + 1 && last == end && major < 256 && minor < 256;
}

}  // namespace

void read_name(Config& config, const std::string& value) {
  // A name alone may hold whatever it likes.
  if (value.starts_with("guest=")) return read_into(config, name_keys, "-name", value);
  config.name = Value("-name", {"guest", value}).text();
}

void read_uuid(Config& config, const std::string& value) {
  if (!is_uuid(value)) Value("-uuid", {"uuid", value}).refuse("12345678-1234-1234-1234-123456789abc");
  config.uuid = value;
}

void read_machine(Config& config, const std::string& value) {
  read_into(config, machine_keys, "-machine", value, "type");
}

void read_accel(Config& config, const std::string& value) {
  read_into(config, accel_keys, "-accel", value, "accel");
}

void read_cpu(Config& config, const std::string& value) {
  read_into(config.cpu, cpu_keys, "-cpu", value, "model");
}

void read_smp(Config& config, const std::string& value) {
  constexpr std::string_view option = "-smp";
  Smp smp{.cpus = 0, .max_cpus = 0, .sockets = 0, .dies = 1, .clusters = 1, .cores = 0, .threads = 0};
  read_into(smp, smp_keys, option, value, "cpus");
  const auto product = [&smp] {
    return std::uint64_t{smp.sockets} * smp.dies * smp.clusters * smp.cores * smp.threads;
  };
  if (smp.max_cpus == 0) {
    smp.max_cpus = product() > 0 ? static_cast<unsigned>(std::min<std::uint64_t>(product(), most_cpus + 1)) : smp.cpus;
  }
  // What is not said is 1, but for one of cores, sockets and threads, which takes what is left.
  if (smp.cores == 0) {
    smp.sockets = std::max(smp.sockets, 1U);
    smp.threads = std::max(smp.threads, 1U);
    smp.cores = smp.max_cpus / (smp.sockets * smp.dies * smp.clusters * smp.threads);
  } else if (smp.sockets == 0) {
    smp.threads = std::max(smp.threads, 1U);
    smp.sockets = smp.max_cpus / (smp.dies * smp.clusters * smp.cores * smp.threads);
  } else if (smp.threads == 0) {
    smp.threads = smp.max_cpus / (smp.sockets * smp.dies * smp.clusters * smp.cores);
  }
  if (product() != smp.max_cpus && product() <= most_cpus) {
    refuse(option, "sockets, dies, clusters, cores and threads make " + std::to_string(product()) +
                       " processors of maxcpus=" + std::to_string(smp.max_cpus));
  }
  if (smp.cpus > smp.max_cpus || smp.max_cpus > most_cpus) {
    refuse(option, "cpus=" + std::to_string(smp.cpus) + " of maxcpus=" + std::to_string(smp.max_cpus) +
                       ", allowed: no more than maxcpus, and that at most " + std::to_string(most_cpus));
  }
  config.smp = smp;
}

void read_memory(Config& config, const std::string& value) {
  read_into(config.memory, memory_keys, "-m", value, "size");
}

void read_numa(Config& config, const std::string& value) {
  constexpr std::string_view option = "-numa", head = "type";
  const Properties properties = Properties::split(option, value, head);
  const std::string* const type = properties.find(head);
  if (!type) refuse(option, "'node' or 'dist' is missing");
  const bool node =
      Value(properties.option, {std::string(head), *type}).choice<bool>({{"node", true}, {"dist", false}});
  Reader reader(properties, properties.option + ' ' + *type);
  reader.skip(head);
  if (node) {
    reader.take(node_keys, config.numa_nodes.emplace_back());
  } else {
    reader.take(distance_keys, config.numa_distances.emplace_back());
  }
  reader.finish();
}

void read_smbios(Config& config, const std::string& value) {
  constexpr std::string_view option = "-smbios", head = "type";
  const Properties properties = Properties::split(option, value);
  const std::string* const name = properties.find(head);
  if (!name) refuse(option, "'type=' is missing");
  const auto* const type = std::ranges::find(smbios_types, *name, &SmbiosType::name);
  if (type == std::end(smbios_types)) Value(properties.option, {std::string(head), *name}).refuse("0, 1, 2, 3, 4, 17");
  for (const Property& item : properties.items) {
    if (item.key == head) continue;
    const Value one(properties.option, item);
    if (std::ranges::find(type->keys, item.key) == type->keys.end()) {
      std::string keys;
      for (const auto key : type->keys) keys.append(keys.empty() ? "" : ", ").append(key);
      one.refuse("the keys " + keys);
    }
    if (item.key == "uuid" && !is_uuid(item.value)) one.refuse("12345678-1234-1234-1234-123456789abc");
    if (item.key == "release" && !is_release(item.value)) one.refuse("two numbers of 0 to 255, as 1.2");
    if (item.key.ends_with("speed")) one.number(0, 65535);
    config.smbios.push_back({type->type, item.key, one.text(255)});
  }
}

void read_global(Config& config, const std::string& value) {
  constexpr std::string_view option = "-global";
  Properties properties = Properties::split(option, value);
  // The other spelling: driver=D,property=P,value=V.
  const auto *driver = properties.find("driver"), *property = properties.find("property"),
             *said = properties.find("value");
  if (driver && property && said && properties.items.size() == 3) {
    properties.items = {{*driver + '.' + *property, *said}};
  }
  config = read(properties, global_keys, std::move(config));
}

void read_overcommit(Config&, const std::string& value) {
  check(overcommit_keys, "-overcommit", value);
}
void read_realtime(Config&, const std::string& value) {
  check(realtime_keys, "-realtime", value);
}
void read_sandbox(Config&, const std::string& value) {
  check(sandbox_keys, "-sandbox", value, "enable");
}
void read_msg(Config&, const std::string& value) {
  check(msg_keys, "-msg", value);
}
void read_rtc(Config&, const std::string& value) {
  check(rtc_keys, "-rtc", value);
}
void read_boot(Config&, const std::string& value) {
  check(boot_keys, "-boot", value, "order");
}
void read_display(Config&, const std::string& value) {
  check(display_keys, "-display", value, "type");
}

}  // namespace cmdline
