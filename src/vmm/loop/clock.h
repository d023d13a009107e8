#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/mutex.h"

namespace loop {

class Loop;

/// Nanoseconds since some moment; the one time of a machine. Real time is the host's monotonic clock. Virtual time
/// stands still until it is stepped: under a test no timer, throttle or rate limit runs by itself.
class Clock {
 public:
  enum class Kind { real, simulated };
  explicit Clock(Kind kind = Kind::real) : kind_(kind) {}

  std::int64_t now() const;
  bool simulated() const { return kind_ == Kind::simulated; }

  /// Goes on to `time`, or to the next timer of any loop where there is no time given, and runs what is due, in order,
  /// each with its loop's lock. Never goes back. For virtual time only; called with the main loop's lock held.
  /// Returns the time it is then.
  std::int64_t step_to(std::optional<std::int64_t> time);

 private:
  friend class Loop;
  void add(Loop* loop);
  void remove(Loop* loop);

  Kind kind_;
  std::atomic<std::int64_t> simulated_now_ = 0;
  base::Mutex mutex_;
  std::vector<Loop*> loops_ GUARDED_BY(mutex_);
};

}  // namespace loop
