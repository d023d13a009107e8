#include "vmm/loop/clock.h"

#include <algorithm>
#include <ctime>

#include "vmm/loop/loop.h"

namespace loop {

std::int64_t Clock::now() const {
  if (kind_ == Kind::simulated) return simulated_now_;
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
}

void Clock::add(Loop* loop) {
  const base::Lock lock(mutex_);
  loops_.push_back(loop);
}

void Clock::remove(Loop* loop) {
  const base::Lock lock(mutex_);
  std::erase(loops_, loop);
}

std::int64_t Clock::step_to(std::optional<std::int64_t> time) {
  std::vector<Loop*> loops;
  {
    const base::Lock lock(mutex_);
    loops = loops_;  // the first one is the main loop's, whose lock the caller holds
  }
  const auto with = [&](Loop* loop, const auto& act) {
    if (loop == loops.front()) return act();
    const base::Lock lock(loop->mutex());
    return act();
  };
  for (;;) {
    std::optional<std::int64_t> next;
    for (Loop* loop : loops) {
      with(loop, [&] {
        if (const auto expiry = loop->next_expiry(); expiry && (!next || *expiry < *next)) next = expiry;
      });
    }
    if (!next || (time && *next > *time)) break;
    const std::int64_t now = std::max(simulated_now_.load(), *next);
    simulated_now_ = now;
    for (Loop* loop : loops) with(loop, [&] { loop->run_due(now); });
    if (!time) return now;
  }
  if (time) simulated_now_ = std::max(simulated_now_.load(), *time);
  return simulated_now_;
}

}  // namespace loop
