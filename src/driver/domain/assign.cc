#include <algorithm>
#include <set>
#include <tuple>
#include <type_traits>

#include "driver/core/error.h"
#include "driver/domain/change.h"

namespace domain {
namespace {

using core::Error;
using core::ErrorCode;
using Kind = Controller::Type;
using Model = Controller::Model;

constexpr unsigned slots = 32, functions = 8;
constexpr unsigned q35_bridge_slot = 0x1f;  // the LPC bridge, and SATA and SMBus beside it

/// Whether the device stands on PCI.
bool has_place(const Controller& controller) {
  return controller.model != Model::pcie_root;
}
bool has_place(const Memballoon& balloon) {
  return balloon.model != Memballoon::Model::none;
}
bool has_place(const Serial&) {
  return false;
}
bool has_place(const Console&) {
  return false;
}
bool has_place(const auto&) {
  return true;
}

template <class T>
bool is_root_port(const T& device) {
  if constexpr (std::is_same_v<T, Controller>) return device.model == Model::pcie_root_port;
  return false;
}

[[noreturn]] void refuse(const PciAddress& address, const std::string& why) {
  throw Error(ErrorCode::xml_error, "Invalid PCI address " + to_string(address) + ". " + why);
}

[[noreturn]] void refuse_more() {
  throw Error(ErrorCode::internal_error, "No more available PCI slots");
}

/// The places of a domain that are taken; a new one is checked against the rules of its bus.
class Places {
 public:
  explicit Places(const Domain& domain) : x86_(domain.os.arch == Arch::x86_64) {
    for (const Controller& controller : domain.controllers)
      if (controller.type == Kind::pci) buses_.insert(controller.index);
  }

  void add_bus(unsigned bus) { buses_.insert(bus); }

  void take(const PciAddress& address, bool root_port) {
    if (!buses_.contains(address.bus))
      refuse(address, "There is no PCI controller with index '" + std::to_string(address.bus) + "' for its bus");
    if (address.bus != 0 && root_port) refuse(address, "A pcie-root-port stands on bus 0");
    if (address.bus != 0 && address.slot != 0) refuse(address, "slot must be <= 0");
    if (address.bus == 0 && address.slot == 0) refuse(address, "slot must be >= 1");
    const bool reserved = x86_ && address.bus == 0 && address.slot == q35_bridge_slot;
    if (reserved || !taken_.emplace(address.bus, address.slot, address.function).second)
      throw Error(ErrorCode::xml_error, "Attempted double use of PCI Address " + to_string(address));
    if (!root_port) whole_.emplace(address.bus, address.slot);
  }

  bool is_free(unsigned bus) const { return used_functions(bus, 0) == 0; }

  /// A place for a root port: a slot of its own while there is one, then a function beside other root ports.
  std::optional<PciAddress> root_port_place() const {
    for (unsigned limit = 1; limit <= functions; ++limit)
      for (unsigned slot = 1; slot < slots; ++slot) {
        if ((x86_ && slot == q35_bridge_slot) || whole_.contains({0, slot})) continue;
        unsigned function = 0;
        while (taken_.contains({0, slot, function})) ++function;
        if (function < limit)
          return PciAddress{.slot = static_cast<std::uint8_t>(slot), .function = static_cast<std::uint8_t>(function)};
      }
    return {};
  }

  /// How many functions of the slot are taken.
  std::size_t used_functions(unsigned bus, unsigned slot) const {
    std::size_t count = 0;
    for (unsigned function = 0; function < functions; ++function) count += taken_.contains({bus, slot, function});
    return count;
  }

