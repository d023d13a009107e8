#include "vmm/virtio/rng.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <set>

#include "vmm/virtio/device_fake.h"

namespace virtio {
namespace {

constexpr std::int64_t second = 1'000'000'000;

struct RngTest : testing::Test {
  loop::Clock clock{loop::Clock::Kind::simulated};
  loop::Loop loop{clock};
  base::UniqueFd source, feed;
  std::unique_ptr<Rng> rng;
  std::optional<fake::Bench> bench;

  RngTest() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    source.reset(ends[0]);
    feed.reset(ends[1]);
  }
  /// Of the pipe, unless there is another source.
  void make(std::optional<std::uint64_t> max_bytes = {}, std::uint64_t period_ms = 1000, const char* path = nullptr) {
    if (path) source.reset(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    rng = std::make_unique<Rng>(RngConfig{std::move(source), max_bytes, period_ms}, loop);
    bench.emplace(*rng);
    EXPECT_TRUE(bench->activate(feature::version_1));
  }
  fake::Sent ask(std::uint32_t size) {
    const auto sent = (*bench)[0].chain().writable(size).send();
    rng->queue_ready(0);
    return sent;
  }
  std::optional<std::uint32_t> answered() {
    const auto used = (*bench)[0].take_used();
    if (!used) return {};
    return used->written;
  }
};

TEST_F(RngTest, SaysWhatItIs) {
  make();
  EXPECT_EQ(rng->traits().type, 4);
  EXPECT_EQ(rng->traits().features, feature::version_1);
  EXPECT_EQ(rng->traits().queue_sizes, std::vector<std::uint16_t>{256});
  EXPECT_EQ(rng->traits().config_size, 0U);
}

TEST_F(RngTest, FillsWhatIsAsked) {
  make({}, 1000, "/dev/urandom");
  const auto sent = ask(64);
  EXPECT_EQ(answered(), 64U);
  EXPECT_EQ(bench->interrupts.taken(0), 1U);
  const auto bytes = (*bench)[0].written(sent);
  EXPECT_GT(std::set<std::uint8_t>(bytes.begin(), bytes.end()).size(), 10U);
}

TEST_F(RngTest, GivesWhatTheSourceHasAndWaitsForMore) {
  make();
  const auto sent = ask(8);
  EXPECT_FALSE(answered());
  ASSERT_EQ(::write(feed.get(), "abcde", 5), 5);
  fake::LoopThread thread(loop);
  std::optional<std::uint32_t> size;
  EXPECT_TRUE(thread.eventually([&] { return (size = answered()).has_value(); }));
  EXPECT_EQ(size, 5U);
  EXPECT_EQ((*bench)[0].text(sent, 5), "abcde");
}

TEST_F(RngTest, ASourceAtItsEndGivesNothing) {
  make();
  feed.reset();
  ask(8);
  EXPECT_FALSE(answered());
  EXPECT_FALSE(bench->interrupts.broken);
}

TEST_F(RngTest, ARequestGetsSixtyFourKibibytesAtMost) {
  make({}, 1000, "/dev/urandom");
  (*bench)[0].chain().writable(40'000).writable(100'000).writable(1).send();
  rng->queue_ready(0);
  EXPECT_EQ(answered(), 65536U);
}

TEST_F(RngTest, WhatIsNoBufferToWriteComesBackEmpty) {
  make();
  (*bench)[0].chain().readable("seed").send();
  rng->queue_ready(0);
  EXPECT_EQ(answered(), 0U);
}

TEST_F(RngTest, EachPeriodHasItsBytes) {
  make(64, 1000, "/dev/urandom");
  ask(48);
  EXPECT_EQ(answered(), 48U);
  ask(48);
  EXPECT_EQ(answered(), 48U) << "there was something left";
  ask(48);
  EXPECT_FALSE(answered());
  EXPECT_EQ(clock.step_to(second - 1), second - 1);
  EXPECT_FALSE(answered());
  clock.step_to(second);
  EXPECT_EQ(answered(), 48U);
  ask(10);
  EXPECT_FALSE(answered()) << "overdrawn by 32, paid, and 48 taken of 32";
  clock.step_to(2 * second);
  EXPECT_EQ(answered(), 10U);
  clock.step_to(100 * second);
  ask(64);
  ask(1);
  EXPECT_EQ(answered(), 64U) << "what was not used is not kept";
  EXPECT_FALSE(answered());
}

TEST_F(RngTest, WhatALargeRequestOverdrawsIsPaidForInWholePeriods) {
  make(64, 1000, "/dev/urandom");
  ask(384);
  EXPECT_EQ(answered(), 384U);
  ask(384);
  for (int period = 1; period <= 5; ++period) {
    EXPECT_EQ(clock.step_to({}), period * second);
    EXPECT_FALSE(answered()) << period;
  }
  EXPECT_EQ(clock.step_to({}), 6 * second);
  EXPECT_EQ(answered(), 384U);
}

TEST_F(RngTest, AResetIsNoWayAroundTheLimit) {
  make(64, 1000, "/dev/urandom");
  ask(64);
  EXPECT_EQ(answered(), 64U);
  rng->reset();
  bench->activate(feature::version_1);
  ask(64);
  EXPECT_FALSE(answered());
  rng->reset();
  clock.step_to(3 * second);  // nobody is there
  bench->activate(feature::version_1);
  ask(64);
  EXPECT_EQ(answered(), 64U);
}

TEST_F(RngTest, ABrokenQueueIsToldOf) {
  make();
  (*bench)[0].make_available(256);
  rng->queue_ready(0);
  EXPECT_TRUE(bench->interrupts.broken);
  rng->queue_ready(0);
  rng->reset();
  rng->queue_ready(0);
}

}  // namespace
}  // namespace virtio
