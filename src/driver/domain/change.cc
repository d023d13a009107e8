#include "driver/domain/change.h"

#include <algorithm>
#include <type_traits>

#include "driver/core/error.h"
#include "driver/domain/devices.h"

namespace domain {
namespace {

using core::Error;
using core::ErrorCode;

constexpr unsigned buses = 256;

/// Where a domain has its devices of type T: a vector, or an optional.
template <class T>
constexpr auto place = nullptr;
template <>
constexpr auto place<Disk> = &Domain::disks;
template <>
constexpr auto place<Interface> = &Domain::interfaces;
template <>
constexpr auto place<Controller> = &Domain::controllers;
template <>
constexpr auto place<Console> = &Domain::consoles;
template <>
constexpr auto place<Serial> = &Domain::serials;
template <>
constexpr auto place<Memballoon> = &Domain::memballoon;
template <>
constexpr auto place<Rng> = &Domain::rngs;
template <>
constexpr auto place<Vsock> = &Domain::vsock;
template <>
constexpr auto place<Hostdev> = &Domain::hostdevs;

/// An address or alias that `like` has must be the device's.
bool fits(const DeviceInfo& device, const DeviceInfo& like) {
  return (!like.address || device.address == like.address) && (like.alias.empty() || device.alias == like.alias);
}

bool is_meant(const Disk& device, const Disk& like) {
  return device.target == like.target;
}
bool is_meant(const Interface& device, const Interface& like) {
  return device.mac == like.mac && fits(device.info, like.info);
}
bool is_meant(const Controller& device, const Controller& like) {
  return device.type == like.type && device.index == like.index;
}
bool is_meant(const Console& device, const Console& like) {
  return device.target == like.target && device.port == like.port && fits(device.info, like.info);
}
bool is_meant(const Serial& device, const Serial& like) {
  return device.port == like.port && fits(device.info, like.info);
}
bool is_meant(const Memballoon& device, const Memballoon& like) {
  return device.model == like.model;
}
bool is_meant(const Vsock& device, const Vsock& like) {
  return fits(device.info, like.info);
}
bool is_meant(const Rng& device, const Rng& like) {
  return device.backend == like.backend && device.bytes == like.bytes && device.period == like.period &&
         fits(device.info, like.info);
}
bool is_meant(const Hostdev& device, const Hostdev& like) {
  return device.source == like.source;
}

std::string missing(const Disk& disk) {
  return "no target device " + disk.target;
}
std::string missing(const Interface& interface) {
  return "no device matching MAC address " + to_string(interface.mac) + " found";
}
std::string missing(const Controller& controller) {
  return "device controller of index " + std::to_string(controller.index) + " not found";
}
std::string missing(const Hostdev& hostdev) {
  return "host pci device " + to_string(hostdev.source) + " not found";
}
std::string missing(const auto&) {
  return "matching device not found";
}

template <class T>
auto find_in(std::vector<T>& devices, const T& like) {
  return std::ranges::find_if(devices, [&](const T& device) { return is_meant(device, like); });
}

/// Calls `found` with the device that `like` means in the place of its kind. Throws Error: DEVICE_MISSING.
template <class T, class Found>
void at(Domain& domain, const T& like, const Found& found) {
  auto& devices = domain.*place<T>;
  if constexpr (std::is_same_v<T, Interface>)
    if (std::ranges::count_if(devices, [&](const T& device) { return is_meant(device, like); }) > 1)
      throw Error(ErrorCode::operation_failed,
                  "multiple devices matching MAC address " + to_string(like.mac) + " found");
  if constexpr (std::is_same_v<decltype(devices), std::vector<T>&>) {
    if (const auto device = find_in(devices, like); device != devices.end()) return found(*device);
  } else {
    if (devices && is_meant(*devices, like)) return found(*devices);
  }
  throw Error(ErrorCode::device_missing, missing(like));
}

void refuse_if_used(const Domain& domain, const Controller& controller) {
  bool used = controller.model == Controller::Model::pcie_root;
  if (controller.type == Controller::Type::pci)
    for_each_device(domain, [&](const auto& device) {
      used |= device.info.address && device.info.address->bus == controller.index;
    });
  else
    used =
        std::ranges::any_of(domain.consoles, [](const Console& one) { return one.target == Console::Target::virtio; });
  if (used)
    throw Error(ErrorCode::operation_unsupported,
                "controller of index " + std::to_string(controller.index) + " cannot be detached: device is busy");
}

}  // namespace

unsigned free_index(const Domain& domain) {
  unsigned index = 1;
  const auto is_taken = [&](const Controller& one) { return one.type == Controller::Type::pci && one.index == index; };
  while (std::ranges::any_of(domain.controllers, is_taken)) ++index;
  if (index >= buses) throw Error(ErrorCode::internal_error, "No more available PCI slots");
  return index;
}

void add_device(Domain& domain, Device device) {
  if (std::holds_alternative<Memballoon>(device) && domain.memballoon)
    throw Error(ErrorCode::internal_error, "only a single memory balloon device is supported (element 'memballoon')");
  if (std::holds_alternative<Vsock>(device) && domain.vsock)
    throw Error(ErrorCode::xml_error, "only a single vsock device is supported (element 'vsock')");
  if (const auto* hostdev = std::get_if<Hostdev>(&device))
    if (find_in(domain.hostdevs, *hostdev) != domain.hostdevs.end())
      throw Error(ErrorCode::xml_error, "Hostdev already exists in the domain configuration");
  std::visit(
      [&]<class T>(T& one) {
        auto& devices = domain.*place<T>;
        if constexpr (std::is_same_v<T, Disk>)
          devices.insert(std::ranges::upper_bound(devices, target_number(one.target), {},
                                                  [](const Disk& disk) { return target_number(disk.target); }),
                         std::move(one));
        else if constexpr (std::is_same_v<decltype(devices), std::vector<T>&>)
          devices.push_back(std::move(one));
        else
          devices = std::move(one);
      },
      device);
}

std::optional<Device> find_device(const Domain& domain, const Device& like) {
  Domain copy = domain;
  std::optional<Device> device;
  try {
    std::visit([&](const auto& one) { at(copy, one, [&](const auto& found) { device = found; }); }, like);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::device_missing) throw;
  }
  return device;
}

