#include "driver/core/loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

namespace core {
namespace {

Task<void> fail_after(std::chrono::milliseconds time) {
  co_await sleep(time);
  throw std::runtime_error("it broke");
}

TEST(Loop, AnExceptionEndsItsOwnWorkAndIsTold) {
  Loop loop;
  std::vector<std::string> told;
  loop.on_failure([&](const std::string& whose, const std::string& why) { told.push_back(whose + ": " + why); });
  loop.spawn(fail_after(std::chrono::milliseconds(0)), "domain 'one'");
  loop.spawn(
      []() -> Task<void> {
        throw 5;
        co_return;
      }(),
      "domain 'two'");
  asio::post(loop.context(), [] { throw std::runtime_error("so did this"); });
  bool served = false;
  loop.spawn([](Loop* own, bool* done) -> Task<void> {
    co_await sleep(std::chrono::milliseconds(50));
    *done = true;
    own->stop();
  }(&loop, &served));
  loop.run();
  EXPECT_TRUE(served);
  EXPECT_THAT(told, testing::UnorderedElementsAre("domain 'one': it broke", "a handler: so did this",
                                                  "domain 'two': an exception of no known kind"));
}

TEST(Loop, AnExceptionIsNotLostWhereNobodyIsTold) {
  Loop loop;
  loop.spawn(fail_after(std::chrono::milliseconds(0)));
  EXPECT_THROW(loop.run(), std::runtime_error);
}

}  // namespace
}  // namespace core
