#include <utility>

#include "driver/core/error.h"
#include "driver/domain/change.h"
#include "driver/instance/instance.h"

// What an emulator tells, and what follows it. It is believed: what it says is so, at any moment, in any order, as
// often as it likes; what cannot be understood is said and left aside.
namespace instance {
namespace {

using core::Error;
using core::Task;

/// More than this while one command is under way is no machine's doing.
constexpr std::size_t most_held = 4096;

}  // namespace

Monitor::OnEvent Instance::event_handler() {
  return [weak = weak_from_this()](const qmp::Event& event) {
    if (const auto self = weak.lock(); self && self->running_) self->take(event);
  };
}

void Instance::take(const qmp::Event& event) {
  environment_.notify(*this,
                      MonitorEvent{event.name, event.data.dump(-1, ' ', true), event.seconds, event.microseconds});
  if (running_->held == 0) return handle(event);
  if (!running_->later.empty() && running_->later.back().name == event.name &&
      running_->later.back().data == event.data)
    return;                                   // a disk that fails says so at each request
  if (running_->later.size() == most_held) {  // it is asked for its state once it is connected again
    running_->later.clear();
    throw Error(core::ErrorCode::internal_error,
                "it tells of more than " + std::to_string(most_held) + " events at once");
  }
  running_->later.push_back(event);
}

void Instance::release_events(int id) {
  if (!is(id)) return;
  if (running_->held > 0 && --running_->held > 0) return;
  for (const qmp::Event& event : std::exchange(running_->later, {})) {
    try {
      if (is(id)) handle(event);
    } catch (const std::exception& error) {  // the others are so too
      environment_.problem("event " + event.name + " of domain '" + name_ + "' was not taken: " + error.what());
    }
  }
}

void Instance::apply(Trigger trigger, std::optional<Lifecycle> as) {
  const Step next = step(status_.state, trigger);
  status_ = next.to;
  keep_state();
  if (next.event) environment_.notify(*this, as.value_or(*next.event));
}

void Instance::handle(const qmp::Event& raw) {
  using emulator::EventKind;
  emulator::Event event;
  try {
    event = emulator::read_event(raw.name, raw.data);
  } catch (const std::exception& error) {
    if (!std::exchange(running_->odd, true))
      environment_.problem("the emulator of domain '" + name_ +
                           "' tells of what cannot be understood: " + error.what());
    return;
  }
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
      if (!running_->ending) guest_is_off(event.guest);
      break;
    case EventKind::reset:
      environment_.notify(*this, Rebooted{});
      if (running_->ending) break;
      if (running_->live.on_reboot == domain::LifecycleAction::destroy && !running_->acting) {
        running_->ending = Trigger::exit_shutdown;
        act(false);
      } else if (state == State::crashed) {
        apply(Trigger::reset);
      }
      break;
    case EventKind::guest_panicked:
      if (running_->ending || (state != State::running && state != State::paused)) break;
      apply(Trigger::panic);
      after_panic();
      break;
    case EventKind::balloon_change:
      running_->live.current_memory_kib = std::min(event.actual_kib, running_->live.memory_kib);
      keep_state_soon();
      environment_.notify(*this, BalloonChanged{event.actual_kib});
      break;
    case EventKind::device_deleted:
      if (domain::find_device(running_->live, event.device) && running_->going.insert(event.device).second)
        spawn(finish_removal(event.device));
      break;
    case EventKind::device_unplug_error:
      if (domain::find_device(running_->live, event.device)) running_->kept.insert(event.device);
      running_->removal.notify();
      environment_.notify(*this, DeviceRemovalFailed{event.device});
      break;
    default: break;
  }
}

void Instance::guest_is_off(bool by_guest) {
  const State state = status_.state;
  if (state != State::running && state != State::paused && state != State::crashed) return;
  apply(Trigger::guest_off, by_guest ? lifecycle::shutdown_guest : lifecycle::shutdown_host);
  after_power_off();
}

void Instance::after_power_off() {
  const bool restart = running_->reboot_when_off || running_->live.on_poweroff == domain::LifecycleAction::restart;
  if (running_->live.on_poweroff == domain::LifecycleAction::preserve && !running_->reboot_when_off) return;
  if (!restart) running_->ending = Trigger::exit_shutdown;
  act(restart);
}

void Instance::after_panic() {
  using enum domain::LifecycleAction;
  const auto action = running_->live.on_crash;
  if (action == preserve) return;
  const bool again = action == restart || action == coredump_restart;
  if (!again) running_->ending = Trigger::exit_panicked;
  act(again);
}

void Instance::act(bool restart) {
  if (std::exchange(running_->acting, true)) return;
  spawn(end_or_restart(restart));
}

/// What follows a guest that is off or has crashed.
Task<void> Instance::end_or_restart(bool restart) {
  const auto self = shared_from_this();
  if (!running_) co_return;
  const int id = running_->id;
  if (restart) {
    const auto monitor = running_->monitor;
    bool refused = monitor != nullptr;
    try {
      co_await order(emulator::system_reset(), [] {});
      co_await order(emulator::cont(), [this] {
        running_->acting = running_->reboot_when_off = false;
        // A reset of a crashed one leaves it paused.
        apply(status_.state == State::paused ? Trigger::resume : Trigger::reset);
      });
      co_return;
    } catch (const Error& error) {
      refused &= error.code() != core::ErrorCode::operation_timeout;
    } catch (const std::exception&) {
      refused = false;
    }
    if (!is(id)) co_return;
    if (!refused || monitor->broken()) {  // it is asked again once it is connected again
      running_->acting = false;
      if (monitor) monitor->close();
      co_return;
    }
    // An emulator that cannot reset is ended.
    running_->acting = true;
    running_->ending = Trigger::exit_shutdown;
  }
  keep_state();
  try {
    co_await end_process(false);
  } catch (const std::exception& error) {  // one that outlives SIGKILL stays under watch
    environment_.problem("domain '" + name_ + "' cannot be ended: " + error.what());
  }
  if (is(id)) running_->acting = false;
}

}  // namespace instance
