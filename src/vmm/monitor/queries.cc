#include <algorithm>

#include "vmm/cmdline/parts.h"
#include "vmm/monitor/command_table.h"

// What only looks. Members are QEMU's (qemu-qmp-ref(7)), as far as the original has them and this machine knows.
namespace monitor {
namespace {

Json empty_list(Call&) {
  return Json::array();
}

/// Of QEMU's tree there is the branch of what has an id.
Json devices(Call& call) {
  Json all = Json::array();
  if (call.text("path") != "/machine/peripheral") return all;
  for (const std::string& id : call.machine.device_ids()) all.push_back({{"name", id}, {"type", "child<device>"}});
  return all;
}

Json status(Call& call) {
  const Status now = call.machine.status();
  return {{"status", now.state}, {"running", now.running}, {"singlestep", false}};
}

Json topology(const cmdline::Smp& smp, unsigned index) {
  const unsigned cores = smp.threads, dies = cores * smp.cores, sockets = dies * smp.dies * smp.clusters;
  return {{"thread-id", index % smp.threads},
          {"core-id", index / cores % smp.cores},
          {"die-id", index / dies % (smp.dies * smp.clusters)},
          {"socket-id", index / sockets}};
}

std::string cpu_path(unsigned index) {
  return "/machine/unattached/device[" + std::to_string(index) + "]";
}

Json cpus(Call& call) {
  Json list = Json::array();
  const std::vector<bool> halted = call.machine.vcpus_halted();
  unsigned index = 0;
  for (const Vcpu& vcpu : call.machine.vcpus()) {
    list.push_back({{"arch", call.machine.arch() == "x86_64" ? "x86" : "arm"},
                    {"CPU", index},
                    {"current", index == 0},
                    {"halted", static_cast<bool>(halted.at(index))},
                    {"thread_id", vcpu.thread_id},
                    {"qom_path", cpu_path(index)},
                    {"props", topology(call.machine.config().smp, index)}});
    ++index;
  }
  return list;
}

Json cpus_fast(Call& call) {
  Json list = Json::array();
  unsigned index = 0;
  for (const Vcpu& vcpu : call.machine.vcpus()) {
    list.push_back({{"cpu-index", index},
                    {"thread-id", vcpu.thread_id},
                    {"qom-path", cpu_path(index)},
                    {"target", call.machine.arch()},
                    {"props", topology(call.machine.config().smp, index)}});
    ++index;
  }
  return list;
}

Json hotpluggable_cpus(Call& call) {
  Json list = Json::array();
  const cmdline::Smp& smp = call.machine.config().smp;
  for (unsigned index = 0; index < smp.max_cpus; ++index) {
    Json one = {{"type", "host-" + call.machine.arch() + "-cpu"}, {"vcpus-count", 1}, {"props", topology(smp, index)}};
    if (index < smp.cpus) one["qom-path"] = cpu_path(index);
    list.push_back(std::move(one));
  }
  return list;
}

Json iothreads(Call& call) {
  Json list = Json::array();
  for (const Iothread& one : call.machine.iothreads()) {
    list.push_back(
        {{"id", one.id}, {"thread-id", one.thread_id}, {"poll-max-ns", 0}, {"poll-grow", 0}, {"poll-shrink", 0}});
  }
  return list;
}

Json chardevs(Call& call) {
  Json list = Json::array();
  for (const Chardev& one : call.machine.chardevs()) {
    list.push_back({{"label", one.label}, {"filename", one.filename}, {"frontend-open", one.open}});
  }
  return list;
}

// --- disks

std::string backend_path(const Block& block) {
  return block.device.empty() ? std::string() : device_path(block.device) + "/virtio-backend";
}

Json block_stats(Call& call) {
  Json list = Json::array();
  for (const Block& one : call.machine.blocks()) {
    if (one.device.empty()) continue;
    list.push_back({{"device", one.drive},
                    {"node-name", one.drive},
                    {"qdev", backend_path(one)},
                    {"stats",
                     {{"rd_bytes", one.read_bytes},
                      {"rd_operations", one.read_operations},
                      {"rd_total_time_ns", one.read_ns},
                      {"wr_bytes", one.write_bytes},
                      {"wr_operations", one.write_operations},
                      {"wr_total_time_ns", one.write_ns},
                      {"flush_operations", one.flush_operations},
                      {"flush_total_time_ns", one.flush_ns},
                      {"wr_highest_offset", one.highest_offset}}}});
  }
  return list;
}

Json node(const Block& block) {
  return {{"node-name", block.drive},
          {"file", block.file},
          {"drv", "raw"},
          {"ro", block.read_only},
          {"image", {{"filename", block.file}, {"format", "raw"}, {"virtual-size", block.size}}}};
}

Json blocks(Call& call) {
  Json list = Json::array();
  for (const Block& one : call.machine.blocks()) {
    if (one.device.empty()) continue;
    list.push_back({{"device", one.drive},
                    {"qdev", backend_path(one)},
                    {"type", "unknown"},
                    {"removable", false},
                    {"locked", false},
                    {"io-status", one.no_space ? "nospace"
                                  : one.failed ? "failed"
                                               : "ok"},
                    {"inserted", node(one)}});
  }
  return list;
}

Json named_nodes(Call& call) {
  Json list = Json::array();
  for (const Block& one : call.machine.blocks()) list.push_back(node(one));
  return list;
}

// --- memory

Json balloon(Call& call) {
  const auto actual = call.machine.balloon();
  if (!actual) throw Refusal(Refusal::Class::device_not_active, "No balloon device has been activated");
  return {{"actual", *actual}};
}

Json memory(Call& call) {
  return {{"base-memory", call.machine.config().memory.size}, {"plugged-memory", 0}};
}

// --- what this program is

Json version(Call&) {
  return {{"qemu", {{"major", 5}, {"minor", 0}, {"micro", 1}}}, {"package", "StratoVirt-" STRATOVIRT_VERSION}};
}
Json name(Call& call) {
  Json result = Json::object();
  if (!call.machine.config().name.empty()) result["name"] = call.machine.config().name;
  return result;
}
Json uuid(Call& call) {
  const std::string& value = call.machine.config().uuid;
  return {{"UUID", value.empty() ? "00000000-0000-0000-0000-000000000000" : value}};
}
Json target(Call& call) {
  return {{"arch", call.machine.arch()}};
}
Json kvm(Call& call) {
  const bool enabled = call.machine.config().accel == cmdline::Accel::kvm;
  return {{"enabled", enabled}, {"present", enabled}};
}

Json machines(Call& call) {
  Json list = Json::array();
  for (const char* one : {"none", call.machine.arch() == "x86_64" ? "q35" : "virt"}) {
    list.push_back({{"name", one},
                    {"cpu-max", 254},
                    {"hotpluggable-cpus", false},
                    {"numa-mem-supported", false},
                    {"deprecated", false}});
  }
  return list;
}

Json named(std::initializer_list<std::span<const Command>> tables) {
  Json list = Json::array();
  for (const auto table : tables) {
    for (const Command& one : table) list.push_back({{"name", one.name}});
  }
  return list;
}
Json commands(Call&) {
  return named({queries(), control_commands(), hotplug_commands()});
}

Json events(Call&) {
  Json list = Json::array();
  for (const auto one : event_names) list.push_back({{"name", one}});
  return list;
}

/// QEMU's tree of types, as far as there are such here. The devices of the command line are besides.
struct ObjectType {
  std::string_view name, parent;
  bool abstract = false;
};
constexpr ObjectType tree[] = {
    {"object", "", true},
    {"device", "object", true},
    {"pci-device", "device", true},
    {"pcie-root-port-base", "pci-device", true},
    {"virtio-pci", "pci-device", true},
    {"virtio-serial-port", "device", true},
    {"virtio-device", "device", true},
    {"virtio-blk-device", "virtio-device"},
    {"virtio-net-device", "virtio-device"},
    {"virtio-serial-device", "virtio-device"},
    {"virtio-balloon-device", "virtio-device"},
    {"virtio-rng-device", "virtio-device"},
    {"vhost-vsock-device", "virtio-device"},
    {"iothread", "object"},
    {"rng-backend", "object", true},
    {"rng-random", "rng-backend"},
    {"memory-backend", "object", true},
    {"memory-backend-ram", "memory-backend"},
    {"memory-backend-file", "memory-backend"},
    {"memory-backend-memfd", "memory-backend"},
};

std::string_view parent_of_device(std::string_view name) {
  if (name == "virtconsole" || name == "virtserialport") return "virtio-serial-port";
  return name == "pcie-root-port" ? "pcie-root-port-base" : "virtio-pci";
}

/// A type is one of what it descends from, and of itself.
bool implements(const ObjectType& type, std::string_view wanted) {
  if (type.name == wanted) return true;
  const auto* const parent = std::ranges::find(tree, type.parent, &ObjectType::name);
  return parent != std::end(tree) && implements(*parent, wanted);
}

Json types(Call& call) {
  const std::string wanted = call.has("implements") ? call.text("implements") : "object";
  Json list = Json::array();
  const auto add = [&](const ObjectType& type) {
    if ((type.abstract && !call.boolean("abstract")) || !implements(type, wanted)) return;
    Json one = {{"name", type.name}};
    if (!type.parent.empty()) one["parent"] = type.parent;
    if (type.abstract) one["abstract"] = true;
    list.push_back(std::move(one));
  };
  for (const ObjectType& type : tree) add(type);
  for (const auto name : cmdline::device_names()) add({name, parent_of_device(name)});
  return list;
}

Json device_properties(Call& call) {
  const std::string type = call.text("typename");
  const auto keys = cmdline::device_keys(type);
  if (keys.empty()) {
    throw Refusal(Refusal::Class::device_not_found, "Device '" + type.substr(0, 200) + "' not found");
  }
  Json list = Json::array();
  for (const auto key : keys) {
    if (key != "id" && key != "bus") list.push_back({{"name", key}, {"type", "str"}});
  }
  return list;
}

/// What of the command line someone may want to know before writing it, as QEMU calls it.
Json command_line_options(Call& call) {
  struct Option {
    const char* name;
    std::initializer_list<const char*> parameters;
  };
  static const Option options[] = {
      {"name", {"guest", "debug-threads"}},
      {"drive", {"file", "if", "id", "format", "readonly", "discard", "detect-zeroes", "throttling.iops-total", "aio"}},
      {"chardev", {"backend", "path", "host", "port", "fd", "server", "wait", "logfile", "logappend"}},
      {"mon", {"chardev", "mode"}},
      {"overcommit", {"mem-lock", "cpu-pm"}},
      {"boot-opts", {"order", "strict", "menu"}},
      {"sandbox", {"enable", "obsolete", "elevateprivileges", "spawn", "resourcecontrol"}},
      {"msg", {"timestamp", "guest-name"}},
      {"smp-opts", {"cpus", "maxcpus", "sockets", "dies", "clusters", "cores", "threads"}},
      {"memory", {"size", "maxmem", "slots"}},
      {"rtc", {"base", "clock", "driftfix"}},
  };
  const std::string wanted = call.text("option");
  Json list = Json::array();
  for (const Option& option : options) {
    if (!wanted.empty() && wanted != option.name) continue;
    Json parameters = Json::array();
    for (const char* one : option.parameters) parameters.push_back({{"name", one}, {"type", "string"}});
    list.push_back({{"option", option.name}, {"parameters", std::move(parameters)}});
  }
  if (list.empty()) generic("invalid option name");
  return list;
}

}  // namespace

std::span<const Command> queries() {
  static const Command table[] = {
      {"query-status", status},
      {"query-cpus", cpus},
      {"query-cpus-fast", cpus_fast},
      {"query-hotpluggable-cpus", hotpluggable_cpus},
      {"query-iothreads", iothreads},
      {"query-chardev", chardevs},
      {"query-blockstats", block_stats, {{"query-nodes", Type::boolean}}},
      {"query-block", blocks},
      {"query-named-block-nodes", named_nodes, {{"flat", Type::boolean}}},
      {"query-balloon", balloon},
      {"query-mem", memory},
      {"query-memory-size-summary", memory},
      {"query-version", version},
      {"query-name", name},
      {"query-uuid", uuid},
      {"query-target", target},
      {"query-kvm", kvm},
      {"query-machines", machines},
      {"query-commands", commands},
      {"query-events", events},
      {"query-command-line-options", command_line_options, {{"option", Type::text}}},
      {"query-qmp-schema", empty_list},
      {"qom-list-types", types, {{"implements", Type::text}, {"abstract", Type::boolean}}},
      {"device-list-properties", device_properties, {{"typename", Type::text, true}}},
      {"qom-list", devices, {{"path", Type::text, true}}},
      {"query-tpm-models", empty_list},
      {"query-tpm-types", empty_list},
      {"query-migrate-capabilities", empty_list},
      {"query-gic-capabilities", empty_list},
      {"query-block-jobs", empty_list},
  };
  return table;
}

}  // namespace monitor
