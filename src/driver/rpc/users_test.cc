#include "driver/rpc/users.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <string>

#include "driver/core/error.h"
#include "driver/rpc/test_client.h"

namespace rpc {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t mebibyte = 1024 * 1024;

/// A client whose turns and end are written down.
struct Client {
  Client(const std::shared_ptr<Users>& users, uid_t uid, bool readonly, std::string called, std::string& list)
      : name(std::move(called)), log(list), account(users, {uid, readonly}, [this] {
          closed = true;
          account.closed();
          account.holds(kept);
        }) {}
  /// Asks for a turn, which takes that long, `times` over.
  void work(milliseconds each, int times = 1) {
    account.await_turn([this, each, times] {
      log += name;
      account.spent(each);
      if (times > 1) work(each, times - 1);
    });
  }

  std::string name;
  std::string& log;
  bool closed = false;
  std::size_t kept = 0;  // held still when it is closed
  Users::Account account;
};

class UsersTest : public ::testing::Test {
 protected:
  Client client(uid_t uid, bool readonly, std::string name) { return {users, uid, readonly, std::move(name), log}; }
  void run() { testing::run_all(loop); }

  core::Loop loop{1};
  std::shared_ptr<Users> users = std::make_shared<Users>(loop);
  std::string log;
};

TEST_F(UsersTest, TurnsOfOneUsersClientsAlternate) {
  Client a = client(1, true, "a");
  Client b = client(1, true, "b");
  a.work(milliseconds(2), 3);
  b.work(milliseconds(2), 3);
  EXPECT_TRUE(a.account.crowded());
  run();
  EXPECT_EQ(log, "ababab");
  EXPECT_FALSE(a.account.crowded());
}

TEST_F(UsersTest, AUserWithManyClientsHasNoMoreTurnsThanAnother) {
  std::list<Client> many;
  for (int i = 0; i < 50; ++i) {
    many.emplace_back(users, 1, true, "m", log);
    many.back().work(milliseconds(2), 2);
  }
  Client one = client(2, true, "o");
  one.work(milliseconds(2), 3);
  run();
  EXPECT_EQ(log.substr(0, 8), "momomomm");
  EXPECT_EQ(log.size(), 103u);
}

TEST_F(UsersTest, ReadersAndWritersOfOneUidAreTwoUsers) {
  std::list<Client> readers;
  for (int i = 0; i < 20; ++i) {
    readers.emplace_back(users, 0, true, "r", log);
    readers.back().work(milliseconds(2));
  }
  Client writer = client(0, false, "w");
  writer.work(milliseconds(2), 2);
  run();
  EXPECT_EQ(log.substr(0, 4), "wrwr");
}

TEST_F(UsersTest, ANewcomerIsServedBeforeThoseWhoHadMuch) {
  std::list<Client> busy;
  for (int i = 0; i < 20; ++i) {
    busy.emplace_back(users, 1, true, "b", log);
    busy.back().work(milliseconds(2), 100);
  }
  for (int i = 0; i < 40; ++i) loop.context().poll_one();
  const std::size_t before = log.size();
  Client late = client(1, true, "n");
  late.work(milliseconds(1), 3);
  for (int i = 0; i < 20; ++i) loop.context().poll_one();
  EXPECT_LE(log.find("n"), before + 20);
  EXPECT_GE(std::ranges::count(log, 'n'), 1);
  for (Client& one : busy) one.account.closed();
}

TEST_F(UsersTest, WhatKeptNobodyWaitingIsNoDebt) {
  Client a = client(1, true, "a");
  Client idle = client(1, true, "i");
  a.account.spent(std::chrono::seconds(60));
  Client stranger = client(2, true, "s");
  Client sibling = client(1, true, "b");
  stranger.work(milliseconds(2), 100);
  sibling.work(milliseconds(2), 100);
  a.work(milliseconds(2));
  idle.work(milliseconds(2));
  run();
  EXPECT_LT(log.find('a'), 8u) << log;
  EXPECT_LT(log.find('i'), 8u) << log;
}

TEST_F(UsersTest, WhoeverLeavesIsWaitedForNoMore) {
  auto gone = std::make_unique<Client>(users, 1, true, "g", log);
  bool called = false;
  gone->account.await_turn([&] { called = true; });
  gone->account.closed();
  EXPECT_TRUE(called);
  gone.reset();
  EXPECT_EQ(users->clients({1, true}), 0u);
  Client here = client(1, true, "h");
  here.work(milliseconds(1));
  run();
  EXPECT_EQ(log, "h");
}

TEST_F(UsersTest, BeyondTheBoundWhoHoldsMostIsClosed) {
  Client modest = client(1, true, "m");
  Client first = client(2, true, "f");
  Client second = client(2, true, "s");
  modest.account.holds(18 * mebibyte);
  first.account.holds(6 * mebibyte);
  second.account.holds(15 * mebibyte);
  EXPECT_FALSE(modest.closed || first.closed || second.closed);
  first.account.holds(10 * mebibyte);  // both of its user together hold most
  EXPECT_TRUE(second.closed);
  EXPECT_FALSE(modest.closed || first.closed);
  modest.account.holds(39 * mebibyte);
  EXPECT_TRUE(modest.closed);
  EXPECT_FALSE(first.closed);
}

TEST_F(UsersTest, WhatTheClosedStillHoldIsSomebodyElsesBound) {
  Client slow = client(1, true, "s");
  Client next = client(2, true, "n");
  Client modest = client(1, true, "m");
  slow.kept = 35 * mebibyte;
  modest.account.holds(1 * mebibyte);
  next.account.holds(3 * mebibyte);
  slow.account.holds(38 * mebibyte);
  EXPECT_TRUE(slow.closed);
  EXPECT_FALSE(next.closed || modest.closed);
  next.account.holds(5 * mebibyte);
  EXPECT_TRUE(next.closed);
  EXPECT_FALSE(modest.closed);
}

TEST_F(UsersTest, WhatAWriterHoldsIsItsOwnBound) {
  Client writer = client(0, false, "w");
  writer.account.holds(1024 * mebibyte);
  EXPECT_FALSE(writer.closed);
}

core::Task<void> pass(Client* client, milliseconds time) {
  try {
    const auto pass = co_await Users::pass(&client->account);
    client->log += client->name;
    co_await core::sleep(time);
    client->log += client->name;
  } catch (const core::Error&) {
    client->log += "!";
  }
}

TEST_F(UsersTest, OneReaderAtATimeHasThePassAndWritersNeedNone) {
  Client a = client(1, true, "a");
  Client b = client(1, true, "b");
  Client c = client(2, true, "c");
  Client w = client(1, false, "w");
  a.account.spent(milliseconds(10));
  loop.spawn(pass(&a, milliseconds(10)));
  loop.spawn(pass(&b, milliseconds(1)));
  loop.spawn(pass(&c, milliseconds(1)));  // of a user that has had nothing yet
  loop.spawn(pass(&w, milliseconds(0)));
  run();
  EXPECT_EQ(log, "awwaccbb");
}

TEST_F(UsersTest, ANewcomerDoesNotKeepThePassFromWhoHadMuchOfTheLoop) {
  Client a = client(1, true, "a");
  Client b = client(2, true, "b");
  a.account.spent(std::chrono::seconds(60));
  loop.spawn(pass(&b, milliseconds(10)));
  for (int i = 0; i < 3; ++i) loop.spawn(pass(&b, milliseconds(1)));
  loop.spawn(pass(&a, milliseconds(1)));
  run();
  EXPECT_EQ(log, "bbaabbbbbb");
}

TEST_F(UsersTest, WhoLeavesGivesUpItsPlaceForThePass) {
  Client a = client(1, true, "a");
  Client b = client(1, true, "b");
  Client c = client(1, true, "c");
  loop.spawn(pass(&a, milliseconds(10)));
  loop.spawn(pass(&b, milliseconds(1)));
  loop.spawn(pass(&c, milliseconds(1)));
  testing::run_until(loop, [&] { return log == "a"; });
  loop.context().poll();
  b.account.closed();
  run();
  EXPECT_EQ(log, "a!acc");
}

}  // namespace
}  // namespace rpc
