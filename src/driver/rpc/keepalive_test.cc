#include "driver/rpc/keepalive.h"

#include <gtest/gtest.h>

#include "driver/rpc/test_client.h"

namespace rpc {
namespace {

using Action = keepalive::Watch::Action;
using testing::World;

TEST(KeepaliveWatch, PingsUpToItsCountAndThenGivesUp) {
  keepalive::Watch watch(2);
  EXPECT_EQ(watch.interval_over(), Action::ping);
  EXPECT_EQ(watch.interval_over(), Action::ping);
  EXPECT_EQ(watch.interval_over(), Action::dead);
}

TEST(KeepaliveWatch, AnythingHeardBeginsAnew) {
  keepalive::Watch watch(1);
  EXPECT_EQ(watch.interval_over(), Action::ping);
  watch.heard();
  EXPECT_EQ(watch.interval_over(), Action::nothing);
  EXPECT_EQ(watch.interval_over(), Action::ping);
  EXPECT_EQ(watch.interval_over(), Action::dead);
}

TEST(Keepalive, APingIsAnsweredWhetherOrNotWeAsk) {
  World world([](Connection&, Call&) {});
  auto client = world.connect();
  client.send(keepalive::message(keepalive::ping));
  const auto pong = client.receive();
  ASSERT_TRUE(pong);
  EXPECT_EQ(pong->header.program, keepalive::program);
  EXPECT_EQ(pong->header.procedure, keepalive::pong);
  EXPECT_EQ(pong->header.type, Type::message);
  EXPECT_TRUE(pong->payload.empty());
}

TEST(Keepalive, AClientThatDidNotSayItKnowsIsNeverAsked) {
  Limits limits;
  limits.keepalive_interval = 1;
  limits.keepalive_count = 0;
  World world([](Connection&, Call&) {}, limits);
  auto client = world.connect();
  testing::run_until(world.loop, [] { return false; }, std::chrono::milliseconds(2500));
  EXPECT_TRUE(client.silent());
}

TEST(Keepalive, ASilentClientIsAskedThenClosed) {
  Limits limits;
  limits.keepalive_interval = 1;
  limits.keepalive_count = 1;
  World world(
      [](Connection& connection, Call& call) {
        connection.start_keepalive();
        connection.reply(call.header, Void{});
      },
      limits);
  auto client = world.connect();
  client.send(testing::call_header(1, 1));
  ASSERT_TRUE(client.receive());
  const auto ping = client.receive();
  ASSERT_TRUE(ping);
  EXPECT_EQ(ping->header.program, keepalive::program);
  EXPECT_EQ(ping->header.procedure, keepalive::ping);
  client.send(keepalive::message(keepalive::pong));
  const auto again = client.receive();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->header.procedure, keepalive::ping);
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(testing::run_until(world.loop, [&] { return world.closings == 1; }));
}

}  // namespace
}  // namespace rpc
