#include "driver/core/gate.h"

#include <gtest/gtest.h>

#include <string>

namespace core {
namespace {

using std::chrono::milliseconds;

Task<void> pass(Gate* gate, char name, milliseconds limit, milliseconds time, std::string* log) {
  try {
    const Gate::Place place = co_await gate->enter(limit, "a place");
    *log += name;
    co_await sleep(time);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::operation_timeout);
    *log += '!';
  }
}

TEST(Gate, LetsSoManyInAndTheOthersInTheirOrder) {
  Loop loop(1);
  Gate gate(2);
  std::string log;
  for (const char name : {'a', 'b', 'c', 'd', 'e'})
    loop.spawn(pass(&gate, name, milliseconds(20000), milliseconds(30), &log));
  loop.context().poll();
  EXPECT_EQ(log, "ab");
  loop.run();
  EXPECT_EQ(log, "abcde");
}

TEST(Gate, WhoHasWaitedLongEnoughGivesUpItsPlace) {
  Loop loop(1);
  Gate gate(1);
  std::string log;
  loop.spawn(pass(&gate, 'a', milliseconds(0), milliseconds(300), &log));
  loop.spawn(pass(&gate, 'b', milliseconds(1), milliseconds(0), &log));
  loop.spawn(pass(&gate, 'c', milliseconds(20000), milliseconds(0), &log));
  loop.run();
  EXPECT_EQ(log, "a!c");
}

}  // namespace
}  // namespace core
