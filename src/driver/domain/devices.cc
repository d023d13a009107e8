#include "driver/domain/devices.h"

#include <algorithm>

#include "driver/domain/change.h"
#include "driver/domain/element.h"
#include "driver/domain/known_names.h"

namespace domain {
namespace {

using core::Error;
using core::ErrorCode;
using core::XmlNode;

/// More than any machine has places for: all of PCI's are some 500. It bounds what a hostile description costs.
constexpr std::size_t most_devices = 1024;

/// How each element below <devices> is read; `into` has what was read before it, null for a device alone.
struct Row {
  std::string_view name;
  Device (*parse)(const XmlNode&, bool live, const Domain* into);
  std::optional<Device> (*parse_pattern)(const XmlNode&, bool live);
};
constexpr Row rows[] = {
    {"disk", [](const XmlNode& node, bool live, const Domain*) -> Device { return parse_disk(node, live); },
     [](const XmlNode& node, bool) -> std::optional<Device> { return parse_disk_pattern(node); }},
    {"controller",
     [](const XmlNode& node, bool live, const Domain* into) -> Device {
       Controller controller = parse_controller(node, live);
       if (into && controller.model == Controller::Model::pcie_root_port && !node.attribute("index"))
         controller.index = free_index(*into);
       return controller;
     },
     [](const XmlNode& node, bool) -> std::optional<Device> { return parse_controller_pattern(node); }},
    {"interface", [](const XmlNode& node, bool live, const Domain*) -> Device { return parse_interface(node, live); },
     [](const XmlNode& node, bool live) -> std::optional<Device> { return parse_interface_pattern(node, live); }},
    {"serial",
     [](const XmlNode& node, bool live, const Domain* into) -> Device {
       return parse_serial(node, live, into ? static_cast<unsigned>(into->serials.size()) : 0);
     },
     [](const XmlNode& node, bool live) -> std::optional<Device> { return parse_serial_pattern(node, live); }},
    {"console",
     [](const XmlNode& node, bool live, const Domain* into) -> Device {
       return parse_console(node, live, into ? static_cast<unsigned>(into->consoles.size()) : 0);
     },
     [](const XmlNode& node, bool live) -> std::optional<Device> { return parse_console_pattern(node, live); }},
    {"hostdev", [](const XmlNode& node, bool live, const Domain*) -> Device { return parse_hostdev(node, live); },
     [](const XmlNode& node, bool) -> std::optional<Device> { return parse_hostdev_pattern(node); }},
    {"memballoon", [](const XmlNode& node, bool live, const Domain*) -> Device { return parse_memballoon(node, live); },
     [](const XmlNode& node, bool) -> std::optional<Device> { return parse_memballoon_pattern(node); }},
    {"rng", [](const XmlNode& node, bool live, const Domain*) -> Device { return parse_rng(node, live); },
     [](const XmlNode& node, bool) -> std::optional<Device> { return parse_rng_pattern(node); }},
    {"vsock", [](const XmlNode& node, bool live, const Domain*) -> Device { return parse_vsock(node, live); },
     [](const XmlNode& node, bool) -> std::optional<Device> { return parse_vsock_pattern(node); }},
};

const Row* row_of(std::string_view name) {
  const auto row = std::ranges::find(rows, name, &Row::name);
  return row == std::end(rows) ? nullptr : row;
}

const Row& required_row(std::string_view name) {
  if (const Row* row = row_of(name)) return *row;
  throw Error(ErrorCode::config_unsupported, "unknown device type '" + std::string(name.substr(0, 64)) + "'");
}

template <class T>
void format_all(core::XmlWriter& writer, const T& devices, bool live) {
  for (const auto& device : devices) format(writer, device, live);
}

}  // namespace

void pair_console_with_serial(Domain& domain) {
  const bool x86 = domain.os.arch == Arch::x86_64;
  const bool first_is_serial = !domain.consoles.empty() && domain.consoles.front().target == Console::Target::serial;
  if (domain.serials.empty() && first_is_serial)
    domain.serials.push_back(
        {.source = domain.consoles.front().source, .target = {}, .model = {}, .port = 0, .info = {}});
  for (Serial& serial : domain.serials) {
    if (serial.target.empty()) serial.target = x86 ? "isa-serial" : "system-serial";
    if (serial.model.empty()) serial.model = x86 ? "isa-serial" : "pl011";
  }
  if (domain.serials.empty()) return;
  if (!first_is_serial) domain.consoles.insert(domain.consoles.begin(), Console{});
  domain.consoles.front().source = domain.serials.front().source;
  domain.consoles.front().port = domain.serials.front().port;
}

void parse_devices(Domain& domain, const XmlNode& node, bool live) {
  if (const auto emulator = node.child("emulator")) {
    domain.emulator = trimmed(emulator->text());
    if (!domain.emulator.empty() && domain.emulator[0] != '/')
      refuse_value(*emulator, nullptr, domain.emulator, "an absolute path");
  }
  std::size_t count = 0;
  for (const XmlNode& element : node.children()) {
    const Row* const row = element.namespace_uri().empty() ? row_of(element.name()) : nullptr;
    if (!row) continue;
    if (++count > most_devices)
      throw Error(ErrorCode::internal_error,
                  "more than " + std::to_string(most_devices) + " devices: no more available PCI slots");
    add_device(domain, row->parse(element, live, &domain));
  }
  pair_console_with_serial(domain);
}

void format_devices(core::XmlWriter& writer, const Domain& domain, bool live) {
  writer.start("devices");
  if (!domain.emulator.empty()) writer.element("emulator", domain.emulator);
  format_all(writer, domain.disks, live);
  format_idle_controllers(writer, domain.idle);
  format_all(writer, domain.controllers, live);
  format_all(writer, domain.interfaces, live);
  format_all(writer, domain.serials, live);
  format_all(writer, domain.consoles, live);
  format_all(writer, domain.hostdevs, live);
  if (domain.memballoon) format(writer, *domain.memballoon, live);
  format_all(writer, domain.rngs, live);
  if (domain.vsock) format(writer, *domain.vsock, live);
  format_idle_rest(writer, domain.idle);
  writer.end();
}

Device parse_device(std::string_view xml) {
  const core::XmlDocument document(xml, "(device_definition)");
  const XmlNode root = document.root();
  refuse_known_device(root);
  return required_row(root.name()).parse(root, false, nullptr);
}

std::optional<Device> parse_pattern(std::string_view xml, bool live) {
  const core::XmlDocument document(xml, "(device_definition)");
  const XmlNode root = document.root();
  if (is_refused_device(root.name()))
    throw Error(ErrorCode::operation_unsupported, std::string(live ? "live" : "persistent") + " detach of device '" +
                                                      std::string(root.name()) + "' is not supported");
  return required_row(root.name()).parse_pattern(root, live);
}

std::string format(const Device& device, bool live) {
  core::XmlWriter writer;
  std::visit([&](const auto& one) { format(writer, one, live); }, device);
  return writer.take();
}

const DeviceInfo& info(const Device& device) {
  return std::visit([](const auto& one) -> const DeviceInfo& { return one.info; }, device);
}

DeviceInfo& info(Device& device) {
  return std::visit([](auto& one) -> DeviceInfo& { return one.info; }, device);
}

}  // namespace domain
