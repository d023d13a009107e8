#include "vmm/loop/loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace loop {
namespace {

constexpr std::int64_t ms = 1'000'000;

TEST(Loop, WorkPostedFromAnotherThreadRunsOnItsOwnInOrder) {
  Clock clock;
  Loop loop(clock);
  std::vector<int> done;
  std::thread::id where;
  std::thread other([&] {
    for (int i = 0; i < 100; ++i) {
      loop.post([&done, &where, i] {
        done.push_back(i);
        where = std::this_thread::get_id();
      });
    }
    loop.post([&loop] { loop.stop(); });
  });
  loop.run();
  other.join();
  ASSERT_EQ(done.size(), 100u);
  EXPECT_TRUE(std::ranges::is_sorted(done));
  EXPECT_EQ(where, std::this_thread::get_id());
}

TEST(Loop, WhatIsWatchedMayEndItselfAndOthers) {
  Clock clock;
  Loop loop(clock);
  const base::UniqueFd one(::eventfd(1, EFD_NONBLOCK)), two(::eventfd(1, EFD_NONBLOCK));
  Watch first, second;
  int calls = 0;
  const auto ready = [&](std::uint32_t) {  // both are ready in one round; whichever comes first ends both
    ++calls;
    first.end();
    second.end();
    loop.post([&loop] { loop.stop(); });
  };
  {
    const base::Lock lock(loop.mutex());
    first = loop.watch(one.get(), EPOLLIN, ready);
    second = loop.watch(two.get(), EPOLLIN, ready);
  }
  loop.run();
  EXPECT_EQ(calls, 1);
}

TEST(Loop, ARealTimersComeInOrderAndMayBeSetAgain) {
  Clock clock;
  Loop loop(clock);
  std::vector<int> order;
  const std::int64_t now = clock.now(), soon = now + 5 * ms;
  Timer late(loop, [&] {
    order.push_back(2);
    loop.stop();
  });
  Timer early(loop, [&] {
    order.push_back(1);
    if (order.size() < 3) early.set(soon);  // before the late one however late it is
  });
  Timer never(loop, [&] { order.push_back(9); });
  {
    const base::Lock lock(loop.mutex());
    late.set(now + 30 * ms);
    never.set(now + 10 * ms);
    early.set(soon);
    never.cancel();
  }
  loop.run();
  const base::Lock lock(loop.mutex());
  EXPECT_EQ(order, (std::vector{1, 1, 1, 2}));
}

TEST(SimulatedClock, StepsRunWhatIsDueInAllLoopsByTime) {
  Clock clock(Clock::Kind::simulated);
  Loop main(clock), other(clock);
  std::vector<std::int64_t> times;
  const auto note = [&] { times.push_back(clock.now()); };
  const base::Lock lock(main.mutex());
  Timer one(main, note), two(main, note);
  Timer third(other, note);
  one.set(10);
  two.set(30);
  {
    const base::Lock of_other(other.mutex());
    third.set(20);
  }
  EXPECT_EQ(clock.step_to(25), 25);
  EXPECT_EQ(times, (std::vector<std::int64_t>{10, 20}));
  EXPECT_EQ(clock.step_to({}), 30);
  EXPECT_EQ(clock.step_to({}), 30) << "none is left";
  EXPECT_EQ(clock.step_to(5), 30) << "never back";
  EXPECT_EQ(times.size(), 3u);
}

}  // namespace
}  // namespace loop
