#include "vmm/virtio/queue.h"

#include <gmock/gmock.h>

#include "vmm/virtio/queue_fake.h"

namespace virtio {
namespace {

using fake::Driver;

struct QueueTest : testing::Test {
  fake::Ram ram;

  /// The reason that the next request is refused for.
  static std::string refusal(Queue& queue) {
    const auto taken = queue.take();
    return taken ? "taken" : std::string(taken.error().why);
  }
};

TEST_F(QueueTest, IsMadeOnlyOfAlignedRamAndASizeThatIsOne) {
  Driver driver(ram, 8);
  EXPECT_TRUE(Queue::make(ram.memory(), driver.config()));
  const auto made = [&](auto change) {
    QueueConfig config = driver.config();
    change(config);
    return Queue::make(ram.memory(), config).has_value();
  };
  EXPECT_FALSE(made([](QueueConfig& config) { config.size = 0; }));
  EXPECT_FALSE(made([](QueueConfig& config) { config.size = 12; }));
  EXPECT_FALSE(made([](QueueConfig& config) { config.descriptors += 8; }));
  EXPECT_FALSE(made([](QueueConfig& config) { config.available += 1; }));
  EXPECT_FALSE(made([](QueueConfig& config) { config.used += 2; }));
  EXPECT_FALSE(made([](QueueConfig& config) { config.descriptors = 0; }));
  EXPECT_FALSE(made([&](QueueConfig& config) { config.used = ram.end() - 64; }));
  EXPECT_FALSE(made([&](QueueConfig& config) { config.available = ram.end(); }));
  EXPECT_FALSE(made([](QueueConfig& config) { config.used = ~std::uint64_t{3}; }));
}

TEST_F(QueueTest, AnEmptyQueueHasNothing) {
  Driver driver(ram, 8);
  Queue queue = driver.queue();
  const auto taken = queue.take();
  ASSERT_TRUE(taken);
  EXPECT_FALSE(*taken);
  EXPECT_FALSE(queue.wants_interrupt());
}

TEST_F(QueueTest, ARequestGoesThereAndBack) {
  Driver driver(ram, 8);
  Queue queue = driver.queue();
  const auto sent = driver.chain().readable("hel").readable("lo").writable(2).writable(10).send();

  auto chain = *queue.take();
  ASSERT_TRUE(chain);
  EXPECT_EQ(chain->readable_bytes(), 5U);
  EXPECT_EQ(chain->writable_bytes(), 12U);
  EXPECT_EQ(chain->readable().size(), 2U);
  EXPECT_EQ(chain->writable().size(), 2U);
  std::array<std::uint8_t, 16> bytes{};
  EXPECT_EQ(chain->copy_out(1, bytes), 4U);
  EXPECT_EQ(std::string(bytes.begin(), bytes.begin() + 4), "ello");
  EXPECT_EQ(chain->copy_in(0, fake::bytes_of("answer")), 6U);
  EXPECT_EQ(chain->copy_in(11, fake::bytes_of("?!")), 1U);
  queue.give_back(std::move(*chain), 12);
  EXPECT_TRUE(queue.wants_interrupt());
  EXPECT_FALSE(queue.wants_interrupt()) << "nothing came back since";

  const auto used = driver.take_used();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->head, sent.head);
  EXPECT_EQ(used->written, 12U);
  EXPECT_EQ(driver.text(sent, 6), "answer");
  EXPECT_EQ(driver.written(sent).back(), '?');
  EXPECT_FALSE(driver.take_used());
}

TEST_F(QueueTest, EmptyBuffersAreNothing) {
  Driver driver(ram, 8);
  Queue queue = driver.queue();
  driver.chain().at(0, 0, false).readable("x").at(0, 0, true).send();
  const auto chain = *queue.take();
  ASSERT_TRUE(chain);
  EXPECT_EQ(chain->readable_bytes(), 1U);
  EXPECT_TRUE(chain->writable().empty());
}

TEST_F(QueueTest, ATableHoldsMoreThanTheQueue) {
  Driver driver(ram, 2);
  Queue queue = driver.queue();
  auto builder = driver.chain();
  for (int i = 0; i < 20; ++i) builder.readable("ab");
  const auto sent = builder.writable(1).in_table().send();
  auto chain = *queue.take();
  ASSERT_TRUE(chain);
  EXPECT_EQ(chain->readable_bytes(), 40U);
  EXPECT_EQ(chain->copy_in(0, fake::bytes_of("!")), 1U);
  queue.give_back(std::move(*chain), 1);
  EXPECT_EQ(driver.text(sent, 1), "!");
}

TEST_F(QueueTest, ATableMayEndAChain) {
  Driver driver(ram, 4);
  Queue queue = driver.queue();
  const std::uint64_t text = ram.put(fake::bytes_of("abcdef"));
  const Driver::Descriptor inner{text + 3, 3, 0, 0};
  const std::uint64_t table = ram.put({reinterpret_cast<const std::uint8_t*>(&inner), sizeof inner});
  driver.set_descriptor(2, {text, 3, Driver::next, 1});
  driver.set_descriptor(1, {table, 16, Driver::indirect | Driver::write, 0});  // its own write bit means nothing
  driver.make_available(2);
  const auto chain = *queue.take();
  ASSERT_TRUE(chain);
  std::array<std::uint8_t, 6> bytes{};
  chain->copy_out(0, bytes);
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), "abcdef");
}

