#include "vmm/virtio/blk.h"

#include <gmock/gmock.h>

#include "vmm/block/disk_fake.h"
#include "vmm/virtio/device_fake.h"

namespace virtio {
namespace {

using namespace blk_layout;
using block::Kind;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint64_t usual = feature::version_1 | feature::indirect_desc | feature::event_idx | offer::seg_max |
                                offer::flush | offer::discard | offer::write_zeroes;

struct BlkTest : testing::Test {
  static constexpr std::size_t sectors = 64;
  block::FakeDisk disk{sectors * sector};
  std::optional<Blk> blk;
  std::optional<fake::Bench> bench;

  BlkTest() {
    for (std::size_t i = 0; i < disk.bytes.size(); ++i) disk.bytes[i] = static_cast<std::uint8_t>(i / sector + 1);
  }
  ~BlkTest() override { blk.reset(); }

  void make(std::uint64_t features = usual, const BlkConfig& config = {.serial = "disk-1", .write_zeroes = true}) {
    blk.emplace(config, disk);
    bench.emplace(*blk);
    ASSERT_TRUE(bench->activate(features & blk->traits().features));
  }
  fake::Driver& queue(std::size_t index = 0) { return (*bench)[index]; }
  std::optional<fake::Driver::Used> served(unsigned index = 0) {
    blk->queue_ready(index);
    return queue(index).take_used();
  }
  /// The status, the last byte that the device may write.
  std::uint8_t status(const fake::Sent& sent) { return queue().written(sent).back(); }
  /// Of a request that is done at once.
  std::uint8_t run(fake::Driver::Builder builder) {
    const auto sent = builder.send();
    const auto used = served();
    EXPECT_TRUE(used);
    return used ? status(sent) : 0xee;
  }
  fake::Driver::Builder request(std::uint32_t type, std::uint64_t at = 0) {
    auto builder = queue().chain();
    builder.readable(Header{type, 0, at});
    return builder;
  }
  std::uint8_t run_range(std::uint32_t type, const Range& range) {
    return run(request(type).readable(range).writable(1));
  }
};

TEST_F(BlkTest, SaysWhatItIs) {
  disk.discards = false;
  Blk plain({}, disk);
  EXPECT_EQ(plain.traits().type, 2);
  EXPECT_EQ(plain.traits().features, 1U << 2 | 1U << 9 | 1U << 28 | 1U << 29 | std::uint64_t{1} << 32);
  EXPECT_EQ(plain.traits().queue_sizes, std::vector<std::uint16_t>{256});
  EXPECT_EQ(plain.traits().config_size, 60U);
  disk.discards = true;
  Blk full({.queues = 4, .queue_size = 128, .write_zeroes = true}, disk);
  EXPECT_EQ(full.traits().features & 0xffff, 1U << 2 | 1U << 9 | 1U << 12 | 1U << 13 | 1U << 14);
  EXPECT_EQ(full.traits().queue_sizes.size(), 4U);
  disk.is_read_only = true;
  disk.discards = false;
  EXPECT_EQ(Blk({.write_zeroes = true}, disk).traits().features & 0xffff, 1U << 2 | 1U << 5 | 1U << 9);
}

TEST_F(BlkTest, ConfigurationIsAtItsPlaces) {
  make(usual, {.queues = 2, .queue_size = 128, .write_zeroes = true});
  std::array<std::uint8_t, 60> config{};
  blk->read_config(0, config);
  const auto word = [&](std::size_t at) {
    std::uint32_t value = 0;
    std::memcpy(&value, &config[at], 4);
    return value;
  };
  EXPECT_EQ(word(0), sectors);
  EXPECT_EQ(word(4), 0U);
  EXPECT_EQ(word(12), 126U) << "segments: a queue's length without header and status";
  EXPECT_EQ(config[34], 2);
  EXPECT_EQ(word(36), 0x7f'ffffU);
  EXPECT_EQ(word(40), 1U);
  EXPECT_EQ(word(44), 1U);
  EXPECT_EQ(word(48), 0x7f'ffffU);
  EXPECT_EQ(word(52), 1U);
  EXPECT_EQ(word(56), 1U);
  disk.discards = false;
  Blk plain({}, disk);
  plain.read_config(36, std::span(config).first(24));
  EXPECT_THAT(std::vector(config.begin(), config.begin() + 24), testing::Each(0));
}

TEST_F(BlkTest, Reads) {
  make();
  const auto sent = request(Type::in, 3).writable(512).writable(1024).writable(1).send();
  const auto used = served();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->written, 1537U);
  EXPECT_EQ(bench->interrupts.taken(0), 1U);
  const auto bytes = queue().written(sent);
  EXPECT_EQ(bytes.back(), ok);
  EXPECT_EQ(bytes[0], 4);
  EXPECT_EQ(bytes[1535], 6);
}

TEST_F(BlkTest, Writes) {
  make();
  EXPECT_EQ(run(request(Type::out, 5).readable(std::string(256, 'a')).readable(std::string(768, 'b')).writable(1)), ok);
  EXPECT_EQ(disk.bytes[5 * sector + 255], 'a');
  EXPECT_EQ(disk.bytes[5 * sector + 256], 'b');
  EXPECT_EQ(disk.bytes[7 * sector - 1], 'b');
  EXPECT_EQ(disk.bytes[7 * sector], 8);
}

TEST_F(BlkTest, BuffersMayBeCutAnywhere) {
  make();
  // The header in three, data behind it in the same buffer, data and status in one.
  std::string header(16, '\0');
  header[8] = 1;
  EXPECT_EQ(run(queue()
                    .chain()
                    .readable(header.substr(0, 3))
                    .readable(header.substr(3, 12))
                    .readable(header.substr(15) + std::string(500, 'q'))
                    .readable(std::string(12, 'q'))
                    .writable(1)),
            ioerr)
      << "a read of nothing";
  header[0] = Type::out;
  EXPECT_EQ(run(queue()
                    .chain()
                    .readable(header.substr(0, 3))
                    .readable(header.substr(3, 12))
                    .readable(header.substr(15) + std::string(500, 'q'))
                    .readable(std::string(12, 'q'))
                    .writable(1)),
            ok);
  EXPECT_EQ(disk.bytes[sector], 'q');
  EXPECT_EQ(disk.bytes[2 * sector - 1], 'q');
  header[0] = Type::in;
  const auto sent = queue().chain().readable(header).writable(100).writable(413).in_table().send();
  ASSERT_TRUE(served());
  EXPECT_EQ(queue().text(sent, 512), std::string(512, 'q'));
  EXPECT_EQ(status(sent), ok);
}

TEST_F(BlkTest, WhatIsOutOfRangeIsAnError) {
  make();
  for (const std::uint32_t type : {Type::in, Type::out}) {
    const auto ask = [&](std::uint64_t at, std::uint32_t size) {
      auto builder = request(type, at);
      if (type == Type::out) {
        builder.readable(std::string(size, 'x'));
      } else {
        builder.writable(size);
      }
      return run(builder.writable(1));
    };
    EXPECT_EQ(ask(sectors - 1, 512), ok);
    EXPECT_EQ(ask(sectors - 1, 1024), ioerr);
    EXPECT_EQ(ask(sectors, 512), ioerr);
    EXPECT_EQ(ask(sectors + 1, 512), ioerr);
    EXPECT_EQ(ask(~std::uint64_t{0}, 512), ioerr);
    EXPECT_EQ(ask(std::uint64_t{1} << 55, 512), ioerr);
    EXPECT_EQ(ask(0, 256), ioerr);
    EXPECT_EQ(ask(0, 513), ioerr);
    EXPECT_EQ(ask(0, 0), ioerr);
  }
  EXPECT_FALSE(bench->interrupts.broken);
}

TEST_F(BlkTest, AReadOnlyDiskRefusesWrites) {
  disk.is_read_only = true;
  disk.discards = false;
  make(feature::version_1 | offer::read_only);
  EXPECT_EQ(run(request(Type::out).readable(std::string(512, 'x')).writable(1)), ioerr);
  EXPECT_EQ(run(request(Type::in).writable(512).writable(1)), ok);
  EXPECT_EQ(run_range(Type::discard, {0, 1, 0}), unsupp);
  EXPECT_THAT(disk.kinds, ElementsAre(Kind::read));
}

TEST_F(BlkTest, UnknownRequestsAreUnsupported) {
  make();
  for (const std::uint32_t type : {2U, 3U, 5U, 9U, 14U, 0x8000'0000U}) {
    EXPECT_EQ(run(request(type).writable(512).writable(1)), unsupp) << type;
  }
}

TEST_F(BlkTest, ARequestWithoutAHeaderHasAStatus) {
  make();
  EXPECT_EQ(run(queue().chain().readable("too short").writable(1)), ioerr);
  EXPECT_EQ(run(queue().chain().writable(16).writable(512).writable(1)), ioerr);
  EXPECT_EQ(run(queue().chain().writable(1)), ioerr);
}

TEST_F(BlkTest, ARequestWithoutAStatusBreaksTheRules) {
  make();
  request(Type::out).readable(std::string(512, 'x')).send();
  EXPECT_FALSE(served());
  EXPECT_TRUE(bench->interrupts.broken);
  EXPECT_THAT(disk.kinds, IsEmpty());
  request(Type::in).writable(512).writable(1).send();
  EXPECT_FALSE(served()) << "until it is reset";
  blk->reset();
  bench->activate(usual);
  EXPECT_EQ(run(request(Type::in).writable(512).writable(1)), ok);
}

TEST_F(BlkTest, TellsItsSerial) {
  make();
  const auto sent = request(Type::get_id).writable(20).writable(1).send();
  EXPECT_EQ(served()->written, 21U);
  EXPECT_EQ(queue().text(sent, 20), std::string("disk-1") + std::string(14, '\0'));
  EXPECT_EQ(status(sent), ok);
  const auto shorter = request(Type::get_id).writable(4).writable(1).send();
  EXPECT_EQ(served()->written, 5U);
  EXPECT_EQ(queue().text(shorter, 4), "disk");
  make(usual, {.serial = std::string(19, '1') + "234"});
  const auto whole = request(Type::get_id).writable(512).writable(1).send();
  EXPECT_EQ(served()->written, 21U);
  EXPECT_EQ(queue().text(whole, 20), std::string(19, '1') + "2");
  EXPECT_EQ(status(whole), ok);
}

TEST_F(BlkTest, Flushes) {
  make();
  EXPECT_EQ(run(request(Type::flush).writable(1)), ok);
  EXPECT_THAT(disk.kinds, ElementsAre(Kind::flush));
}

TEST_F(BlkTest, WithoutFlushesWhatIsWrittenIsFlushed) {
  make(feature::version_1);
  EXPECT_EQ(run(request(Type::out).readable(std::string(512, 'x')).writable(1)), ok);
  EXPECT_THAT(disk.kinds, ElementsAre(Kind::write, Kind::flush));
  EXPECT_EQ(run(request(Type::in).writable(512).writable(1)), ok);
  EXPECT_EQ(disk.kinds.size(), 3U);
}

TEST_F(BlkTest, DiscardsAndWritesZeroes) {
  make();
  EXPECT_EQ(run_range(Type::discard, {2, 3, 0}), ok);
  EXPECT_EQ(disk.last.kind, Kind::discard);
  EXPECT_EQ(disk.last.offset, 2 * sector);
  EXPECT_EQ(disk.last.length, 3 * sector);
  EXPECT_EQ(run_range(Type::write_zeroes, {10, 1, 0}), ok);
  EXPECT_FALSE(disk.last.may_unmap);
  EXPECT_EQ(run_range(Type::write_zeroes, {11, 1, unmap}), ok);
  EXPECT_TRUE(disk.last.may_unmap);
  const auto before = disk.kinds.size();
  EXPECT_EQ(run_range(Type::discard, {0, 1, unmap}), unsupp);
  EXPECT_EQ(run_range(Type::write_zeroes, {0, 1, 2}), unsupp);
  for (const std::uint32_t type : {Type::discard, Type::write_zeroes}) {
    EXPECT_EQ(run_range(type, {sectors - 1, 2, 0}), ioerr);
    EXPECT_EQ(run_range(type, {~std::uint64_t{0}, 1, 0}), ioerr);
    EXPECT_EQ(run_range(type, {0, 0x80'0000, 0}), ioerr);
    EXPECT_EQ(run(request(type).readable("short").writable(1)), ioerr);
    EXPECT_EQ(run(request(type).readable(Range{}).readable(Range{}).writable(1)), ioerr) << "two ranges";
  }
  EXPECT_EQ(disk.kinds.size(), before);
  make(feature::version_1);
  EXPECT_EQ(run_range(Type::discard, {0, 1, 0}), unsupp) << "not negotiated";
  EXPECT_EQ(run_range(Type::write_zeroes, {0, 1, 0}), unsupp);
}

TEST_F(BlkTest, AnErrorOfTheDiskIsOneOfTheRequest) {
  make();
  disk.error = EIO;
  const auto sent = request(Type::in).writable(512).writable(1).send();
  EXPECT_EQ(served()->written, 1U);
  EXPECT_EQ(status(sent), ioerr);
}

TEST_F(BlkTest, RequestsAreDoneInTheDisksOrder) {
  make(feature::version_1);
  disk.holds = true;
  const auto first = request(Type::in, 1).writable(512).writable(1).send();
  const auto second = request(Type::in, 2).writable(512).writable(1).send();
  const auto third = request(Type::get_id).writable(20).writable(1).send();
  blk->queue_ready(0);
  EXPECT_EQ(queue().take_used()->head, third.head);
  EXPECT_EQ(bench->interrupts.taken(0), 1U);
  EXPECT_FALSE(queue().take_used());
  disk.complete(1);
  disk.complete(0);
  EXPECT_EQ(bench->interrupts.taken(0), 0U);
  disk.end();
  EXPECT_EQ(bench->interrupts.taken(0), 1U) << "one for both";
  EXPECT_EQ(queue().take_used()->head, second.head);
  EXPECT_EQ(queue().take_used()->head, first.head);
  EXPECT_EQ(queue().written(first)[0], 2);
  EXPECT_EQ(queue().written(second)[0], 3);
}

TEST_F(BlkTest, QueuesAreServedEachByItself) {
  make(usual | offer::multi_queue, {.queues = 3});
  disk.holds = true;
  const auto sent = queue(2).chain().readable(Header{Type::in, 0, 9}).writable(512).writable(1).send();
  EXPECT_FALSE(served(0));
  EXPECT_FALSE(served(2));
  disk.drain();
  EXPECT_EQ(queue(2).take_used()->head, sent.head);
  EXPECT_EQ(bench->interrupts.taken(2), 1U);
  EXPECT_EQ(bench->interrupts.taken(0), 0U);
  EXPECT_EQ(queue(2).written(sent)[0], 10);
}

TEST_F(BlkTest, AResetWaitsForWhatTheDiskHasAndAnswersNobody) {
  make();
  disk.holds = true;
  request(Type::in).writable(512).writable(1).send();
  request(Type::out, 1).readable(std::string(512, 'x')).writable(1).send();
  blk->queue_ready(0);
  EXPECT_EQ(disk.held.size(), 2U);
  auto old = std::move(bench->queues);
  blk->reset();
  EXPECT_TRUE(disk.held.empty());
  EXPECT_EQ(disk.bytes[sector], 'x');
  EXPECT_EQ(old[0].used_index(), 0);
  EXPECT_EQ(bench->interrupts.taken(0), 0U);
  blk->queue_ready(0);
  bench->activate(usual);
  disk.holds = false;
  EXPECT_EQ(run(request(Type::in, 1).writable(512).writable(1)), ok);
}

TEST_F(BlkTest, MoreUnderWayThanAQueueIsLongWaits) {
  make(usual, {.queue_size = 4});
  disk.holds = true;
  const auto sent = request(Type::in).writable(513).in_table().send();
  for (int i = 0; i < 6; ++i) {  // one request, said again and again
    blk->queue_ready(0);
    queue().make_available(sent.head);
  }
  blk->queue_ready(0);
  EXPECT_EQ(disk.held.size(), 4U);
  EXPECT_FALSE(bench->interrupts.broken);
  disk.complete(0);
  blk->queue_ready(0);
  EXPECT_EQ(disk.held.size(), 4U);
}

TEST_F(BlkTest, ABrokenQueueIsToldOf) {
  make();
  queue().make_available(300);
  EXPECT_FALSE(served());
  EXPECT_TRUE(bench->interrupts.broken);
}

TEST_F(BlkTest, WhatIsUnderWayIsBounded) {
  constexpr std::uint16_t size = 256;
  make(usual, {.queues = 3, .queue_size = size});
  disk.holds = true;
  const auto fill = [&](unsigned index) {
    for (unsigned i = 0; i < size; ++i) {
      auto builder = queue(index).chain();
      builder.readable(Header{Type::in, 0, 0});
      for (unsigned part = 0; part < size - 2; ++part) builder.at(fake::Ram::base, 2 + (part < 4), true);
      builder.at(fake::Ram::base + 512, 1, true).in_table().send();
    }
    blk->queue_ready(index);
  };
  for (const unsigned index : {0U, 1U, 2U}) fill(index);
  EXPECT_EQ(disk.held.size(), 128U) << "32768 segments of 256 each";
  std::size_t done = 0;
  while (!disk.held.empty()) {
    disk.drain();
    for (const unsigned index : {0U, 1U, 2U}) {
      while (queue(index).take_used()) ++done;
      blk->queue_ready(index);  // the device has asked to be called again
    }
    EXPECT_LE(disk.held.size(), 128U);
  }
  EXPECT_EQ(done, 3U * size);
}

TEST_F(BlkTest, TheBytesUnderWayAreBounded) {
  constexpr std::uint16_t size = 256;
  constexpr std::uint64_t to = fake::Ram::base + (512 << 10);
  make(usual, {.queues = 3, .queue_size = size});
  disk.holds = true;
  for (const unsigned index : {0U, 1U, 2U}) {
    for (unsigned i = 0; i < size; ++i) {
      auto builder = queue(index).chain();
      builder.readable(Header{Type::in, 0, 0});
      builder.at(to, sectors * sector, true).at(to, 1, true).in_table().send();
    }
    blk->queue_ready(index);
  }
  EXPECT_EQ(disk.held.size(), 512U) << "16 MiB of 32 KiB each";
  std::size_t done = 0;
  while (!disk.held.empty()) {
    disk.drain();
    for (const unsigned index : {0U, 1U, 2U}) {
      while (queue(index).take_used()) ++done;
      blk->queue_ready(index);
    }
  }
  EXPECT_EQ(done, 3U * size);
}

}  // namespace
}  // namespace virtio
