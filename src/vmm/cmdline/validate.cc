#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>
#include <tuple>

#include "vmm/cmdline/machine_config.h"
#include "vmm/cmdline/parts.h"

// How the parts of a machine fit each other.
namespace cmdline {
namespace {

constexpr std::size_t most_iothreads = 8, most_nodes = 8;
constexpr std::string_view root_bus = "pcie.0";

[[noreturn]] void wrong(const std::string& what) {
  throw std::invalid_argument(what);
}

std::string quoted(std::string_view id) {
  return "'" + std::string(id) + "'";
}

/// Names of one kind, and who uses each.
class Names {
 public:
  explicit Names(std::string kind) : kind_(std::move(kind)) {}

  void add(const std::string& id) {
    if (!users_.emplace(id, std::string()).second) wrong(kind_ + " id " + quoted(id) + " is there twice");
  }
  void use(const std::string& id, const std::string& user) {
    share(id, user);
    std::string& before = users_[id];
    if (!before.empty()) wrong(kind_ + " " + quoted(id) + " is used by " + before + " and by " + user);
    before = user;
  }
  void share(const std::string& id, const std::string& user) const {
    if (!users_.contains(id)) wrong(user + " names " + kind_ + " " + quoted(id) + ", which is not there");
  }

 private:
  std::string kind_;
  std::map<std::string, std::string> users_;
};

std::string user(const std::string& id) {
  return "device " + quoted(id);
}

struct Ids {
  Names chardevs{"chardev"}, drives{"drive"}, netdevs{"netdev"}, objects{"object"}, devices{"device"};
  Names iothreads{"iothread"}, rngs{"rng-random"}, memory{"memory backend"};