TEST_F(QueueTest, BothIndicesWrapAround) {
  for (const bool event_index : {false, true}) {
    fake::Ram fresh;
    Driver driver(fresh, 4, event_index);
    Queue queue = driver.queue();
    for (std::uint32_t i = 0; i < 70'000; ++i) {
      driver.set_used_event(driver.used_index());
      const auto sent = driver.chain().writable(4).send();
      auto chain = *queue.take();
      ASSERT_TRUE(chain) << i;
      chain->copy_in(0, {reinterpret_cast<const std::uint8_t*>(&i), 4});
      queue.give_back(std::move(*chain), 4);
      ASSERT_TRUE(queue.wants_interrupt()) << i;
      ASSERT_EQ(driver.take_used()->head, sent.head);
      std::uint32_t value = 0;
      std::memcpy(&value, driver.written(sent).data(), 4);
      ASSERT_EQ(value, i);
    }
  }
}

TEST_F(QueueTest, RequestsComeBackInAnyOrder) {
  Driver driver(ram, 4);
  Queue queue = driver.queue();
  const auto first = driver.chain().writable(1).send(), second = driver.chain().writable(1).send();
  auto one = *queue.take(), two = *queue.take();
  queue.give_back(std::move(*two), 1);
  queue.give_back(std::move(*one), 0);
  EXPECT_EQ(driver.take_used()->head, second.head);
  EXPECT_EQ(driver.take_used()->head, first.head);
}

TEST_F(QueueTest, PutBackIsTakenAgain) {
  Driver driver(ram, 4);
  Queue queue = driver.queue();
  driver.chain().readable("first").send();
  driver.chain().readable("second!").send();
  EXPECT_EQ((*queue.take())->readable_bytes(), 5U);
  queue.put_back();
  EXPECT_EQ((*queue.take())->readable_bytes(), 5U);
  EXPECT_EQ((*queue.take())->readable_bytes(), 7U);
}

TEST_F(QueueTest, WithoutEventIndexTheFlagsSayWhoIsTold) {
  Driver driver(ram, 4);
  Queue queue = driver.queue();
  driver.set_available_flags(1);
  driver.chain().writable(1).send();
  queue.give_back(std::move(**queue.take()), 0);
  EXPECT_FALSE(queue.wants_interrupt());
  driver.set_available_flags(0);
  driver.chain().writable(1).send();
  queue.give_back(std::move(**queue.take()), 0);
  EXPECT_TRUE(queue.wants_interrupt());

  queue.ignore_notifications();
  EXPECT_EQ(driver.used_flags(), 1U);
  EXPECT_FALSE(queue.want_notifications());
  EXPECT_EQ(driver.used_flags(), 0U);
  queue.ignore_notifications();
  driver.chain().writable(1).send();
  EXPECT_TRUE(queue.want_notifications()) << "one came meanwhile";
}

