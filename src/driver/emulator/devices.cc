#include "driver/emulator/devices.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>

#include "driver/core/error.h"
#include "driver/emulator/command.h"

namespace emulator {
namespace {

using core::Error;
using core::ErrorCode;

std::string hexadecimal(unsigned value) {
  std::array<char, 8> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, 16).ptr;
  return "0x" + std::string(buffer.data(), end);
}

std::string bus_name(const domain::Domain& domain, unsigned index) {
  if (index == 0) return "pcie.0";
  for (const auto& controller : domain.controllers) {
    if (controller.type == domain::Controller::Type::pci && controller.index == index &&
        !controller.info.alias.empty()) {
      return controller.info.alias;
    }
  }
  return "pci." + std::to_string(index);
}

std::string join(const std::vector<std::string>& items) {
  std::string text;
  for (const auto& item : items) text += (text.empty() ? "" : ":") + item;
  return text;
}

/// The place of `kind` in os/boot for the first of all `devices`.
template <class T>
std::optional<std::uint64_t> place_in_boot(const domain::Domain& domain, const std::vector<T>& devices, const T& device,
                                           std::string_view kind) {
  if (device.info.boot_order) return *device.info.boot_order;
  const auto& boot = domain.os.boot;
  const auto found = std::ranges::find(boot, kind);
  if (found == boot.end() || devices.empty() || devices.front().info.alias != device.info.alias) return std::nullopt;
  return static_cast<std::uint64_t>(found - boot.begin()) + 1;
}

}  // namespace

void unsupported(const Context& context, const std::string& detail) {
  throw Error(ErrorCode::config_unsupported, std::string(to_string(context.capabilities.kind)) + ": " + detail);
}

void add(Properties& properties, const Properties& more) {
  properties.insert(properties.end(), more.begin(), more.end());
}

std::string related_id(std::string_view prefix, std::string_view alias) {
  constexpr std::size_t longest = 255;
  const std::size_t room = longest - prefix.size();
  return std::string(prefix) + std::string(alias.substr(alias.size() > room ? alias.size() - room : 0));
}

std::string drive_id(const domain::Disk& disk) {
  return related_id("drive-", disk.target);
}
std::string netdev_id(const domain::Interface& interface) {
  return related_id("host", interface.info.alias);
}
std::string chardev_id(const domain::DeviceInfo& info) {
  return related_id("char", info.alias);
}

const std::string& memory_dir(const Context& context) {
  const std::string& path = context.resources.memory_dir;
  if (path.empty())
    throw Error(ErrorCode::internal_error, "no directory for the memory of domain '" + context.domain.name + "'");
  return path;
}

Properties pci_address(const Context& context, const domain::DeviceInfo& info) {
  if (!info.address) throw Error(ErrorCode::internal_error, "device '" + info.alias + "' has no PCI address");
  Properties result = {{"bus", bus_name(context.domain, info.address->bus)}};
  if (info.address->multifunction) result.push_back({"multifunction", true});
  std::string addr = hexadecimal(info.address->slot);
  if (info.address->function > 0) addr += '.' + hexadecimal(info.address->function);
  result.push_back({"addr", addr});
  return result;
}

std::optional<std::uint64_t> boot_index(const domain::Domain& domain, const domain::Disk& disk) {
  return place_in_boot(domain, domain.disks, disk, "hd");
}
std::optional<std::uint64_t> boot_index(const domain::Domain& domain, const domain::Interface& interface) {
  return place_in_boot(domain, domain.interfaces, interface, "network");
}

std::vector<domain::Device> devices_of(const domain::Domain& domain) {
  std::vector<domain::Device> result;
  const auto all = [&result](const auto& devices) { result.insert(result.end(), devices.begin(), devices.end()); };
  // A bus stands before what sits on it.
  for (const auto type : {domain::Controller::Type::pci, domain::Controller::Type::virtio_serial}) {
    std::ranges::copy_if(domain.controllers, std::back_inserter(result),
                         [type](const auto& one) { return one.type == type; });
  }
  all(domain.disks);
  all(domain.interfaces);
  all(domain.serials);
  all(domain.consoles);
  all(domain.hostdevs);
  if (domain.memballoon) result.emplace_back(*domain.memballoon);
  all(domain.rngs);
  if (domain.vsock) result.emplace_back(*domain.vsock);
  return result;
}

Options controller(const Context& context, const domain::Controller& controller) {
  if (controller.type == domain::Controller::Type::virtio_serial) {
    Properties properties = {{"id", controller.info.alias}};
    if (controller.ports) properties.push_back({"max_ports", std::uint64_t{*controller.ports}});
    if (controller.vectors) {
      if (!context.qemu()) unsupported(context, "vectors of the virtio-serial controller is not supported");
      properties.push_back({"vectors", std::uint64_t{*controller.vectors}});
    }
    add(properties, pci_address(context, controller.info));
    return {{"-device", "virtio-serial-pci", properties}};
  }
  if (controller.model != domain::Controller::Model::pcie_root_port) return {};
  Properties properties = {{"port", Hex{controller.port.value_or(0)}},
                           {"chassis", std::uint64_t{controller.chassis.value_or(controller.index)}},
                           {"id", controller.info.alias}};
  add(properties, pci_address(context, controller.info));
  return {{"-device", "pcie-root-port", properties}};
}

