#pragma once

#include <chrono>
#include <list>
#include <string>
#include <utility>

#include "driver/core/error.h"
#include "driver/core/loop.h"

namespace core {

/// Lets so many coroutines of one loop in at a time. The others wait, in the order they came.
class Gate {
 public:
  /// Held as long as it lives.
  class Place {
   public:
    explicit Place(Gate* gate) : gate_(gate) {}
    Place(Place&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (gate_) gate_->leave();
    }

   private:
    Gate* gate_;
  };

  explicit Gate(unsigned places) : free_(places) {}
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  /// The caller keeps the gate alive. Throws Error OPERATION_TIMEOUT after `limit`, naming `what` is waited for.
  Task<Place> enter(std::chrono::milliseconds limit, std::string what) {
    if (free_ > 0) {
      --free_;
      co_return Place(this);
    }
    Waiter waiter(waiters_, asio::steady_timer(co_await asio::this_coro::executor, limit));
    boost::system::error_code woken;
    co_await waiter.timer.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    if (!waiter.called) throw Error(ErrorCode::operation_timeout, "timed out waiting for " + what);
    co_return Place(this);
  }

 private:
  struct Waiter {
    Waiter(std::list<Waiter*>& all, asio::steady_timer until) : waiters(all), timer(std::move(until)) {
      waiters.push_back(this);
    }
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    ~Waiter() { waiters.remove(this); }

    std::list<Waiter*>& waiters;
    asio::steady_timer timer;
    bool called = false;
  };

  void leave() {
    if (waiters_.empty()) {
      ++free_;
      return;
    }
    Waiter* const next = waiters_.front();
    waiters_.pop_front();
    next->called = true;
    next->timer.cancel();
  }

  unsigned free_;
  std::list<Waiter*> waiters_;
};

}  // namespace core