 private:
  bool x86_;
  std::set<unsigned> buses_;
  std::set<std::tuple<unsigned, unsigned, unsigned>> taken_;
  std::set<std::pair<unsigned, unsigned>> whole_;  // slots that something else than root ports is in
};

void refuse_twins(const Domain& domain) {
  std::set<std::pair<Kind, unsigned>> seen;
  for (const Controller& controller : domain.controllers)
    if (!seen.emplace(controller.type, controller.index).second)
      throw Error(ErrorCode::xml_error, "Multiple '" +
                                            std::string(controller.type == Kind::pci ? "pci" : "virtio-serial") +
                                            "' controllers with index '" + std::to_string(controller.index) + "'");
}

void add_missing_controllers(Domain& domain) {
  const auto is_root = [](const Controller& one) { return one.model == Model::pcie_root; };
  const auto is_serial = [](const Controller& one) { return one.type == Kind::virtio_serial; };
  const auto needs_serial = [](const Console& one) { return one.target == Console::Target::virtio; };
  if (std::ranges::none_of(domain.controllers, is_root)) {
    Controller root;
    root.model = Model::pcie_root;
    domain.controllers.insert(domain.controllers.begin(), root);
  }
  if (std::ranges::any_of(domain.consoles, needs_serial) && std::ranges::none_of(domain.controllers, is_serial)) {
    Controller serial;
    serial.type = Kind::virtio_serial;
    domain.controllers.push_back(serial);
  }
}

/// A new root port, after the other PCI controllers.
unsigned add_root_port(Domain& domain) {
  Controller port;
  port.model = Model::pcie_root_port;
  port.index = free_index(domain);
  const auto last = std::ranges::find_if(domain.controllers.rbegin(), domain.controllers.rend(),
                                         [](const Controller& one) { return one.type == Kind::pci; });
  domain.controllers.insert(last.base(), port);
  return port.index;
}

void place_root_ports(Domain& domain, Places& places) {
  for (Controller& controller : domain.controllers) {
    if (!is_root_port(controller)) continue;
    if (!controller.info.address) {
      controller.info.address = places.root_port_place();
      if (!controller.info.address) refuse_more();
      places.take(*controller.info.address, true);
    }
    if (!controller.chassis) controller.chassis = controller.index;
    if (!controller.port)
      controller.port = controller.info.address->slot * functions + controller.info.address->function;
  }
}

}  // namespace

void assign_addresses(Domain& domain, Ports ports) {
  refuse_twins(domain);
  if (ports == Ports::add) add_missing_controllers(domain);
  const bool has_ports =
      std::ranges::any_of(domain.controllers, [](const Controller& one) { return is_root_port(one); });
  Places places(domain);
  std::size_t homeless = 0;
  for_each_device(domain, [&](auto& device) {
    if (!has_place(device)) return;
    if (device.info.address)
      places.take(*device.info.address, is_root_port(device));
    else
      homeless += !is_root_port(device);
  });

  std::vector<unsigned> homes;  // buses, each of one device
  for (const Controller& controller : domain.controllers)
    if (is_root_port(controller) && places.is_free(controller.index)) homes.push_back(controller.index);
  std::ranges::sort(homes);
  while (homes.size() < homeless) {
    if (ports != Ports::add) refuse_more();
    homes.push_back(add_root_port(domain));
    places.add_bus(homes.back());
  }
  place_root_ports(domain, places);
  // Whose description leaves the ports to the driver can have a device added while it runs, as libvirt.
  if (ports == Ports::add && !has_ports && !homes.empty() && places.root_port_place()) {
    places.add_bus(add_root_port(domain));
    place_root_ports(domain, places);
  }

  auto home = homes.begin();
  for_each_device(domain, [&](auto& device) {
    if (!has_place(device) || device.info.address) return;
    device.info.address = PciAddress{.bus = static_cast<std::uint8_t>(*home++)};
    places.take(*device.info.address, false);
  });
  // Function 0 says whether there are others in its slot.
  for_each_device(domain, [&](auto& device) {
    auto& address = device.info.address;
    if (has_place(device) && address && address->function == 0 &&
        places.used_functions(address->bus, address->slot) > 1)
      address->multifunction = true;
  });
}

namespace {

/// The aliases that are used, and the next that is free of a kind.
class Aliases {
 public:
  explicit Aliases(const Domain& domain) {
    for_each_device(domain, [&](const auto& device) { used_.insert(device.info.alias); });
  }

  void give(DeviceInfo& info, const std::string& kind, unsigned number) {
    if (!info.alias.empty()) return;
    while (!used_.insert(kind + std::to_string(number)).second) ++number;
    info.alias = kind + std::to_string(number);
  }

 private:
  std::set<std::string> used_;
};

}  // namespace

void assign_aliases(Domain& domain) {
  Aliases aliases(domain);
  for (Controller& controller : domain.controllers) {
    const char* const pci = controller.model == Model::pcie_root ? "pcie." : "pci.";
    aliases.give(controller.info, controller.type == Kind::pci ? pci : "virtio-serial", controller.index);
  }
  for (Disk& disk : domain.disks) aliases.give(disk.info, "virtio-disk", target_number(disk.target));
  const auto in_order = [&](auto& devices, const char* kind) {
    for (unsigned i = 0; auto& device : devices) aliases.give(device.info, kind, i++);
  };
  in_order(domain.interfaces, "net");
  in_order(domain.serials, "serial");
  in_order(domain.rngs, "rng");
  in_order(domain.hostdevs, "hostdev");
  // The console that is a serial port's other name has its alias too.
  for (unsigned i = 0; Console & console : domain.consoles) {
    if (console.target == Console::Target::serial && !domain.serials.empty())
      console.info.alias = domain.serials.front().info.alias;
    else
      aliases.give(console.info, "console", i);
    ++i;
  }
  if (domain.memballoon) aliases.give(domain.memballoon->info, "balloon", 0);
  if (domain.vsock) aliases.give(domain.vsock->info, "vsock", 0);
}

}  // namespace domain