TEST_F(QueueTest, WithEventIndexTheIndexSaysWhoIsTold) {
  Driver driver(ram, 8, true);
  Queue queue = driver.queue();
  const auto serve = [&] {
    driver.chain().writable(1).send();
    queue.give_back(std::move(**queue.take()), 0);
    return queue.wants_interrupt();
  };
  driver.set_used_event(2);  // the third
  EXPECT_FALSE(serve());
  EXPECT_FALSE(serve());
  EXPECT_TRUE(serve());
  EXPECT_FALSE(serve()) << "told already";
  driver.set_used_event(5);
  for (int i = 0; i < 3; ++i) {  // passed within several at once
    driver.chain().writable(1).send();
    queue.give_back(std::move(**queue.take()), 0);
  }
  EXPECT_TRUE(queue.wants_interrupt());

  EXPECT_EQ(driver.available_event(), 0U) << "the device has not yet looked for more in vain";
  EXPECT_FALSE(*queue.take());
  EXPECT_EQ(driver.available_event(), 7U) << "the driver tells of the next one";
  driver.chain().writable(1).send();
  EXPECT_TRUE(queue.want_notifications());
}

TEST_F(QueueTest, ADriverTellsOfARequestOnlyWhenTheDeviceHasNone) {
  Driver driver(ram, 64, true);
  Queue queue = driver.queue();
  unsigned told = 0;
  const auto add = [&] {  // as §2.7.13.4 has drivers ask
    const std::uint16_t before = driver.available_index();
    driver.chain().writable(1).send();
    told += driver.available_event() == before;
  };
  for (unsigned busy = 0; busy < 3; ++busy) {
    for (unsigned i = 0; i < 10; ++i) add();
    for (unsigned i = 0; i < 10; ++i) {
      add();  // while the device takes others
      ASSERT_TRUE(*queue.take());
    }
    while (auto chain = *queue.take()) queue.give_back(std::move(*chain), 0);
    EXPECT_EQ(told, busy + 1) << "the first, and the next after it was idle";
    while (driver.take_used()) continue;
    EXPECT_FALSE(*queue.take());
  }
}

// What breaks the rules

TEST_F(QueueTest, MoreSegmentsThanTheDeviceTakes) {
  const auto taken = [&](unsigned segments, std::uint16_t longest, std::size_t before) {
    fake::Ram fresh;
    Driver driver(fresh, 4);
    QueueConfig config = driver.config();
    config.longest = longest;
    Queue queue = *Queue::make(fresh.memory(), config);
    const std::uint64_t byte = fresh.allocate(1, 1);
    std::vector<Driver::Descriptor> entries(segments, {byte, 1, Driver::next, 0});
    for (unsigned i = 0; i < segments; ++i) entries[i].next = static_cast<std::uint16_t>(i + 1);
    entries.back().flags = 0;
    const auto size = static_cast<std::uint32_t>(16 * entries.size());
    const std::uint64_t table = fresh.put({reinterpret_cast<const std::uint8_t*>(entries.data()), size});
    for (std::uint16_t i = 0; i < before; ++i) {
      driver.set_descriptor(i, {byte, 1, Driver::next, static_cast<std::uint16_t>(i + 1)});
    }
    driver.set_descriptor(static_cast<std::uint16_t>(before), {table, size, Driver::indirect, 0});
    driver.make_available(0);
    const auto chain = queue.take();
    return chain ? std::to_string((*chain)->segments()) : std::string(chain.error().why);
  };
  const std::string refused = "a request of more segments than the device takes";
  EXPECT_EQ(taken(256, 256, 0), "256") << "of a queue of four";
  EXPECT_EQ(taken(257, 256, 0), refused);
  EXPECT_EQ(taken(255, 256, 1), "256");
  EXPECT_EQ(taken(256, 256, 1), refused);
  EXPECT_EQ(taken(1024, 256, 0), refused);
  EXPECT_EQ(taken(4, 0, 0), "4");
  EXPECT_EQ(taken(5, 0, 0), refused);
}

TEST_F(QueueTest, MoreRequestsThanTheQueueIsLong) {
  Driver driver(ram, 4);
  Queue queue = driver.queue();
  driver.set_available_index(5);
  EXPECT_EQ(refusal(queue), "more requests than the queue is long");
}

TEST_F(QueueTest, AHeadBeyondTheTable) {
  Driver driver(ram, 4);
  Queue queue = driver.queue();
  driver.make_available(4);
  EXPECT_EQ(refusal(queue), "a descriptor beyond its table");
}

TEST_F(QueueTest, ANextOneBeyondTheTable) {
  Driver driver(ram, 4);
  Queue queue = driver.queue();
  driver.set_descriptor(0, {fake::Ram::base, 1, Driver::next, 4});
  driver.make_available(0);
  EXPECT_EQ(refusal(queue), "a descriptor beyond its table");
}