std::optional<Device> find_device(const Domain& domain, const std::string& alias) {
  std::optional<Device> found;
  for_each_device(domain, [&](const auto& device) {
    if (!found && !alias.empty() && device.info.alias == alias) found = device;
  });
  return found;
}

Device remove_device(Domain& domain, const Device& like) {
  std::optional<Device> removed;
  std::visit(
      [&]<class T>(const T& one) {
        at(domain, one, [&](T& found) {
          if constexpr (std::is_same_v<T, Controller>) refuse_if_used(domain, found);
          removed = found;
        });
        auto& devices = domain.*place<T>;
        if constexpr (std::is_same_v<decltype(devices), std::vector<T>&>)
          devices.erase(find_in(devices, one));
        else
          devices.reset();
      },
      like);
  // A serial port goes with the console that is its other name, and the other way round.
  const auto is_pair = [](const Console& one) { return one.target == Console::Target::serial; };
  if (std::holds_alternative<Serial>(*removed) && domain.serials.empty()) std::erase_if(domain.consoles, is_pair);
  if (const auto* console = std::get_if<Console>(&*removed); console && is_pair(*console)) domain.serials.clear();
  return *std::move(removed);
}

void forget_device(Domain& domain, const std::string& alias) {
  const auto is_it = [&](const auto& device) { return !alias.empty() && device.info.alias == alias; };
  const auto forget_in = [&](auto& devices) {
    if constexpr (requires { devices.reset(); }) {
      if (devices && is_it(*devices)) devices.reset();
    } else {
      std::erase_if(devices, is_it);
    }
  };
  const auto all = [&](auto&... kinds) { (forget_in(kinds), ...); };
  all(domain.disks, domain.interfaces, domain.controllers, domain.consoles, domain.serials, domain.memballoon,
      domain.rngs, domain.vsock, domain.hostdevs);
}

void update_device(Domain& domain, Device device) {
  std::visit(
      [&](auto& one) {
        at(domain, one, [&](auto& found) {
          if (!one.info.address) one.info.address = found.info.address;
          if (one.info.alias.empty()) one.info.alias = found.info.alias;
          if (!one.info.boot_order) one.info.boot_order = found.info.boot_order;
          found = one;
        });
      },
      device);
  pair_console_with_serial(domain);
}

}  // namespace domain
