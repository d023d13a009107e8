#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <functional>
#include <utility>

#include "driver/core/backoff.h"
#include "driver/core/error.h"
#include "driver/domain/change.h"
#include "driver/emulator/dialect.h"
#include "driver/host/find_process.h"
#include "driver/host/process_stats.h"
#include "driver/instance/backends.h"
#include "driver/instance/instance.h"
#include "driver/instance/probe.h"

// A machine that an earlier daemon left, and one whose monitor broke: it is ended only when its process is, and looked
// for until it is found.
namespace instance {

using core::Error;
using core::Task;
using namespace core::asio::experimental::awaitable_operators;

namespace {

constexpr std::chrono::seconds reconnect_limit{10};
/// Left for clients where descriptors are short.
constexpr std::size_t spare_descriptors = 16;
/// A connection that lasted this long was one.
constexpr std::chrono::seconds steady{60};

/// Who the machine runs as, whatever the configuration says by now.
host::Identity user_of(const LiveState& state, const host::Identity& configured) {
  const auto process = host::process_statistics(state.pid);
  if (!process || process->start_ticks != state.start_ticks) return configured;
  return host::identity_of_process(state.pid).value_or(configured);
}

}  // namespace

Task<void> Instance::reconnect(LiveState state, Running::Begun begun, std::function<Task<void>()> others) {
  const auto self = shared_from_this();
  auto found = std::make_unique<Running>(environment_.loop.context());
  found->identity = user_of(state, environment_.settings.identity);
  found->id = state.id;
  found->live = std::move(state.live);
  found->capabilities = emulator::assumed(
      state.emulator ? state.emulator->kind : emulator::default_kind(found->live.type), found->live.os.arch);
  if (state.emulator) {
    found->capabilities.version = state.emulator->version;
    found->capabilities.package = state.emulator->package;
  }
  found->folder = Folder(state.folder);
  found->sockets = CharacterSockets(found->live);
  if (!state.hugepages.empty()) found->hugepages = host::HugepageFolder::adopt(state.hugepages);
  found->cgroup = host::Cgroup::adopt(std::move(state.cgroup));
  found->ownership = host::Ownership::adopt(state.owners, found->identity.uid, found->identity.gid);
  found->process.pid = state.pid;
  found->start_ticks = state.start_ticks;
  found->tainted = state.tainted;
  found->reboot_when_off = state.reboot_when_off;
  found->ending = state.ending;
  found->others = std::move(state.others);
  found->version = state.version;
  found->starting = false;
  found->begun = begun;
  // An older daemon wrote `shutoff` from a start's begin on, and that it was done where there was room on the disk.
  if (state.status.state == State::shutoff && begun == Running::Begun::yes) found->begun = Running::Begun::unknown;
  status_ = found->begun == Running::Begun::yes ? state.status : Status{State::nostate, 0};
  running_ = std::move(found);
  const int id = running_->id;
  if (others) co_await others();
  if (is(id)) co_await reach();
  if (is(id)) spawn(stay_in_reach());
}

/// False where it is gone, and that is settled. Throws Error where the host does not tell.
bool Instance::find_process() {
  auto child = host::find_process({running_->process.pid, running_->start_ticks, core::to_string(uuid_)});
  if (!child) {
    finish();
    return false;
  }
  running_->process = *std::move(child);
  if (running_->folder.path().empty()) {  // an emulator works in its domain's folder
    const std::string folder = host::working_folder(running_->process.pid);
    if (folder.starts_with(environment_.layout.state + "/domain-")) running_->folder = Folder(folder);
  }
  spawn(watch());
  return true;
}

/// Tries to find the process, to connect its monitor, and to learn what has become of the machine. False where that is
/// not known yet.
Task<bool> Instance::reach() {
  const auto self = shared_from_this();
  const int id = running_->id;
  try {
    host::require_descriptors(spare_descriptors);
    if (!running_->process.pidfd) {
      if (!find_process()) co_return true;
      spawn(take_locks());  // which waits for the host of a disk, however long
    }
    if (running_->begun == Running::Begun::no) {
      co_await end_unfinished();
      co_return true;
    }
    if (running_->ending && !running_->graceful && running_->begun == Running::Begun::yes) act(false);
    auto monitor = co_await Monitor::connect(
        environment_.loop, running_->folder.path(), "monitor.sock", Monitor::Clock::now() + reconnect_limit,
        [&] { return !is(id); }, event_handler());
    if (!is(id)) {
      monitor->close();
      co_return true;
    }
    running_->monitor = monitor;
    co_await catch_up(monitor);
    if (is(id)) running_->out_of_reach = false;
    co_return true;
  } catch (const std::exception& error) {
    if (!is(id)) co_return true;
    if (running_->monitor) std::exchange(running_->monitor, {})->close();
    if (!std::exchange(running_->out_of_reach, true))
      environment_.problem("domain '" + name_ + "' is out of reach, and looked for again: " + error.what());
    co_return false;
  }
}

/// Ends one whose start was under way: nobody was told that it runs. Throws Error where it does not end.
Task<void> Instance::end_unfinished() {
  const auto self = shared_from_this();
  const int id = running_->id;
  running_->begun = Running::Begun::no;
  running_->ending = Trigger::exit_failed;
  syscall(SYS_pidfd_send_signal, running_->process.pidfd.get(), SIGKILL, nullptr, 0);
  co_await (running_->gone.wait() || core::sleep(reconnect_limit));
  if (is(id)) throw Error::system(EBUSY, "process " + std::to_string(running_->process.pid) + " does not end");
}

/// What became of the machine while no daemon listened.
Task<void> Instance::catch_up(std::shared_ptr<Monitor> monitor) {
  const auto self = shared_from_this();
  const auto now = emulator::read_status(co_await monitor->execute(emulator::query_status(), reconnect_limit));
  const auto same = [&] { return running_ && running_->monitor == monitor; };
  if (!same()) co_return;
  if (running_->begun == Running::Begun::unknown && now.state == "prelaunch") {
    co_await end_unfinished();
    co_return;
  }
  running_->begun = Running::Begun::yes;
  const State before = status_.state;
  if (now.state == "shutdown") {
    if (before == State::nostate) status_ = {State::running, reason::running_booted};
    if (before == State::shutdown) {
      after_power_off();  // what the earlier daemon did not come to
    } else {
      guest_is_off(true);
    }
  } else if (now.running) {
    if (before == State::nostate) {
      status_ = {State::running, reason::running_booted};
      keep_state();
    } else if (before == State::paused || before == State::crashed) {
      apply(Trigger::resume);
    } else if (before == State::shutdown) {  // it was restarted, and that was not written
      running_->reboot_when_off = false;
      apply(Trigger::reset);
    }
  } else if (now.state == "guest-panicked") {
    if (before == State::nostate) status_ = {State::running, reason::running_booted};
    if (before != State::crashed) apply(Trigger::panic);
    after_panic();
  } else if (before == State::running || before == State::nostate) {
    if (before == State::nostate) status_ = {State::running, reason::running_booted};
    apply(now.state == "io-error" ? Trigger::io_error : Trigger::suspend);
  } else if (before == State::shutdown) {
    after_power_off();
  } else if (before == State::crashed) {  // its restart came no further than the reset
    after_panic();
  }
  co_await forget_devices_given_up();
}

/// Keeps the machine in reach until it has ended.
Task<void> Instance::stay_in_reach() {
  const auto self = shared_from_this();
  const int id = running_->id;
  for (core::Backoff backoff; is(id);) {
    if (const auto monitor = running_->monitor; monitor && !monitor->broken()) {
      const auto begun = Monitor::Clock::now();
      co_await monitor->closed();
      if (Monitor::Clock::now() - begun > steady) backoff.reset();
      if (!is(id)) co_return;
    }
    co_await (running_->gone.wait() || core::sleep(backoff.next()));
    if (is(id)) co_await reach();
  }
}

/// Locks of disks that were added to a StratoVirt are its daemon's; those from its start it holds by itself.
Task<void> Instance::take_locks() {
  const auto self = shared_from_this();
  if (running_->capabilities.kind != emulator::Kind::stratovirt) co_return;
  const int id = running_->id;
  const std::vector<domain::Disk> disks = running_->live.disks;
  for (const domain::Disk& disk : disks) {
    try {
      std::vector<host::ImageLock> locks =
          co_await environment_.loop.blocking([&] { return lock_images(disk, backing_files(disk)); });
      if (is(id) && domain::find_device(running_->live, disk.info.alias))
        running_->locks.emplace(disk.info.alias, std::move(locks));
    } catch (const std::exception&) {  // it has it
    }
  }
}

Task<void> Instance::forget_devices_given_up() {
  const auto self = shared_from_this();
  if (!running_ || !running_->monitor) co_return;
  const auto monitor = running_->monitor;
  try {
    const auto query = emulator::query_devices(co_await with_commands(monitor, running_->capabilities));
    if (!query) co_return;
    const auto there = emulator::read_devices(co_await monitor->execute(*query, reconnect_limit));
    if (!running_ || running_->monitor != monitor || there.empty()) co_return;
    const auto look = [&](const auto& devices) {
      for (const auto& device : devices)
        if (std::ranges::find(there, device.info.alias) == there.end() &&
            running_->going.insert(device.info.alias).second)
          spawn(finish_removal(device.info.alias));
    };
    look(running_->live.disks);
    look(running_->live.interfaces);
    look(running_->live.rngs);
  } catch (const Error&) {  // it does not tell
  }
}

}  // namespace instance
