#include <fcntl.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <set>
#include <type_traits>
#include <utility>

#include "base/file.h"
#include "driver/core/error.h"
#include "driver/domain/change.h"
#include "driver/instance/backends.h"
#include "driver/instance/instance.h"
#include "driver/instance/probe.h"

// Devices that come and go while the machine runs.
namespace instance {
namespace {

using core::Error;
using core::ErrorCode;
using core::Task;
using namespace core::asio::experimental::awaitable_operators;

/// libvirt's wait for a guest to give a device up.
constexpr std::chrono::seconds removal_wait{5};

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

/// Throws Error OPERATION_UNSUPPORTED, with libvirt's words, for the kinds of device that stay as they are.
void require_hotpluggable(const domain::Device& device, const std::string& verb) {
  const auto refuse = [&](const char* kind) {
    throw Error(ErrorCode::operation_unsupported, "live " + verb + " of device '" + kind + "' is not supported");
  };
  std::visit(Overloaded{
                 [&](const domain::Controller&) { refuse("controller"); },
                 [&](const domain::Console&) { refuse("chr"); },
                 [&](const domain::Serial&) { refuse("chr"); },
                 [&](const domain::Memballoon&) { refuse("memballoon"); },
                 [&](const domain::Vsock&) { refuse("vsock"); },
                 [](const auto&) {},
             },
             device);
}

std::set<std::string> aliases_of(const domain::Domain& domain) {
  std::set<std::string> aliases;
  domain::for_each_device(domain, [&](const auto& device) { aliases.insert(device.info.alias); });
  return aliases;
}

/// The machine as it will be, and the device that is new in it, with its alias and address.
struct Plan {
  domain::Domain after;
  domain::Device added;
};
/// The live description without what stands on a bus that the machine lost.
domain::Domain standing(domain::Domain live) {
  std::set<unsigned> buses = {0};
  bool serial = false;
  for (const domain::Controller& one : live.controllers) {
    if (one.type == domain::Controller::Type::pci) buses.insert(one.index);
    serial |= one.type == domain::Controller::Type::virtio_serial;
  }
  std::vector<std::string> lost;
  domain::for_each_device(live, [&]<class T>(const T& one) {
    bool homeless = one.info.address && !buses.contains(one.info.address->bus);
    if constexpr (std::is_same_v<T, domain::Console>)
      homeless |= one.target == domain::Console::Target::virtio && !serial;
    if (homeless) lost.push_back(one.info.alias);
  });
  for (const std::string& alias : lost) domain::forget_device(live, alias);
  return live;
}

Plan plan(const domain::Domain& live, domain::Device device) {
  const std::set<std::string> before = aliases_of(live);
  Plan result{standing(live), {}};
  domain::add_device(result.after, std::move(device));
  domain::validate(result.after);
  domain::assign_addresses(result.after, domain::Ports::as_they_are);
  domain::assign_aliases(result.after);
  domain::for_each_device(result.after, [&](const auto& one) {
    if (!before.contains(one.info.alias)) result.added = one;
  });
  return result;
}

/// What the host gave for one device, until the emulator has it.
struct Given {
  std::vector<std::pair<std::string, base::UniqueFd>> fds;  ///< under the names that the emulator gets
  emulator::Resources resources;
  std::vector<host::ImageLock> locks;
  host::Ownership ownership;
};

std::vector<std::string> name_all(std::vector<base::UniqueFd> from, const std::string& prefix, Given& to) {
  std::vector<std::string> names;
  for (base::UniqueFd& fd : from) {
    names.push_back(prefix + std::to_string(names.size()));
    to.fds.emplace_back(names.back(), std::move(fd));
  }
  return names;
}

/// Checks and takes what the device needs. `opened`: an image is handed over open. Blocks: for the pool.
Given take_from_host(domain::Device& device, bool kvm, bool stratovirt, bool opened, bool give,
                     const host::Identity& user) {
  Given given;
  if (auto* card = std::get_if<domain::Interface>(&device)) {
    TapFds fds = open_tap(*card, kvm);
    emulator::Tap& tap = given.resources.taps[card->info.alias];
    tap.fds = name_all(std::move(fds.queues), "fd-" + card->info.alias + "-", given);
    tap.vhost_fds = name_all(std::move(fds.vhost), "vhostfd-" + card->info.alias + "-", given);
  } else if (const auto* disk = std::get_if<domain::Disk>(&device)) {
    require_image(*disk);
    const std::vector<std::string> backing = backing_files(*disk);
    given.locks = lock_images(*disk, backing);
    if (!stratovirt) given.locks.clear();  // a QEMU locks by itself
    if (opened) {
      given.fds.emplace_back("fd-" + disk->info.alias,
                             base::open_file(disk->source, disk->readonly ? O_RDONLY : O_RDWR));
    }
    if (give) {
      given.ownership = host::Ownership::record({disk->source}, user.uid, user.gid);
      given.ownership.record_readable(backing);
    }
  } else if (const auto* rng = std::get_if<domain::Rng>(&device)) {
    host::require_file(rng->backend, host::FileKind::character);
  }
  return given;
}

const std::string* owned_file(const domain::Device& device) {
  const auto* disk = std::get_if<domain::Disk>(&device);
  return disk ? &disk->source : nullptr;
}

/// Sends the requests, whatever becomes of each.
Task<void> try_all(std::shared_ptr<Monitor> monitor, std::vector<emulator::Request> requests) {
  for (emulator::Request& request : requests) {
    try {
      co_await monitor->execute(std::move(request));
    } catch (const std::exception&) {
      // What cannot be taken back stays until the machine ends.
    }
  }
}

}  // namespace

Task<void> Instance::attach_device(domain::Device device) {
  const auto self = shared_from_this();
  require_hotpluggable(device, "attach");
  const auto monitor = running().connected();
  const bool opened = (co_await with_commands(monitor, running_->capabilities)).takes_open_files();
  const bool closes = opened || running().capabilities.kind == emulator::Kind::qemu;  // the original cannot
  if (!running_ || running_->monitor != monitor) throw Error(ErrorCode::operation_invalid, "domain is not running");
  auto [after, added] = plan(running_->live, std::move(device));
  const bool kvm = after.type == domain::Type::kvm;
  const bool stratovirt = running_->capabilities.kind == emulator::Kind::stratovirt;
  const bool give = environment_.settings.dynamic_ownership;
  Given given = co_await environment_.loop.blocking([&, user = running_->identity, &to_add = added] {
    return take_from_host(to_add, kvm, stratovirt, opened, give, user);
  });
  domain::Device named = added;  // as the emulator is told of it
  if (auto* disk = std::get_if<domain::Disk>(&named); disk && opened) disk->source = "/dev/fd/fd-" + disk->info.alias;
  const auto require_same = [&] {
    if (!running_ || running_->monitor != monitor) throw Error(ErrorCode::operation_invalid, "domain is not running");
  };
  std::vector<emulator::Request> undo;
  std::vector<host::FileOwner> taken;
  std::exception_ptr failed;
  require_same();
  const int id = running_->id;
  hold_events();  // of a device that is gone as soon as it came, too
  try {
    taken = given.ownership.before();
    running_->ownership.add(taken);
    save(*running_, status_);  // from here on a later daemon gives the image back
    co_await environment_.loop.blocking([&] { given.ownership.give(); });
    require_same();  // else both give it back
    given.ownership.release();
    for (auto& [name, fd] : given.fds) {
      co_await monitor->give(name, std::move(fd));
      if (closes) undo.push_back({"closefd", {{"fdname", name}}});
    }
    require_same();
    for (emulator::Attachment& step : emulator::attach(after, named, given.resources, running_->capabilities)) {
      co_await monitor->execute(std::move(step.request));
      if (step.undo) undo.push_back(std::move(*step.undo));
    }
    require_same();
    if (const auto* card = std::get_if<domain::Interface>(&added); card && card->link == domain::Interface::Link::down)
      co_await monitor->execute(emulator::set_link(*card, false, running_->capabilities));
    require_same();
    const std::string alias = domain::info(added).alias;
    domain::Domain live = running_->live;
    domain::add_device(live, added);
    running_->locks.emplace(alias, std::move(given.locks));
    running_->owners.insert_or_assign(alias, taken);
    set_live(std::move(live));
    environment_.notify(*this, DeviceAdded{alias});
  } catch (...) {
    failed = std::current_exception();
  }
  if (failed) {
    std::ranges::reverse(undo);
    co_await try_all(monitor, std::move(undo));
    for (const host::FileOwner& file : taken)
      if (is(id)) running_->ownership.give_back(file);
    keep_state();
  }
  release_events(id);
  if (failed) std::rethrow_exception(failed);
}

Task<void> Instance::detach_device(domain::Device device, bool wait) {
  const auto self = shared_from_this();
  if (std::holds_alternative<domain::Controller>(device))
    throw Error(ErrorCode::operation_unsupported, "'pci' controller cannot be hot unplugged.");
  require_hotpluggable(device, "detach");
  const auto monitor = running().connected();
  const std::string alias = domain::info(device).alias;
  running_->kept.erase(alias);
  co_await monitor->execute(emulator::detach(device));
  const auto deadline = Monitor::Clock::now() + removal_wait;
  while (wait && running_ && domain::find_device(running_->live, alias)) {
    if (running_->kept.erase(alias))
      throw Error(ErrorCode::operation_failed, "unplug of device was rejected by the guest");
    const auto left = deadline - Monitor::Clock::now();
    if (left <= left.zero()) co_return;  // it goes on
    co_await (running_->removal.wait() || core::sleep(left));
  }
}

/// The emulator has no such device any more.
Task<void> Instance::finish_removal(std::string alias) {
  const auto self = shared_from_this();
  if (!running_) co_return;
  const int id = running_->id;
  const auto device = domain::find_device(running_->live, alias);
  if (device && running_->monitor) co_await try_all(running_->monitor, emulator::after_detach(*device));
  if (!is(id)) co_return;
  running_->going.erase(alias);
  if (!device || !domain::find_device(running_->live, alias)) co_return;
  if (const auto owners = running_->owners.extract(alias)) {
    for (const host::FileOwner& file : owners.mapped()) running_->ownership.give_back(file);
  } else if (const std::string* path = owned_file(*device)) {
    running_->ownership.give_back(*path);
  }
  running_->locks.erase(alias);
  domain::Domain live = running_->live;
  domain::forget_device(live, alias);
  set_live(std::move(live));
  environment_.notify(*this, DeviceRemoved{alias});
  running_->removal.notify();
}

}  // namespace instance