Options rng(const Context& context, const domain::Rng& rng) {
  const std::string backend = related_id("obj", rng.info.alias);
  Properties properties = {{"rng", backend}, {"id", rng.info.alias}};
  if (rng.bytes) {
    properties.push_back({"max-bytes", std::uint64_t{*rng.bytes}});
    properties.push_back({"period", std::uint64_t{rng.period.value_or(1000)}});
  }
  add(properties, pci_address(context, rng.info));
  return {{"-object", "rng-random", {{"id", backend}, {"filename", rng.backend}}},
          {"-device", "virtio-rng-pci", properties}};
}

Options vsock(const Context& context, const domain::Vsock& vsock) {
  if (!vsock.cid) throw Error(ErrorCode::internal_error, "the vsock device has no cid yet");
  Properties properties = {{"id", vsock.info.alias}, {"guest-cid", std::uint64_t{*vsock.cid}}};
  if (context.resources.vsock_fd) properties.push_back({"vhostfd", std::to_string(*context.resources.vsock_fd)});
  add(properties, pci_address(context, vsock.info));
  return {{"-device", "vhost-vsock-pci", properties}};
}

Options hostdev(const Context& context, const domain::Hostdev& hostdev) {
  Properties properties = {{"host", domain::to_string(hostdev.source)}, {"id", hostdev.info.alias}};
  add(properties, pci_address(context, hostdev.info));
  if (hostdev.info.boot_order) {
    if (!context.qemu()) unsupported(context, "boot order of the host device '" + hostdev.info.alias + "'");
    properties.push_back({"bootindex", std::uint64_t{*hostdev.info.boot_order}});
  }
  return {{"-device", "vfio-pci", properties}};
}

Option netdev(const Context& context, const domain::Interface& interface) {
  Option option{"-netdev", "tap", {}};
  const auto found = context.resources.taps.find(interface.info.alias);
  if (found != context.resources.taps.end()) {
    const auto descriptors = [&option](const char* one, const char* several, const std::vector<std::string>& fds) {
      option.properties.push_back({fds.size() == 1 ? one : several, join(fds)});
    };
    descriptors("fd", "fds", found->second.fds);
    option.properties.push_back({"id", netdev_id(interface)});
    if (!found->second.vhost_fds.empty()) {
      option.properties.push_back({"vhost", true});
      descriptors("vhostfd", "vhostfds", found->second.vhost_fds);
    }
    return option;
  }
  option.properties = {{"ifname", interface.target}, {"id", netdev_id(interface)}};
  if (context.qemu()) add(option.properties, {{"script", "no"}, {"downscript", "no"}});
  if (context.domain.type == domain::Type::kvm && interface.backend != domain::Interface::Backend::qemu)
    option.properties.push_back({"vhost", true});
  if (interface.queues.value_or(1) > 1) option.properties.push_back({"queues", std::uint64_t{*interface.queues}});
  return option;
}

Properties network_card(const Context& context, const domain::Interface& interface) {
  Properties properties;
  if (const unsigned queues = interface.queues.value_or(1); queues > 1) {
    // A vector for each direction of a queue, one for the control queue, one for changes of the configuration.
    properties = {{"mq", true}, {"vectors", std::uint64_t{2 * queues + 2}}};
  }
  add(properties,
      {{"netdev", netdev_id(interface)}, {"id", interface.info.alias}, {"mac", domain::to_string(interface.mac)}});
  add(properties, pci_address(context, interface.info));
  return properties;
}

Option chardev(const Context& context, const domain::CharacterSource& source, const domain::DeviceInfo& info) {
  using Type = domain::CharacterSource::Type;
  Option option{"-chardev", "pty", {{"id", chardev_id(info)}}};
  auto& properties = option.properties;
  const auto given = context.resources.character_paths.find(info.alias);
  const std::string& path = given != context.resources.character_paths.end() ? given->second : source.path;
  if (source.type == Type::file) {
    option.head = "file";
    properties.push_back({"path", path});
    if (source.append) {
      if (!context.qemu() && *source.append) unsupported(context, "append='on' of the file '" + path + "'");
      if (context.qemu()) properties.push_back({"append", *source.append});
    }
  } else if (source.type == Type::unix_socket) {
    option.head = "socket";
    const auto listening = context.resources.character_fds.find(info.alias);
    if (listening != context.resources.character_fds.end()) {
      properties.push_back({"fd", std::to_string(listening->second)});
    } else {
      properties.push_back({"path", path});
    }
    if (source.listen) {
      add(properties, context.qemu() ? Properties{{"server", true}, {"wait", false}}
                                     : Properties{{"server", Flag{}}, {"nowait", Flag{}}});
    }
  }
  if (!source.log_file.empty()) {
    if (!context.qemu()) unsupported(context, "log file '" + source.log_file + "' of a character device");
    properties.push_back({"logfile", source.log_file});
    if (source.log_append) properties.push_back({"logappend", *source.log_append});
  }
  return option;
}

}  // namespace emulator
