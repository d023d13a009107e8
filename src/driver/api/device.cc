#include <algorithm>

#include "driver/api/change.h"
#include "driver/core/error.h"
#include "driver/domain/change.h"
#include "driver/protocol/domain_device.h"

// Adding, taking and changing a domain's devices, in its definition and while it runs.
namespace api {
namespace {

using namespace protocol;
using core::Error;
using core::ErrorCode;
using core::Task;
using domain::Device;

/// virDomainDeviceType's name of each alternative of Device.
const char* kind_of(const Device& device) {
  constexpr const char* names[] = {"disk",       "interface", "controller", "chr",    "chr",
                                   "memballoon", "rng",       "vsock",      "hostdev"};
  static_assert(std::size(names) == std::variant_size_v<Device>);
  return names[device.index()];
}

[[noreturn]] void refuse(const char* what, const Device& device, ErrorCode code = ErrorCode::operation_unsupported) {
  throw Error(code, std::string(what) + " of device '" + kind_of(device) + "' is not supported");
}

const domain::Disk* same_target(const domain::Domain& what, const domain::Disk& like) {
  const auto found = std::ranges::find(what.disks, like.target, &domain::Disk::target);
  return found == what.disks.end() ? nullptr : &*found;
}

// --- attach

domain::Domain with(domain::Domain config, Device device) {
  if (std::holds_alternative<domain::Memballoon>(device)) refuse("persistent attach", device);
  if (const auto* disk = std::get_if<domain::Disk>(&device); disk && same_target(config, *disk))
    throw Error(ErrorCode::operation_invalid, "target " + disk->target + " already exists");
  domain::add_device(config, std::move(device));
  domain::assign_addresses(config);
  domain::validate(config);
  return config;
}

Task<void> attach_flags(Client* client, DomainAttachDeviceFlagsArgs args) {
  require_flags(args.flags, affect_live | affect_config, "virDomainAttachDeviceFlags");
  const auto [subject, job] = co_await claim(client, std::move(args.dom), "remoteDispatchDomainAttachDeviceFlags");
  const Impact meant = impact(*subject, args.flags);
  const Device device = domain::parse_device(args.xml);
  std::optional<domain::Domain> config;
  if (meant.config) config = with(*subject->config(), device);
  if (meant.live) co_await subject->attach_device(device);
  if (config) co_await keep_config(client, subject, std::move(*config));
}
Task<void> attach(Client* client, DomainAttachDeviceArgs args) {
  return attach_flags(client, {std::move(args.dom), std::move(args.xml), affect_live});
}

// --- detach

Device required_pattern(const std::string& xml, bool live) {
  if (auto like = domain::parse_pattern(xml, live)) return *std::move(like);
  throw Error(ErrorCode::device_missing, "device not present in domain configuration");
}

domain::Domain without(domain::Domain config, const Device& like) {
  if (std::holds_alternative<domain::Memballoon>(like)) refuse("persistent detach", like);
  if (const auto* console = std::get_if<domain::Console>(&like);
      console && console->target == domain::Console::Target::serial)
    throw Error(ErrorCode::operation_invalid, "detaching serial console is not supported");
  domain::remove_device(config, like);
  return config;
}

Device find_live(const domain::Domain& live, const Device& like) {
  if (std::holds_alternative<domain::Controller>(like)) return like;  // refused, as libvirt, whether it is there or not
  if (auto found = domain::find_device(live, like)) return *std::move(found);
  const auto* disk = std::get_if<domain::Disk>(&like);
  const auto* card = std::get_if<domain::Interface>(&like);
  throw Error(ErrorCode::device_missing,
              disk   ? "disk " + disk->target + " not found"
              : card ? domain::describe_lookup(*card)
                     : std::string(kind_of(like)) + " device not present in domain configuration");
}

Task<void> detach_flags(Client* client, DomainDetachDeviceFlagsArgs args) {
  require_flags(args.flags, affect_live | affect_config, "virDomainDetachDeviceFlags");
  const auto [subject, job] = co_await claim(client, std::move(args.dom), "remoteDispatchDomainDetachDeviceFlags");
  const Impact meant = impact(*subject, args.flags);
  std::optional<domain::Domain> config;
  if (meant.config) config = without(*subject->config(), required_pattern(args.xml, false));
  if (meant.live) {
    const Device like = required_pattern(args.xml, true);
    co_await subject->detach_device(find_live(subject->running().live, like), true);
  }
  if (config) co_await keep_config(client, subject, std::move(*config));
}
Task<void> detach(Client* client, DomainDetachDeviceArgs args) {
  return detach_flags(client, {std::move(args.dom), std::move(args.xml), affect_live});
}

Device find_alias(const domain::Domain& what, const std::string& alias) {
  if (auto found = domain::find_device(what, alias)) return *std::move(found);
  throw Error(ErrorCode::internal_error, "no device found with alias " + alias, core::ErrorDomain::domain);
}

/// Does not wait for the guest: an event tells.
Task<void> detach_alias(Client* client, DomainDetachDeviceAliasArgs args) {
  require_flags(args.flags, affect_live | affect_config, "virDomainDetachDeviceAlias");
  const auto [subject, job] = co_await claim(client, std::move(args.dom), "remoteDispatchDomainDetachDeviceAlias");
  const Impact meant = impact(*subject, args.flags);
  std::optional<domain::Domain> config;
  if (meant.config) config = without(*subject->config(), find_alias(*subject->config(), args.alias));
  if (meant.live) co_await subject->detach_device(find_alias(subject->running().live, args.alias), false);
  if (config) co_await keep_config(client, subject, std::move(*config));
}

// --- update

/// `like` is `device` as the lookup reads it.
domain::Domain updated(domain::Domain config, Device device, const Device& like) {
  const auto* disk = std::get_if<domain::Disk>(&device);
  if (!disk && !std::holds_alternative<domain::Interface>(device)) refuse("persistent update", device);
  if (disk && !same_target(config, *disk))
    throw Error(ErrorCode::invalid_arg, "target " + disk->target + " doesn't exist.");
  domain::update_device(config, std::move(device), like);
  domain::assign_addresses(config);
  domain::validate(config);
  return config;
}

/// What `wanted` leaves to the driver is as the device has it.
domain::DeviceInfo completed(domain::DeviceInfo wanted, const domain::DeviceInfo& device) {
  if (!wanted.address) wanted.address = device.address;
  if (wanted.alias.empty()) wanted.alias = device.alias;
  return wanted;
}

[[noreturn]] void refuse_change(const std::string& what) {
  throw Error(ErrorCode::operation_unsupported, "cannot modify " + what);
}

/// Nothing of a disk on virtio changes while it is in use: what is asked for must be what is.
void require_unchanged(const domain::Disk& device, domain::Disk wanted) {
  if (wanted.source != device.source || wanted.source_type != device.source_type)
    throw Error(ErrorCode::config_unsupported, "disk source can be changed only in removable drives");
  wanted.info = completed(wanted.info, device.info);
  if (wanted.driver_name.empty()) wanted.driver_name = device.driver_name;
  if (wanted == device) return;
  const std::pair<const char*, bool> fields[] = {
      {"readonly", wanted.readonly != device.readonly},
      {"shareable", wanted.shareable != device.shareable},
      {"serial", wanted.serial != device.serial},
      {"blkdeviotune", !(wanted.iotune == device.iotune)},
      {"driver format", wanted.format != device.format},
      {"cache", wanted.cache != device.cache},
      {"io", wanted.io != device.io},
      {"discard", wanted.discard != device.discard},
      {"detect_zeroes", wanted.detect_zeroes != device.detect_zeroes},
      {"driver iothread", wanted.iothread != device.iothread},
      {"driver queues", wanted.queues != device.queues},
      {"address", wanted.info.address != device.info.address},
      {"bootindex", wanted.info.boot_order != device.info.boot_order},
  };
  for (const auto& [field, differs] : fields)
    if (differs) refuse_change("field '" + std::string(field) + "' of the disk");
  refuse_change("the disk");
}

/// Of a network card the link's state alone. Throws Error naming what else differs.
void require_only_link(const domain::Interface& device, domain::Interface wanted) {
  wanted.info = completed(wanted.info, device.info);
  if (wanted.target.empty()) wanted.target = device.target;
  const std::pair<const char*, bool> fields[] = {
      {"network interface mac address", wanted.mac != device.mac},
      {"network device type", wanted.type != device.type},
      {"network device model from virtio", wanted.model != device.model},
      {"network device bridge", wanted.bridge != device.bridge},
      {"network device target name", wanted.target != device.target},
      {"network device driver attributes", wanted.backend != device.backend || wanted.queues != device.queues ||
                                               wanted.rx_queue_size != device.rx_queue_size ||
                                               wanted.tx_queue_size != device.tx_queue_size},
      {"network device boot index setting", wanted.info.boot_order != device.info.boot_order},
      {"network device guest PCI address", wanted.info.address != device.info.address},
      {"network device alias", wanted.info.alias != device.info.alias},
      {"MTU", wanted.mtu != device.mtu},
  };
  for (const auto& [field, differs] : fields)
    if (differs) refuse_change(field);
}

Task<void> update_live(registry::InstancePtr subject, Device wanted, Device like) {
  const instance::Running& now = subject->running();
  if (const auto* disk = std::get_if<domain::Disk>(&wanted)) {
    const domain::Disk* device = same_target(now.live, *disk);
    if (!device) throw Error(ErrorCode::internal_error, "disk '" + disk->target + "' not found");
    require_unchanged(*device, *disk);
  } else if (const auto* card = std::get_if<domain::Interface>(&wanted)) {
    const auto device = std::get<domain::Interface>(find_live(now.live, like));
    require_only_link(device, *card);
    const auto link = card->link;
    constexpr auto down = domain::Interface::Link::down;
    if ((link == down) != (device.link == down)) {
      const auto monitor = now.connected();
      co_await monitor->execute(emulator::set_link(device, link != down, now.capabilities));
    }
    edit_live(*subject, [&](domain::Domain& live) {
      const auto found = std::ranges::find(live.interfaces, device.info.alias,
                                           [](const domain::Interface& one) { return one.info.alias; });
      if (found != live.interfaces.end()) found->link = link;
    });
  } else {
    refuse("live update", wanted, ErrorCode::config_unsupported);
  }
}

Task<void> update_flags(Client* client, DomainUpdateDeviceFlagsArgs args) {
  enum { force = 4 };  // of removable media, which none of the devices here has
  require_flags(args.flags, affect_live | affect_config | force, "virDomainUpdateDeviceFlags");
  const auto [subject, job] = co_await claim(client, std::move(args.dom), "remoteDispatchDomainUpdateDeviceFlags");
  const Impact meant = impact(*subject, args.flags);
  const Device device = domain::parse_device(args.xml);
  std::optional<domain::Domain> config;
  if (meant.config) config = updated(*subject->config(), device, required_pattern(args.xml, false));
  if (meant.live) co_await update_live(subject, device, required_pattern(args.xml, true));
  if (config) co_await keep_config(client, subject, std::move(*config));
}

}  // namespace

void add_device(Handlers& handlers) {
  using enum Procedure;
  handlers.add<domain_attach_device>(attach);
  handlers.add<domain_attach_device_flags>(attach_flags);
  handlers.add<domain_detach_device>(detach);
  handlers.add<domain_detach_device_flags>(detach_flags);
  handlers.add<domain_detach_device_alias>(detach_alias);
  handlers.add<domain_update_device_flags>(update_flags);
}

}  // namespace api
