#pragma once

#include <algorithm>
#include <chrono>

namespace core {

/// Growing pauses between tries of what may come right by itself: each twice the one before, up to the longest.
class Backoff {
 public:
  static constexpr std::chrono::milliseconds first{1000}, longest{60000};

  std::chrono::milliseconds next() {
    const auto pause = pause_;
    pause_ = std::min(2 * pause_, longest);
    return pause;
  }
  void reset() { pause_ = first; }

 private:
  std::chrono::milliseconds pause_ = first;
};

}  // namespace core
