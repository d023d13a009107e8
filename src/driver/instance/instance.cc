#include "driver/instance/instance.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <csignal>
#include <filesystem>
#include <utility>

#include "base/file.h"
#include "driver/core/backoff.h"
#include "driver/core/error.h"

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

void Instance::set_live(domain::Domain live) {
  running().live = std::move(live);
  keep_state();
}

void Instance::taint() {
  if (std::exchange(running().tainted, true)) return;
  keep_state();
}

void Instance::set_unknown(bool unknown) {
  if (running_) return;
  if (unknown) status_ = {State::nostate, 0};
  if (!unknown && status_.state == State::nostate) status_ = {State::shutoff, reason::shutoff_unknown};
}

void Instance::spawn(Task<void> task) {
  environment_.loop.spawn(std::move(task), "domain '" + name_ + "'");
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
  if (graceful || running_->graceful) {  // who came later and would kill it does so itself
    if (std::exchange(running_->graceful, false)) running_->ending.reset();
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
  const int id = running_->id;
  core::Backoff backoff;
  while (is(id) && !host::ended(running_->process)) {
    std::optional<core::asio::posix::stream_descriptor> ended;
    try {
      base::UniqueFd copy(fcntl(running_->process.pidfd.get(), F_DUPFD_CLOEXEC, 0));
      if (copy) ended.emplace(environment_.loop.context(), copy.release());
    } catch (const boost::system::system_error&) {  // the host has no room to watch another
    }
    boost::system::error_code ignored;
    if (ended) {
      co_await ended->async_wait(core::asio::posix::stream_descriptor::wait_read,
                                 core::asio::redirect_error(core::asio::use_awaitable, ignored));
    } else {
      co_await core::sleep(backoff.next());
    }
  }
  if (!is(id)) co_return;
  host::reap(running_->process);
  finish();
}

/// The process is gone: everything goes back, and it is told.
void Instance::finish() {
  if (!running_->starting) {  // what it said last
    running_->held = 0;
    release_events(running_->id);
  }
  if (running_->monitor) running_->monitor->close();
  const std::shared_ptr<Running> over = std::move(running_);
  const Trigger trigger =
      over->ending.value_or(over->starting || over->begun != Running::Begun::yes ? Trigger::exit_failed
                            : status_.state == State::shutdown                   ? Trigger::exit_shutdown
                                                                                 : Trigger::exit_crashed);
  over->give_back();
  forget_state();
  over->gone.notify();
  over->removal.notify();
  core::asio::post(environment_.loop.context(), [over] {});  // waiters of `gone` run before it goes
  if (over->starting) return;                                // start() tells
  apply(trigger);
  environment_.ended(*this);
}

Task<void> Instance::order(emulator::Request request, std::function<void()> done) {
  const auto self = shared_from_this();
  const auto monitor = running().connected();
  const int id = running_->id;
  hold_events();
  std::exception_ptr failed;
  try {
    co_await monitor->execute(std::move(request));
    if (is(id)) done();
  } catch (...) {
    failed = std::current_exception();
  }
  release_events(id);
  if (failed) std::rethrow_exception(failed);
}

Task<void> Instance::suspend() {
  running();
  if (status_.state == State::paused) co_return;
  step(status_.state, Trigger::suspend);
  co_await order(emulator::stop(), [this] {
    if (status_.state == State::running) apply(Trigger::suspend);
  });
}

Task<void> Instance::resume() {
  running();
  step(status_.state, Trigger::resume);
  co_await order(emulator::cont(), [this] {
    if (status_.state != State::running) apply(Trigger::resume);
  });
}

Task<void> Instance::shutdown(bool reboot) {
  const auto self = shared_from_this();
  Running& now = running();
  const auto monitor = now.connected();
  emulator::Request request = emulator::system_powerdown(now.capabilities);
  now.reboot_when_off = reboot;
  keep_state();
  co_await monitor->execute(std::move(request));
}

Task<void> Instance::reset() {
  running();
  co_await order(emulator::system_reset(), [this] {
    if (status_.state == State::crashed) apply(Trigger::reset);
  });
}

Task<void> Instance::destroy(bool graceful) {
  const auto self = shared_from_this();
  running();
  if (!running_->process.pidfd && !find_process()) co_return;
  running_->ending = Trigger::exit_destroyed;
  running_->graceful = graceful;
  keep_state();
  co_await end_process(graceful);
}

}  // namespace instance
