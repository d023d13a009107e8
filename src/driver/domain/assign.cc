#include <algorithm>
#include <functional>
#include <set>

#include "driver/core/error.h"
#include "driver/domain/domain.h"

namespace domain {
namespace {

using core::Error;
using core::ErrorCode;
using Model = Controller::Model;
using Kind = Controller::Type;

constexpr unsigned slots = 32;
constexpr unsigned last_slot = 0x1f;  ///< q35's LPC bridge is there

/// Every device that has a place on PCI.
void for_each_pci(Domain& domain, const std::function<void(DeviceInfo&)>& visit) {
  for (auto& controller : domain.controllers) {
    if (controller.model != Model::pcie_root) visit(controller.info);
  }
  for (auto& disk : domain.disks) visit(disk.info);
  for (auto& interface : domain.interfaces) visit(interface.info);
  if (domain.memballoon && domain.memballoon->model == Memballoon::Model::virtio) visit(domain.memballoon->info);
  for (auto& rng : domain.rngs) visit(rng.info);
  if (domain.vsock) visit(domain.vsock->info);
  for (auto& hostdev : domain.hostdevs) visit(hostdev.info);
}

bool has_bus(const Domain& domain, unsigned bus) {
  return std::ranges::any_of(domain.controllers, [&](const Controller& one) { return one.type == Kind::pci && one.index == bus; });
}

/// The places taken so far; checks each new one against the rules of its bus.
class Places {
 public:
  explicit Places(const Domain& domain) : domain_(domain) {}

  void take(const PciAddress& address) {
    const std::string text = to_string(address);
    if (!has_bus(domain_, address.bus)) {
      throw Error(ErrorCode::xml_error, "PCI address " + text + ": there is no PCI controller of index " + std::to_string(address.bus));
    }
    if (address.bus != 0 && address.slot != 0) {
      throw Error(ErrorCode::xml_error, "PCI address " + text + ": a pcie-root-port has slot 0 only");
    }
    if (address.bus == 0 && address.slot == 0) throw Error(ErrorCode::xml_error, "PCI address " + text + ": slot 0 of bus 0 is the host bridge's");
    if (!taken_.insert({address.bus, address.slot, address.function}).second) {
      throw Error(ErrorCode::xml_error, "Attempted double use of PCI Address " + text);
    }
  }
  bool bus_is_free(unsigned bus) const {
    return std::ranges::none_of(taken_, [&](const auto& place) { return std::get<0>(place) == bus; });
  }
  bool slot_is_free(unsigned slot) const {
    return std::ranges::none_of(taken_, [&](const auto& place) { return std::get<0>(place) == 0 && std::get<1>(place) == slot; });
  }

