#include "driver/instance/instance.h"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <csignal>
#include <filesystem>
#include <utility>

#include "base/file.h"
#include "driver/core/error.h"
#include "driver/host/process_stats.h"

namespace instance {
namespace {

using core::Error;
using core::ErrorCode;
using core::Task;
using namespace core::asio::experimental::awaitable_operators;

/// libvirt's waits for a process to go after each signal.
constexpr std::chrono::seconds term_wait{10}, kill_wait{30};

}  // namespace

Folder::~Folder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

Instance::~Instance() {
  if (!running_) return;
  running_->folder.release();
  running_->sockets.release();
  if (running_->hugepages) running_->hugepages->release();
  running_->ownership.release();
  running_->cgroup.release();
}

Running& Instance::running() {
  if (!running_) throw Error(ErrorCode::operation_invalid, "domain is not running");
  return *running_;
}

void Instance::keep_state() {
  if (!running_ || running_->starting) return;
  try {
    save(*running_);
  } catch (const std::exception& error) {  // a later daemon asks the emulator how it is
    environment_.problem("the state of domain '" + name_ + "' is not on disk: " + error.what());
  }
}

void Instance::set_live(domain::Domain live) {
  running().live = std::move(live);
  keep_state();
}

void Instance::taint() {
  if (std::exchange(running().tainted, true)) return;
  keep_state();
}

void Instance::apply(Trigger trigger, std::optional<Lifecycle> as) {
  const Step next = step(status_.state, trigger);
  status_ = next.to;
  keep_state();
  if (next.event) environment_.notify(*this, as.value_or(*next.event));
}

Monitor::OnEvent Instance::event_handler() {
  return [weak = weak_from_this()](const qmp::Event& event) {
    if (const auto self = weak.lock(); self && self->running_)
      self->take(emulator::read_event(event.name, event.data), event);
  };
}

void Instance::take(const emulator::Event& event, const qmp::Event& raw) {
  using emulator::EventKind;
  environment_.notify(*this, MonitorEvent{raw.name, raw.data.dump(-1, ' ', true), raw.seconds, raw.microseconds});
  const State state = status_.state;
  switch (event.kind) {
    case EventKind::stop:
      if (state == State::running) apply(Trigger::suspend);
      break;
    case EventKind::resume:
      if (state == State::paused || state == State::crashed) apply(Trigger::resume);
      break;
    case EventKind::block_io_error:
      if (state == State::running) apply(Trigger::io_error);
      break;
    case EventKind::shutdown:
      if (!running_->ending && !running_->starting) guest_is_off(event.guest);
      break;
    case EventKind::reset:
      environment_.notify(*this, Rebooted{});
      if (running_->live.on_reboot == domain::LifecycleAction::destroy) {
        running_->ending = Trigger::exit_shutdown;
        environment_.loop.spawn(end_or_restart(false));
      } else if (state == State::crashed) {
        apply(Trigger::reset);
      }
      break;
    case EventKind::guest_panicked:
      if (state == State::running || state == State::paused) {
        apply(Trigger::panic);
        if (running_->live.on_crash == domain::LifecycleAction::restart ||
            running_->live.on_crash == domain::LifecycleAction::coredump_restart) {
          environment_.loop.spawn(end_or_restart(true));
        } else if (running_->live.on_crash != domain::LifecycleAction::preserve) {
          running_->ending = Trigger::exit_panicked;
          environment_.loop.spawn(end_or_restart(false));
        }
      }
      break;
    case EventKind::balloon_change:
      running_->live.current_memory_kib = event.actual_kib;
      environment_.notify(*this, BalloonChanged{event.actual_kib});
      break;
    case EventKind::device_deleted:
      if (!event.device.empty()) environment_.loop.spawn(finish_removal(event.device));
      break;
    case EventKind::device_unplug_error:
      running_->kept.insert(event.device);
      running_->removal.notify();
      environment_.notify(*this, DeviceRemovalFailed{event.device});
      break;
    default: break;
  }
}

void Instance::guest_is_off(bool by_guest) {
  if (status_.state == State::shutdown) return;
  apply(Trigger::guest_off, by_guest ? lifecycle::shutdown_guest : lifecycle::shutdown_host);
  after_power_off();
}

void Instance::after_power_off() {
  const bool restart = running_->reboot_when_off || running_->live.on_poweroff == domain::LifecycleAction::restart;
  if (running_->live.on_poweroff == domain::LifecycleAction::preserve && !running_->reboot_when_off) return;
  running_->reboot_when_off = false;
  if (!restart) running_->ending = Trigger::exit_shutdown;
  environment_.loop.spawn(end_or_restart(restart));
}

/// What follows a guest that is off or has crashed.
Task<void> Instance::end_or_restart(bool restart) {
  const auto self = shared_from_this();
  if (restart) {
    try {
      const auto monitor = running_->connected();
      co_await monitor->execute(emulator::system_reset());
      co_await monitor->execute(emulator::cont());
      // A reset of a crashed one leaves it paused; that it goes on is told before this or after.
      if (running_) apply(status_.state == State::paused ? Trigger::resume : Trigger::reset);
      co_return;
    } catch (const Error&) {
      // An emulator that cannot reset is ended.
      if (!running_) co_return;
      running_->ending = Trigger::exit_shutdown;
    }
  }
  try {
    co_await end_process(false);
  } catch (const Error&) {
    // A process that outlives SIGKILL stays under watch.
  }
}

Task<void> Instance::end_process(bool graceful) {
  const auto self = shared_from_this();
  const auto wait_gone = [](Instance* me, std::chrono::seconds limit) -> Task<bool> {
    if (me->running_) co_await (me->running_->gone.wait() || core::sleep(limit));
    co_return !me->running_;
  };
  const auto signal = [&](int number) {
    if (running_) syscall(SYS_pidfd_send_signal, running_->process.pidfd.get(), number, nullptr, 0);
  };
  signal(SIGTERM);
  signal(SIGCONT);
  if (co_await wait_gone(this, term_wait)) co_return;
  if (graceful) {
    running_->ending.reset();
    throw Error::system(EBUSY,
                        "Failed to terminate process " + std::to_string(running_->process.pid) + " with SIGTERM");
  }
  signal(SIGKILL);
  if (!co_await wait_gone(this, kill_wait)) {
    throw Error::system(EBUSY,
                        "Failed to terminate process " + std::to_string(running_->process.pid) + " with SIGKILL");
  }
}

/// Waits for the end of the process, however it comes.
Task<void> Instance::watch() {
  const auto self = shared_from_this();
  core::asio::posix::stream_descriptor ended(environment_.loop.context(), dup(running_->process.pidfd.get()));
  boost::system::error_code ignored;
  while (!host::ended(running_->process)) {  // a wait may be over for no reason
    co_await ended.async_wait(core::asio::posix::stream_descriptor::wait_read,
                              core::asio::redirect_error(core::asio::use_awaitable, ignored));
  }
  host::reap(running_->process);
  if (running_->monitor) running_->monitor->close();
  const std::unique_ptr<Running> over = std::move(running_);
  const Trigger trigger = over->ending.value_or(over->starting                     ? Trigger::exit_failed
                                                : status_.state == State::shutdown ? Trigger::exit_shutdown
                                                                                   : Trigger::exit_crashed);
  over->give_back();
  forget_state();
  over->gone.notify();
  over->removal.notify();
  if (over->starting) co_return;  // start() tells
  apply(trigger);
  environment_.ended(*this);
  co_await core::asio::post(environment_.loop.context(),
                            core::asio::use_awaitable);  // waiters of `gone` run before it goes
}

Task<void> Instance::suspend() {
  Running& now = running();
  if (status_.state != State::paused) {
    step(status_.state, Trigger::suspend);
    const auto monitor = now.connected();
    co_await monitor->execute(emulator::stop());
    if (status_.state == State::running) apply(Trigger::suspend);
  }
}

Task<void> Instance::resume() {
  Running& now = running();
  step(status_.state, Trigger::resume);
  const auto monitor = now.connected();
  co_await monitor->execute(emulator::cont());
  if (running_ && status_.state != State::running) apply(Trigger::resume);
}

Task<void> Instance::shutdown(bool reboot) {
  Running& now = running();
  const auto monitor = now.connected();
  emulator::Request request = emulator::system_powerdown(now.capabilities);
  now.reboot_when_off = reboot;
  co_await monitor->execute(std::move(request));
}

Task<void> Instance::reset() {
  Running& now = running();
  const auto monitor = now.connected();
  co_await monitor->execute(emulator::system_reset());
  if (running_ && status_.state == State::crashed) apply(Trigger::reset);
}

Task<void> Instance::destroy(bool graceful) {
  Running& now = running();
  now.ending = Trigger::exit_destroyed;
  co_await end_process(graceful);
}

}  // namespace instance