  explicit Ids(const Config& config) {
    const auto object = [this](Names& names, const std::string& id) {
      names.add(id);
      objects.add(id);
    };
    for (const auto& one : config.chardevs) chardevs.add(one.id);
    for (const auto& one : config.drives) drives.add(one.id);
    for (const auto& one : config.netdevs) netdevs.add(one.id);
    for (const auto& one : config.iothreads) object(iothreads, one.id);
    for (const auto& one : config.rngs) object(rngs, one.id);
    for (const auto& one : config.memory_backends) object(memory, one.id);
    for (const auto& one : config.devices) devices.add(id_of(one));
  }
};

void check_backends(const Config& config, Ids& ids) {
  const auto iothread = [&ids](const auto& device) {
    if (!device.iothread.empty()) ids.iothreads.share(device.iothread, user(device.id));
  };
  for (const Device& device : config.devices) {
    if (const auto* const blk = std::get_if<VirtioBlk>(&device)) {
      ids.drives.use(blk->drive, user(blk->id));
      iothread(*blk);
    } else if (const auto* const net = std::get_if<VirtioNet>(&device)) {
      ids.netdevs.use(net->netdev, user(net->id));
      iothread(*net);
    } else if (const auto* const rng = std::get_if<VirtioRng>(&device)) {
      ids.rngs.use(rng->rng, user(rng->id));
    } else if (const auto* const port = std::get_if<SerialPort>(&device)) {
      ids.chardevs.use(port->chardev, user(port->id));
    }
  }
  if (config.serial) ids.chardevs.use(*config.serial, "-serial");
  for (const std::string& monitor : config.monitors) ids.chardevs.use(monitor, "a monitor");
}

void check_places(const Config& config) {
  using Place = std::tuple<std::string, unsigned, unsigned>;
  std::set<std::string> ports;
  for (const Device& device : config.devices) {
    if (const auto* const port = std::get_if<RootPort>(&device)) ports.insert(port->id);
  }
  std::map<Place, const Device*> taken;
  for (const Device& device : config.devices) {
    const PciPlace* const place = place_of(device);
    if (!place) continue;
    const std::string who = user(id_of(device));
    const auto text = [place] {
      constexpr const char* digits = "0123456789abcdef";
      std::string slot = place->slot > 15 ? "1" : "";
      slot += digits[place->slot % 16];
      return "bus=" + place->bus + ",addr=" + slot + '.' + digits[place->function];
    };
    if (place->bus == root_bus) {
      if (place->slot == 0 || (config.machine == MachineType::q35 && place->slot == 31)) {
        wrong(who + ": " + text() + " belongs to the machine itself");
      }
    } else if (!ports.contains(place->bus)) {
      wrong(who + ": there is no bus " + quoted(place->bus));
    } else if (std::holds_alternative<RootPort>(device)) {
      wrong(who + ": a root port sits on pcie.0");
    } else if (place->slot != 0) {
      wrong(who + ": " + text() + ", allowed behind a root port: slot 0");
    }
    const auto [other, free] = taken.emplace(Place(place->bus, place->slot, place->function), &device);
    if (!free) wrong(who + ": " + text() + " is taken by " + user(id_of(*other->second)));
  }
  for (const auto& [place, device] : taken) {
    if (std::get<2>(place) == 0) continue;
    const auto first = taken.find(Place(std::get<0>(place), std::get<1>(place), 0));
    if (first == taken.end() || !place_of(*first->second)->multifunction) {
      wrong(user(id_of(*device)) + ": function 0 of its slot must be there with multifunction=on");
    }
  }
}

void check_serial_ports(const Config& config) {
  std::map<std::string, const VirtioSerial*> controllers;
  const VirtioSerial* first = nullptr;
  for (const Device& device : config.devices) {
    const auto* const controller = std::get_if<VirtioSerial>(&device);
    if (!controller) continue;
    if (!first) first = controller;
    controllers[controller->id] = controllers[controller->id + ".0"] = controller;
  }
  std::map<const VirtioSerial*, std::set<unsigned>> numbers;
  std::map<const VirtioSerial*, unsigned> ports;
  for (const Device& device : config.devices) {
    const auto* const port = std::get_if<SerialPort>(&device);
    if (!port) continue;
    const std::string who = user(port->id);
    const auto found = controllers.find(port->bus);
    const VirtioSerial* const controller = port->bus.empty()            ? first
                                           : found == controllers.end() ? nullptr
                                                                        : found->second;
    if (!controller) {
      wrong(who + (port->bus.empty() ? ": there is no virtio-serial-pci" : ": there is no bus " + quoted(port->bus)));
    }
    if (++ports[controller] > controller->max_ports) {
      wrong(who + ": more than max_ports=" + std::to_string(controller->max_ports) + " of " + quoted(controller->id));
    }
    if (!port->number) continue;
    const std::string nr = "nr=" + std::to_string(*port->number);
    if (*port->number >= controller->max_ports) {
      wrong(who + ": " + nr + ", allowed: below max_ports=" + std::to_string(controller->max_ports));
    }
    if (*port->number == 0 && !port->console) wrong(who + ": nr=0 is for a virtconsole");
    if (!numbers[controller].insert(*port->number).second) wrong(who + ": " + nr + " is taken");
  }
}

void check_numa(const Config& config, Ids& ids) {
  if (config.numa_nodes.size() > most_nodes) wrong("-numa: more than 8 nodes");
  std::set<unsigned> nodes, cpus;
  std::uint64_t size = 0;
  for (const NumaNode& node : config.numa_nodes) {
    const std::string who = "-numa node " + std::to_string(node.id);
    if (!nodes.insert(node.id).second) wrong(who + " is there twice");
    ids.memory.use(node.memdev, who);
    size += std::ranges::find(config.memory_backends, node.memdev, &MemoryBackend::id)->size;
    for (const unsigned cpu : node.cpus) {
      if (cpu >= config.smp.max_cpus) wrong(who + ": there is no processor " + std::to_string(cpu));
      if (!cpus.insert(cpu).second) wrong(who + ": processor " + std::to_string(cpu) + " is in two places");
    }
  }
  if (!nodes.empty() && cpus.size() != config.smp.max_cpus) wrong("-numa: not every processor is in a node");
  if (!nodes.empty() && size != config.memory.size) wrong("-numa: the nodes' memory is not that of -m");
  for (const NumaDistance& one : config.numa_distances) {
    if (!nodes.contains(one.from) || !nodes.contains(one.to)) wrong("-numa dist: there is no such node");
    if (one.from == one.to && one.distance != 10) wrong("-numa dist: the distance of a node to itself is 10");
  }
}

template <class T>
void check_single(const Config& config, const char* what) {
  const auto count =
      std::ranges::count_if(config.devices, [](const Device& one) { return std::holds_alternative<T>(one); });
  if (count > 1) wrong(std::string("there is more than one ") + what);
}

void check_test_socket(const Config& config) {
  const bool test = config.accel != Accel::kvm;
  if (test != !config.test_socket.empty() || (test && config.accel != config.test_protocol)) {
    wrong(
        "-accel qtest goes with -qtest unix:PATH, -accel test with -mod-test unix:PATH, and neither without the other");
  }
}

}  // namespace

void validate(const Config& config) {
  if (config.machine == MachineType::none && !config.devices.empty()) wrong("-machine none has no devices");
  check_test_socket(config);
  if (config.kernel.empty()) {
    if (!config.append.empty()) wrong("-append goes with -kernel only");
    if (!config.initrd.empty()) wrong("-initrd goes with -kernel only");
  }
  if (config.iothreads.size() > most_iothreads) wrong("there are more than 8 iothreads");
  Ids ids(config);
  check_backends(config, ids);
  check_places(config);
  check_serial_ports(config);
  check_numa(config, ids);
  check_single<VhostVsock>(config, "vhost-vsock-pci");
  check_single<VirtioBalloon>(config, "virtio-balloon-pci");
  if (config.pflash.size() > 2 || (config.pflash.size() == 2 && config.pflash[0].unit == config.pflash[1].unit)) {
    wrong("-drive if=pflash: a unit is there twice");
  }
  const auto stdio = std::ranges::count(config.chardevs, Chardev::Kind::stdio, &Chardev::kind);
  if (stdio > 1) wrong("-chardev stdio is there twice");
  if (stdio > 0 && config.daemonize) wrong("-chardev stdio does not go with -daemonize");
}

}  // namespace cmdline