 private:
  const Domain& domain_;
  std::set<std::tuple<unsigned, unsigned, unsigned>> taken_;
};

PciAddress free_root_slot(const Places& places) {
  for (unsigned slot = 1; slot < slots; ++slot) {
    if (slot != last_slot && places.slot_is_free(slot)) return {0, 0, static_cast<std::uint8_t>(slot), 0, false};
  }
  throw Error(ErrorCode::xml_error, "No more available PCI slots");
}

void add_missing_controllers(Domain& domain) {
  if (!has_bus(domain, 0)) {
    Controller root;
    root.model = Model::pcie_root;
    domain.controllers.insert(domain.controllers.begin(), root);
  }
  const bool virtio_console = std::ranges::any_of(domain.consoles, [](const Console& one) { return one.target == Console::Target::virtio; });
  if (virtio_console && std::ranges::none_of(domain.controllers, [](const Controller& one) { return one.type == Kind::virtio_serial; })) {
    Controller serial;
    serial.type = Kind::virtio_serial;
    domain.controllers.push_back(serial);
  }
  // Every bus that an address names below the highest written one is there.
  unsigned highest = 0;
  for_each_pci(domain, [&](DeviceInfo& device) {
    if (device.address) highest = std::max<unsigned>(highest, device.address->bus);
  });
  for (unsigned bus = 1; bus <= highest; ++bus) {
    if (has_bus(domain, bus)) continue;
    Controller port;
    port.model = Model::pcie_root_port;
    port.index = bus;
    domain.controllers.push_back(port);
  }
}

unsigned add_root_port(Domain& domain) {
  unsigned index = 1;
  while (has_bus(domain, index)) ++index;
  if (index > 255) throw Error(ErrorCode::xml_error, "No more available PCI buses");
  Controller port;
  port.model = Model::pcie_root_port;
  port.index = index;
  domain.controllers.push_back(port);
  return index;
}

}  // namespace

void assign_addresses(Domain& domain) {
  add_missing_controllers(domain);
  Places places(domain);
  for_each_pci(domain, [&](DeviceInfo& device) {
    if (device.address) places.take(*device.address);
  });
  // Devices first, since they may need ports of their own; then the ports themselves on the root bus.
  std::size_t homeless = 0;
  for (const auto& controller : domain.controllers) homeless += controller.type == Kind::virtio_serial && !controller.info.address;
  const auto count = [&](DeviceInfo& device) { homeless += !device.address; };
  for (auto& disk : domain.disks) count(disk.info);
  for (auto& interface : domain.interfaces) count(interface.info);
  if (domain.memballoon && domain.memballoon->model == Memballoon::Model::virtio) count(domain.memballoon->info);
  for (auto& rng : domain.rngs) count(rng.info);
  if (domain.vsock) count(domain.vsock->info);
  for (auto& hostdev : domain.hostdevs) count(hostdev.info);
  std::vector<unsigned> homes;
  for (const auto& controller : domain.controllers) {
    if (controller.model == Model::pcie_root_port && places.bus_is_free(controller.index)) homes.push_back(controller.index);
  }
  while (homes.size() < homeless) homes.push_back(add_root_port(domain));
  std::ranges::sort(homes);
  for (auto& controller : domain.controllers) {
    if (controller.model != Model::pcie_root_port) continue;
    if (!controller.info.address) {
      controller.info.address = free_root_slot(places);
      places.take(*controller.info.address);
    }
    if (!controller.chassis) controller.chassis = controller.index;
    if (!controller.port) controller.port = controller.info.address->slot * 8u + controller.info.address->function;
  }
  std::size_t next = 0;
  for_each_pci(domain, [&](DeviceInfo& device) {
    if (device.address) return;
    device.address = PciAddress{0, static_cast<std::uint8_t>(homes[next++]), 0, 0, false};
    places.take(*device.address);
  });
}

void assign_aliases(Domain& domain) {
  const auto give = [](DeviceInfo& device, std::string name) {
    if (device.alias.empty()) device.alias = std::move(name);
  };
  const auto numbered = [&](auto& devices, const char* prefix) {
    for (std::size_t i = 0; i < devices.size(); ++i) give(devices[i].info, prefix + std::to_string(i));
  };
  for (auto& controller : domain.controllers) {
    const std::string index = std::to_string(controller.index);
    give(controller.info, controller.type == Kind::virtio_serial ? "virtio-serial" + index
                          : controller.model == Model::pcie_root ? "pcie." + index
                                                                 : "pci." + index);
  }
  numbered(domain.disks, "virtio-disk");
  numbered(domain.interfaces, "net");
  numbered(domain.serials, "serial");
  for (std::size_t i = 0; i < domain.consoles.size(); ++i) {
    Console& console = domain.consoles[i];
    give(console.info, console.target == Console::Target::serial && !domain.serials.empty() ? domain.serials.front().info.alias
                                                                                             : "console" + std::to_string(i));
  }
  if (domain.memballoon) give(domain.memballoon->info, "balloon0");
  numbered(domain.rngs, "rng");
  if (domain.vsock) give(domain.vsock->info, "vsock0");
  numbered(domain.hostdevs, "hostdev");
}

}  // namespace domain
