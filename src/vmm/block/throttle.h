#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>

namespace block {

/// A token bucket that says when the next operation may begin: so many a second, a tenth of a second's worth at once
/// after a rest. Times are nanoseconds of one clock.
class Throttle {
 public:
  /// At least 1 a second.
  explicit Throttle(std::uint64_t per_second)
      : interval_(1e9 / static_cast<double>(std::max<std::uint64_t>(per_second, 1))),
        allowance_(static_cast<double>(std::max<std::uint64_t>(per_second / 10, 1) - 1) * interval_) {}

  /// Takes a token, or gives the time at which there is one.
  std::optional<std::int64_t> take(std::int64_t now) {
    const double time = static_cast<double>(now);
    if (next_ - allowance_ > time) return static_cast<std::int64_t>(std::ceil(next_ - allowance_));
    next_ = std::max(next_, time) + interval_;
    return {};
  }

 private:
  double interval_, allowance_;
  double next_ = 0;  ///< when the bucket is full again
};

}  // namespace block
