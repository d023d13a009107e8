#pragma once

#include <algorithm>
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
/// are served in the order they came, and give up after `wait_limit` with OPERATION_TIMEOUT, naming the holder.
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

  static constexpr std::size_t most_queued = 1024;

  /// `max_queued`: stratovirt.conf's, the holder counted too; 0 leaves our own bound alone. `wait_limit`: libvirt's.
  explicit Job(unsigned max_queued = 0, std::chrono::milliseconds wait_limit = std::chrono::seconds(30))
      : wait_limit_(wait_limit) {
    limit(max_queued);
  }

  /// From now on; who waits already goes on waiting.
  void limit(unsigned max_queued) {
    max_queued_ = max_queued ? std::min<std::size_t>(max_queued, most_queued) : most_queued;
  }

  /// `name` is the call that wants the job, as "virDomainSuspend". The caller keeps the Job alive.
  core::Task<Guard> acquire(std::string name) {
    if (!held_) {
      held_ = true;
      holder_ = std::move(name);
      co_return Guard(this);
    }
    if (waiters_.size() + 2 > max_queued_) {
      throw core::Error(core::ErrorCode::operation_failed, "cannot acquire state change lock due to max_queued limit");
    }
    Waiter waiter{Timer(co_await core::asio::this_coro::executor, wait_limit_), std::move(name), false};
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

  std::size_t max_queued_;
  const std::chrono::milliseconds wait_limit_;
  bool held_ = false;
  std::string holder_;
  std::list<Waiter*> waiters_;
};

}  // namespace instance