TEST_F(QueueTest, AChainThatBitesItsTail) {
  Driver driver(ram, 4);
  Queue queue = driver.queue();
  driver.set_descriptor(0, {fake::Ram::base, 1, Driver::next, 1});
  driver.set_descriptor(1, {fake::Ram::base, 1, Driver::next, 0});
  driver.make_available(0);
  EXPECT_EQ(refusal(queue), "a chain of descriptors that has no end");
}

TEST_F(QueueTest, ABufferToReadAfterOneToWrite) {
  Driver driver(ram, 4);
  Queue queue = driver.queue();
  driver.chain().writable(1).readable("x").send();
  EXPECT_EQ(refusal(queue), "a buffer to read after one to write");
}

TEST_F(QueueTest, ABufferThatIsNotInMemory) {
  for (const auto& [address, size] : {std::pair{std::uint64_t{0}, 1U},
                                      {ram.end() - 1, 2U},
                                      {fake::Ram::base - 1, 2U},
                                      {~std::uint64_t{0}, 2U},
                                      {fake::Ram::base, 0xffff'ffffU}}) {
    for (const bool to_write : {false, true}) {
      fake::Ram fresh;
      Driver driver(fresh, 4);
      Queue queue = driver.queue();
      driver.chain().at(address, size, to_write).send();
      EXPECT_EQ(refusal(queue), "a buffer that is not in memory") << address;
    }
  }
}

TEST_F(QueueTest, ATableThatWasNotNegotiated) {
  Driver driver(ram, 4, false, false);
  Queue queue = driver.queue();
  driver.chain().readable("x").in_table().send();
  EXPECT_EQ(refusal(queue), "an indirect descriptor that was not negotiated");
}

TEST_F(QueueTest, ATableInATable) {
  Driver driver(ram, 4);
  Queue queue = driver.queue();
  const Driver::Descriptor inner{fake::Ram::base, 16, Driver::indirect, 0};
  const std::uint64_t table = ram.put({reinterpret_cast<const std::uint8_t*>(&inner), sizeof inner});
  driver.set_descriptor(0, {table, 16, Driver::indirect, 0});
  driver.make_available(0);
  EXPECT_EQ(refusal(queue), "an indirect descriptor in an indirect table");
}

TEST_F(QueueTest, ATableWithANextOne) {
  Driver driver(ram, 4);
  Queue queue = driver.queue();
  driver.set_descriptor(0, {fake::Ram::base, 16, Driver::indirect | Driver::next, 1});
  driver.make_available(0);
  EXPECT_EQ(refusal(queue), "an indirect descriptor with a next one");
}

TEST_F(QueueTest, ATableOfALengthThatIsNone) {
  for (const std::uint32_t length : {0U, 8U, 17U, 0xffff'fff0U}) {
    fake::Ram fresh;
    Driver driver(fresh, 4);
    Queue queue = driver.queue();
    driver.set_descriptor(0, {fake::Ram::base, length, Driver::indirect, 0});
    driver.make_available(0);
    EXPECT_EQ(refusal(queue), "an indirect table of a length that is none") << length;
  }
}

TEST_F(QueueTest, ATableThatIsNotInMemory) {
  Driver driver(ram, 4);
  Queue queue = driver.queue();
  driver.set_descriptor(0, {ram.end() - 16, 32, Driver::indirect, 0});
  driver.make_available(0);
  EXPECT_EQ(refusal(queue), "an indirect table that is not in memory");
}

TEST_F(QueueTest, ATableThatBitesItsTail) {
  Driver driver(ram, 4);
  Queue queue = driver.queue();
  const Driver::Descriptor inner{fake::Ram::base, 1, Driver::next, 0};
  const std::uint64_t table = ram.put({reinterpret_cast<const std::uint8_t*>(&inner), sizeof inner});
  driver.set_descriptor(0, {table, 16, Driver::indirect, 0});
  driver.make_available(0);
  EXPECT_EQ(refusal(queue), "a chain of descriptors that has no end");
}

TEST_F(QueueTest, WhatWasRefusedIsRefusedAgain) {
  Driver driver(ram, 4);
  Queue queue = driver.queue();
  driver.make_available(9);
  EXPECT_EQ(refusal(queue), refusal(queue));
}

}  // namespace
}  // namespace virtio
