#include "vmm/block/raw_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <liburing.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/file.h"

namespace block {
namespace {

constexpr std::uint64_t second = 1'000'000'000;

TEST(Throttle, HoldsTheRate) {
  for (const std::uint64_t rate : {1U, 3U, 100U, 1024U, 700'000U}) {
    Throttle throttle(rate);
    std::uint64_t done = 0;
    for (std::int64_t now = 0; now < 10 * std::int64_t{second};) {
      if (const auto later = throttle.take(now)) {
        ASSERT_GT(*later, now);
        now = *later;
      } else {
        ++done;
      }
    }
    EXPECT_GE(done, 10 * rate) << rate;
    EXPECT_LE(done, 10 * rate + rate / 10 + 1) << rate;
  }
}

TEST(Throttle, ARestIsWorthATenthOfASecond) {
  Throttle throttle(100);
  for (const std::int64_t now : {std::int64_t{0}, 1000 * std::int64_t{second}}) {
    int at_once = 0;
    while (!throttle.take(now)) ++at_once;
    EXPECT_EQ(at_once, 10);
  }
}

struct Way {
  bool ring, direct;
  friend void PrintTo(const Way& way, std::ostream* out) {
    *out << (way.ring ? "io_uring" : "calls") << (way.direct ? ", direct" : ", cached");
  }
};

struct RawFileTest : testing::TestWithParam<Way> {
  static constexpr std::size_t size = std::size_t{4} << 20;
  std::string folder, path;
  loop::Clock clock{loop::Clock::Kind::simulated};
  loop::Loop loop{clock};
  std::unique_ptr<RawFile> disk;
  std::uint8_t* memory = static_cast<std::uint8_t*>(std::aligned_alloc(4096, 2 * size));

  RawFileTest() {
    char name[] = "./raw_file_test_XXXXXX";  // in the build tree: /tmp may be a file system without direct reads
    folder = ::mkdtemp(name);
    path = folder + "/disk";
    base::UniqueFd file = base::open_file(path, O_RDWR | O_CREAT, 0600);
    EXPECT_EQ(::ftruncate(file.get(), size), 0);
    std::memset(memory, 0, 2 * size);
  }
  ~RawFileTest() override {
    disk.reset();
    std::free(memory);
    std::filesystem::remove_all(folder);
  }
  RawFileConfig config() const {
    RawFileConfig config;
    config.path = path;
    config.direct = GetParam().direct;
    config.use_io_uring = GetParam().ring;
    return config;
  }
  void make(RawFileConfig given) {
    disk.reset();
    disk = std::make_unique<RawFile>(std::move(given), loop);
  }
  void make() { make(config()); }

  static Request request(Kind kind, std::uint64_t offset, std::uint64_t length, std::vector<iovec> parts = {}) {
    Request one;
    one.kind = kind;
    one.offset = offset;
    one.length = length;
    one.parts = std::move(parts);
    return one;
  }
  int run(Request one) {
    int result = -1;
    one.done = [&result](int error) { result = error; };
    disk->submit(std::move(one));
    disk->drain();
    return result;
  }
  int transfer(Kind kind, std::uint64_t offset, std::vector<iovec> parts) {
    std::uint64_t length = 0;
    for (const iovec& part : parts) length += part.iov_len;
    return run(request(kind, offset, length, std::move(parts)));
  }
  std::string content(std::uint64_t offset, std::size_t length) const {
    std::string bytes(length, '\0');
    const base::UniqueFd file = base::open_file(path, O_RDONLY);
    EXPECT_EQ(::pread(file.get(), bytes.data(), length, static_cast<off_t>(offset)), static_cast<ssize_t>(length));
    return bytes;
  }
  std::uint64_t blocks() const {
    struct stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    return static_cast<std::uint64_t>(status.st_blocks);
  }
  void fill(std::uint64_t offset, std::size_t length) {
    std::memset(memory, 'x', length);
    ASSERT_EQ(transfer(Kind::write, offset, {{memory, length}}), 0);
  }
};

INSTANTIATE_TEST_SUITE_P(Ways, RawFileTest,
                         testing::Values(Way{true, false}, Way{true, true}, Way{false, false}, Way{false, true}));

TEST_P(RawFileTest, GoesTheWayItIsTold) {
  io_uring probe;
  const bool has_ring = io_uring_queue_init(2, &probe, 0) == 0;
  if (has_ring) io_uring_queue_exit(&probe);
  const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  make();
  EXPECT_EQ(disk->uses_io_uring(), GetParam().ring && has_ring);
  EXPECT_EQ(disk->is_direct(), GetParam().direct && file);
}

TEST_P(RawFileTest, WhatIsWrittenIsRead) {
  make();
  EXPECT_EQ(disk->size(), size);
  for (std::size_t i = 0; i < 8192; ++i) memory[i] = static_cast<std::uint8_t>(i * 7);
  EXPECT_EQ(transfer(Kind::write, 4096, {{memory, 512}, {memory + 512, 7680}}), 0);
  EXPECT_EQ(transfer(Kind::read, 4096, {{memory + size, 4096}, {memory + size + 4096, 4096}}), 0);
  EXPECT_EQ(std::memcmp(memory, memory + size, 8192), 0);
  EXPECT_EQ(content(4096, 8192), std::string(memory, memory + 8192));
  EXPECT_EQ(disk->statistics().write.operations, 1U);
  EXPECT_EQ(disk->statistics().write.bytes, 8192U);
  EXPECT_EQ(disk->statistics().read.operations, 1U);
  EXPECT_EQ(run(request(Kind::flush, 0, 0)), 0);
  EXPECT_EQ(disk->statistics().flush.operations, 1U);
}

TEST_P(RawFileTest, MemoryMayLieAnywhere) {
  make();
  // More than one step's worth through other memory.
  const std::size_t length = (std::size_t{2} << 20) + 512;
  for (std::size_t i = 0; i < length; ++i) memory[i + 3] = static_cast<std::uint8_t>(i * 11 + i / 512);
  EXPECT_EQ(transfer(Kind::write, 512, {{memory + 3, 100}, {memory + 103, length - 100}}), 0);
  EXPECT_EQ(content(512, length), std::string(memory + 3, memory + 3 + length));
  EXPECT_EQ(transfer(Kind::read, 512, {{memory + size + 1, length - 7}, {memory + size + 1 + length - 7, 7}}), 0);
  EXPECT_EQ(std::memcmp(memory + 3, memory + size + 1, length), 0);
}

TEST_P(RawFileTest, PartsMayBeMany) {
  make();
  std::vector<iovec> parts;
  for (std::size_t i = 0; i < 3000; ++i) {
    std::memset(memory + 512 * i, static_cast<int>('a' + i % 26), 512);
    parts.push_back({memory + 512 * i, 512});
  }
  EXPECT_EQ(transfer(Kind::write, 0, parts), 0);
  EXPECT_EQ(content(0, 512 * 3000), std::string(memory, memory + std::size_t{512} * 3000));
}

TEST_P(RawFileTest, ManyAreUnderWayAtOnce) {
  make();
  int done = 0, batches = 0;
  disk->on_batch([&] { ++batches; });
  for (std::size_t i = 0; i < 1000; ++i) {
    std::memset(memory + 4096 * i, static_cast<int>(i % 251 + 1), 4096);
    Request one = request(Kind::write, 4096 * i, 4096, {{memory + 4096 * i, 4096}});
    one.done = [&done](int error) { done += error == 0; };
    disk->submit(std::move(one));
  }
  disk->kick();
  disk->drain();
  EXPECT_EQ(done, 1000);
  EXPECT_GE(batches, 1);
  EXPECT_LT(batches, 1000);
  EXPECT_EQ(content(0, 4096 * 1000), std::string(memory, memory + std::size_t{4096} * 1000));
  disk->on_batch({});
}

TEST_P(RawFileTest, TheLoopTellsWhatIsDone) {
  make();
  std::atomic<int> done = 0;
  std::thread thread([this] { loop.run(); });
  {
    const base::Lock lock(loop.mutex());
    Request one = request(Kind::read, 0, 4096, {{memory, 4096}});
    one.done = [&](int error) { done = error == 0 ? 1 : 2; };
    disk->submit(std::move(one));
    disk->kick();
  }
  for (int i = 0; i < 10'000 && !done; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(done, 1);
  loop.stop();
  thread.join();
}

TEST_P(RawFileTest, ARangeBeyondTheEndIsRefused) {
  make();
  EXPECT_EQ(transfer(Kind::read, size, {{memory, 512}}), EINVAL);
  EXPECT_EQ(transfer(Kind::write, size - 512, {{memory, 1024}}), EINVAL);
  EXPECT_EQ(run(request(Kind::discard, ~std::uint64_t{511}, 1024)), EINVAL);
  EXPECT_EQ(disk->statistics().write.failed, 1U);
}

TEST_P(RawFileTest, AFileCutShortIsAnError) {
  make();
  ASSERT_EQ(::truncate(path.c_str(), 4096), 0);
  EXPECT_EQ(transfer(Kind::read, 8192, {{memory, 4096}}), EIO);
}

TEST_P(RawFileTest, AReadOnlyDiskIsNotWritten) {
  RawFileConfig one = config();
  one.read_only = true;
  one.discard = true;
  make(std::move(one));
  EXPECT_EQ(transfer(Kind::write, 0, {{memory, 512}}), EROFS);
  EXPECT_EQ(run(request(Kind::discard, 0, 4096)), EROFS);
  EXPECT_EQ(run(request(Kind::write_zeroes, 0, 4096)), EROFS);
  EXPECT_EQ(run(request(Kind::flush, 0, 0)), 0);
  EXPECT_EQ(transfer(Kind::read, 0, {{memory, 512}}), 0);
  EXPECT_FALSE(disk->can_discard());
}

TEST_P(RawFileTest, DiscardedRangesAreHoles) {
  RawFileConfig one = config();
  one.discard = true;
  make(std::move(one));
  fill(0, std::size_t{1} << 20);
  const auto before = blocks();
  EXPECT_EQ(run(request(Kind::discard, 0, std::uint64_t{1} << 20)), 0);
  EXPECT_LT(blocks(), before);
  EXPECT_EQ(content(0, 512), std::string(512, '\0'));
  EXPECT_EQ(std::filesystem::file_size(path), size);
  EXPECT_EQ(disk->statistics().discard.operations, 1U);
}

TEST_P(RawFileTest, ZeroesAreWritten) {
  make();
  fill(0, std::size_t{1} << 20);
  EXPECT_EQ(run(request(Kind::write_zeroes, 512, 512 * 1025)), 0);
  EXPECT_EQ(content(0, 512), std::string(512, 'x'));
  EXPECT_EQ(content(512, 512 * 1025), std::string(512 * 1025, '\0'));
  EXPECT_EQ(content(512 * 1026, 512), std::string(512, 'x'));
  EXPECT_EQ(std::filesystem::file_size(path), size);
}

TEST_P(RawFileTest, WrittenZeroesAreSeen) {
  RawFileConfig one = config();
  one.discard = true;
  one.detect_zeroes = RawFileConfig::Detect::unmap;
  make(std::move(one));
  fill(0, std::size_t{1} << 20);
  const auto before = blocks();
  std::memset(memory, 0, std::size_t{1} << 20);
  EXPECT_EQ(transfer(Kind::write, 0, {{memory, std::size_t{1} << 19}, {memory, std::size_t{1} << 19}}), 0);
  EXPECT_LT(blocks(), before);
  EXPECT_EQ(content(0, 4096), std::string(4096, '\0'));
  memory[(std::size_t{1} << 19) - 1] = 1;
  EXPECT_EQ(transfer(Kind::write, 0, {{memory, std::size_t{1} << 19}}), 0);
  EXPECT_EQ(content((std::size_t{1} << 19) - 1, 1), "\x01");
}

TEST_P(RawFileTest, TheThrottleHoldsOperationsBack) {
  RawFileConfig one = config();
  one.iops_total = 1;
  make(std::move(one));
  int done = 0, given_up = 0;
  const auto ask = [&](Kind kind) {
    Request next = kind == Kind::flush ? request(kind, 0, 0) : request(kind, 0, 512, {{memory, 512}});
    next.done = [&](int error) { ++(error == ECANCELED ? given_up : done); };
    disk->submit(std::move(next));
  };
  const auto settled = [&](int count) {  // what is begun is done soon, with no time passing
    std::thread thread([this] { loop.run(); });
    for (int i = 0; i < 2000; ++i) {
      {
        const base::Lock lock(loop.mutex());
        if (done >= count) break;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    loop.stop();
    thread.join();
    return done;
  };
  ask(Kind::write);
  ask(Kind::write);
  ask(Kind::read);
  ask(Kind::flush);
  disk->kick();
  EXPECT_EQ(settled(2), 2) << "one, and the flush";
  EXPECT_NEAR(static_cast<double>(clock.step_to({})), 1e9, 10);
  disk->drain();
  EXPECT_EQ(done, 3) << "what had begun";
  EXPECT_EQ(given_up, 1) << "what had not";
}

TEST_P(RawFileTest, TwoWritersExcludeEachOther) {
  make();
  RawFileConfig second_one = config();
  second_one.share = false;
  EXPECT_THROW(RawFile(std::move(second_one), loop), std::system_error);
  RawFileConfig sharing = config();
  sharing.share = true;
  EXPECT_THROW(RawFile(std::move(sharing), loop), std::system_error);
  RawFileConfig reader = config();
  reader.read_only = true;
  EXPECT_NO_THROW(RawFile(std::move(reader), loop));

  disk.reset();
  RawFileConfig first = config(), other = config();
  first.share = other.share = true;
  make(std::move(first));
  EXPECT_NO_THROW(RawFile(std::move(other), loop));
}

/// The locks of a QEMU 7.2 that writes: shared ones on 100, 101, 103, and on 201, 203 for what it lets nobody do.
TEST_P(RawFileTest, AQemuExcludesUsAndWeIt) {
  const auto lock = [](const base::UniqueFd& file, off_t at) {
    struct flock wanted{};
    wanted.l_type = F_RDLCK;
    wanted.l_whence = SEEK_SET;
    wanted.l_start = at;
    wanted.l_len = 1;
    return ::fcntl(file.get(), F_OFD_SETLK, &wanted) == 0;
  };
  base::UniqueFd qemu = base::open_file(path, O_RDWR);
  for (const off_t at : {100, 101, 103, 201, 203}) ASSERT_TRUE(lock(qemu, at));
  EXPECT_THROW(make(), std::system_error);
  RawFileConfig sharing = config();
  sharing.share = true;
  EXPECT_THROW(make(std::move(sharing)), std::system_error);
  qemu.reset();
  make();
  qemu = base::open_file(path, O_RDWR);
  EXPECT_FALSE(lock(qemu, 101));
}

TEST_P(RawFileTest, AnOpenFileWillDo) {
  RawFileConfig one = config();
  one.fd = base::open_file(path, O_RDWR);
  one.path.clear();
  make(std::move(one));
  EXPECT_EQ(disk->size(), size);
}

TEST_P(RawFileTest, OnlyWholeSectorsCount) {
  ASSERT_EQ(::truncate(path.c_str(), 511), 0);
  make();
  EXPECT_EQ(disk->size(), 0U);
}

TEST_P(RawFileTest, WhatIsNoDiskIsRefused) {
  RawFileConfig one = config();
  one.path = "/dev/null";
  EXPECT_THROW(make(std::move(one)), std::system_error);
  one = config();
  one.path = folder + "/none";
  EXPECT_THROW(make(std::move(one)), std::system_error);
}

}  // namespace
}  // namespace block
