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

bool has_address(const DeviceInfo& device, const DeviceInfo& like) {
  if (!like.address || !device.address) return !like.address;
  PciAddress address = *like.address;
  address.multifunction = device.address->multifunction;  // part of no place
  return device.address == address;
}

bool is_meant(const Disk& device, const Disk& like) {
  return device.target == like.target;
}
bool is_meant(const Interface& device, const Interface& like) {
  return (like.mac == any_mac || device.mac == like.mac) && has_address(device.info, like.info) &&
         (like.info.alias.empty() || device.info.alias.empty() || device.info.alias == like.info.alias);
}
bool is_meant(const Controller& device, const Controller& like) {
  return device.type == like.type && device.index == like.index;
}
bool is_same(const CharacterSource& device, const CharacterSource& like) {
  return device.type == like.type && device.path == like.path;
}
bool is_meant(const Console& device, const Console& like) {
  return device.target == like.target && device.port == like.port && is_same(device.source, like.source);
}
bool is_meant(const Serial& device, const Serial& like) {
  return device.port == like.port && is_same(device.source, like.source) &&
         (like.target.empty() || device.target == like.target);
}
bool is_meant(const Memballoon&, const Memballoon&) {
  return true;
}
bool is_meant(const Vsock& device, const Vsock& like) {
  return device.auto_cid.value_or(false) == like.auto_cid.value_or(!like.cid) && has_address(device.info, like.info);
}
bool is_meant(const Rng& device, const Rng& like) {
  return device.backend == like.backend && device.bytes == like.bytes && device.period == like.period &&
         has_address(device.info, like.info);
}
bool is_meant(const Hostdev& device, const Hostdev& like) {
  return device.source == like.source;
}

/// libvirt's error for each kind that is not there.
Error missing(const Disk& disk) {
  return {ErrorCode::device_missing, "no target device " + disk.target};
}
Error missing(const Interface& like) {
  return {ErrorCode::device_missing, describe_lookup(like)};
}
Error missing(const Console&) {
  return {ErrorCode::invalid_arg, "device not present in domain configuration"};
}
Error missing(const Serial&) {
  return {ErrorCode::invalid_arg, "device not present in domain configuration"};
}
Error missing(const Vsock&) {
  return {ErrorCode::operation_failed, "matching vsock device not found"};
}
Error missing(const Rng&) {
  return {ErrorCode::device_missing, "no matching RNG device was found"};
}
Error missing(const auto&) {
  return {ErrorCode::device_missing, "device not present in domain configuration"};
}

/// The device that `like` means in the place of its kind; null where there is none.
template <class T>
T* find_in(Domain& domain, const T& like) {
  auto& devices = domain.*place<T>;
  if constexpr (std::is_same_v<decltype(devices), std::vector<T>&>) {
    const auto means = [&](const T& device) { return is_meant(device, like); };
    if constexpr (std::is_same_v<T, Interface>)
      if (std::ranges::count_if(devices, means) > 1)
        throw Error(ErrorCode::operation_failed,
                    like.mac == any_mac ? "multiple matching devices found"
                                        : "multiple devices matching MAC address " + to_string(like.mac) + " found");
    const auto device = std::ranges::find_if(devices, means);
    return device == devices.end() ? nullptr : &*device;
  } else {
    return devices && is_meant(*devices, like) ? &*devices : nullptr;
  }
}

template <class T>
T& required_in(Domain& domain, const T& like) {
  if (T* const found = find_in(domain, like)) return *found;
  throw missing(like);
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
    if (find_in(domain, *hostdev))
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

std::string describe_lookup(const Interface& like) {
  const auto or_null = [](bool there, const std::string& text) { return there ? text : "(<null>)"; };
  return "no device found at address '" +
         or_null(like.info.address.has_value(), to_string(like.info.address.value_or(PciAddress{}))) +
         "' matching MAC address '" + or_null(like.mac != any_mac, to_string(like.mac)) + "' and alias '" +
         or_null(!like.info.alias.empty(), like.info.alias) + "'";
}

std::optional<Device> find_device(const Domain& domain, const Device& like) {
  Domain copy = domain;
  return std::visit(
      [&](const auto& one) -> std::optional<Device> {
        if (const auto* found = find_in(copy, one)) return *found;
        return std::nullopt;
      },
      like);
}

std::optional<Device> find_device(const Domain& domain, const std::string& alias) {
  std::optional<Device> found;
  for_each_device(domain, [&](const auto& device) {
    if (!found && !alias.empty() && device.info.alias == alias) found = device;
  });
  return found;
}

Device remove_device(Domain& domain, const Device& like) {
  const Device removed = std::visit(
      [&]<class T>(const T& one) -> Device {
        T& found = required_in(domain, one);
        if constexpr (std::is_same_v<T, Controller>) refuse_if_used(domain, found);
        T taken = std::move(found);
        auto& devices = domain.*place<T>;
        if constexpr (std::is_same_v<decltype(devices), std::vector<T>&>)
          devices.erase(devices.begin() + (&found - devices.data()));
        else
          devices.reset();
        return taken;
      },
      like);
  // A serial port goes with the console that is its other name.
  if (std::holds_alternative<Serial>(removed) && domain.serials.empty())
    std::erase_if(domain.consoles, [](const Console& one) { return one.target == Console::Target::serial; });
  return removed;
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

void update_device(Domain& domain, Device device, const Device& like) {
  std::visit(
      [&]<class T>(T& one) {
        T& found = required_in(domain, std::get<T>(like));
        if (!one.info.address) one.info.address = found.info.address;
        if (one.info.alias.empty()) one.info.alias = found.info.alias;
        if (!one.info.boot_order) one.info.boot_order = found.info.boot_order;
        found = std::move(one);
      },
      device);
  pair_console_with_serial(domain);
}

}  // namespace domain
