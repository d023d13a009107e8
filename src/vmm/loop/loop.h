#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>

#include "base/mutex.h"
#include "base/unique_fd.h"
#include "vmm/loop/clock.h"

/// One thread's events. Whatever a loop calls, it calls with the loop's lock held; whoever else touches what belongs to
/// a loop takes that lock first. Locks are taken in one order: the main loop's, then one iothread's.
namespace loop {

class Loop;

/// A descriptor under watch, until this ends. Made and ended with the loop's lock held.
class Watch {
 public:
  Watch() = default;
  Watch(Watch&& other) noexcept { *this = std::move(other); }
  Watch& operator=(Watch&& other) noexcept;
  ~Watch() { end(); }

  /// What is waited for from now on (EPOLLIN, EPOLLOUT; 0 still tells of a hang-up).
  void want(std::uint32_t events);
  void end();
  explicit operator bool() const { return loop_ != nullptr; }

 private:
  friend class Loop;
  Watch(Loop* loop, int fd) : loop_(loop), fd_(fd) {}
  Loop* loop_ = nullptr;
  int fd_ = -1;
};

/// Calls back once at a time of the loop's clock. Set, cancelled and ended with the loop's lock held.
class Timer {
 public:
  Timer(Loop& loop, std::function<void()> expired) : loop_(loop), expired_(std::move(expired)) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { cancel(); }

  /// At `time` ns of the clock, in place of what was set before.
  void set(std::int64_t time);
  void cancel();
  bool is_set() const { return place_.has_value(); }

 private:
  friend class Loop;
  Loop& loop_;
  std::function<void()> expired_;
  std::optional<std::multimap<std::int64_t, Timer*>::iterator> place_;
};

class Loop {
 public:
  /// Throws std::system_error.
  explicit Loop(Clock& clock);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// `ready` gets the events epoll saw.
  Watch watch(int fd, std::uint32_t events, std::function<void(std::uint32_t)> ready);

  /// Calls `work` soon, from the loop; from any thread, with or without the lock.
  void post(std::function<void()> work);

  /// Serves until stop(). Called without the lock.
  void run();
  /// From any thread.
  void stop();

  Clock& clock() { return clock_; }
  base::Mutex& mutex() { return mutex_; }

 private:
  friend class Watch;
  friend class Timer;
  friend class Clock;

  struct Watched {
    std::function<void(std::uint32_t)> ready;
  };

  std::optional<std::int64_t> next_expiry() const;
  void run_due(std::int64_t now);
  int wait_time() const;
  void run_posted();
  void wake();

  Clock& clock_;
  base::Mutex mutex_;
  base::UniqueFd epoll_, wake_;
  std::unordered_map<int, std::shared_ptr<Watched>> watched_;
  std::multimap<std::int64_t, Timer*> timers_;
  std::atomic<bool> stopped_ = false;

  base::Mutex posted_mutex_;
  std::vector<std::function<void()>> posted_ GUARDED_BY(posted_mutex_);
};

}  // namespace loop
