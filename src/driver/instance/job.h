#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <utility>

#include "driver/core/error.h"
#include "driver/core/loop.h"

namespace instance {

/// One job a machine at a time: whoever changes a domain holds its job from the first look to the last write. Waiters
/// are served in the order they came, and give up after libvirt's 30 s with OPERATION_TIMEOUT, naming the holder.
class Job {
 public:
  /// Held as long as it lives.
  class Guard {
   public:
    explicit Guard(Job* job) : job_(job) {}
    Guard(Guard&& other) noexcept : job_(std::exchange(other.job_, nullptr)) {}
    Guard& operator=(Guard&&) = delete;
    ~Guard() {
      if (job_) job_->release();
    }

   private:
    Job* job_;
  };

  static constexpr std::chrono::seconds wait_limit{30};
  static constexpr std::size_t queue_limit = 1024;

  /// `name` is the call that wants the job, as "virDomainSuspend". The caller keeps the Job alive.
  core::Task<Guard> acquire(std::string name) {
    if (!held_) {
      held_ = true;
      holder_ = std::move(name);
      co_return Guard(this);
    }
    if (waiters_.size() >= queue_limit) {
      throw core::Error(core::ErrorCode::operation_failed, "cannot acquire state change lock due to max_queued limit");
    }
    Waiter waiter{asio_timer(co_await core::asio::this_coro::executor), std::move(name), false};
    const auto place = waiters_.insert(waiters_.end(), &waiter);
    boost::system::error_code woken;
    co_await waiter.timer.async_wait(core::asio::redirect_error(core::asio::use_awaitable, woken));
    if (!waiter.granted) {
      waiters_.erase(place);
      throw core::Error(core::ErrorCode::operation_timeout,
                        "cannot acquire state change lock (held by monitor=" + holder_ + ")");
    }
    holder_ = std::move(waiter.name);
    co_return Guard(this);
  }

  bool held() const { return held_; }

 private:
  using Timer = core::asio::steady_timer;
  struct Waiter {
    Timer timer;
    std::string name;
    bool granted;
  };

  static Timer asio_timer(const core::asio::any_io_executor& executor) { return Timer(executor, wait_limit); }

  void release() {
    if (waiters_.empty()) {
      held_ = false;
      holder_.clear();
      return;
    }
    Waiter* next = waiters_.front();
    waiters_.pop_front();
    next->granted = true;
    next->timer.cancel();
  }

  bool held_ = false;
  std::string holder_;
  std::list<Waiter*> waiters_;
};

}  // namespace instance
