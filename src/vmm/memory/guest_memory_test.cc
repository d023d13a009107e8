#include "vmm/memory/guest_memory.h"

#include <gtest/gtest.h>

#include <array>
#include <system_error>

namespace {

using memory::GuestMemory;
using memory::Mapping;

constexpr std::uint64_t page = 4096, huge_page = 2 << 20;

memory::Backend backend(std::uint64_t size, bool share = false) {
  memory::Backend made;
  made.size = size;
  made.share = share;
  return made;
}

TEST(Mapping, BeginsWhereAHugePageMay) {
  for (const bool share : {false, true}) {
    for (const std::uint64_t size : {page, huge_page + page, 8 * huge_page}) {
      const Mapping made(backend(size, share));
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(made.bytes().data()) % huge_page, 0u) << size;
      EXPECT_EQ(made.bytes().size(), size);
      made.bytes().front() = made.bytes().back() = 1;
      EXPECT_EQ(made.fd() >= 0, share);
    }
  }
}

TEST(Mapping, RefusesWhatPagesDoNotFill) {
  EXPECT_THROW(Mapping(backend(page + 1)), std::system_error);
}

TEST(GuestMemory, GivesOnlyWhatIsWhollyRamOfOneRegion) {
  const Mapping low(backend(4 * page)), high(backend(page));
  GuestMemory memory;
  memory.add({0x10'0000, high.bytes()});
  memory.add({0, low.bytes()});
  EXPECT_EQ(memory.slice(0, 4 * page)->data(), low.bytes().data());
  EXPECT_EQ(memory.slice(0x10'0000 + 8, 8)->data(), high.bytes().data() + 8);
  EXPECT_FALSE(memory.slice(1, 4 * page));
  EXPECT_FALSE(memory.slice(4 * page, 1));
  EXPECT_FALSE(memory.slice(8, ~std::uint64_t{0}));  // the end would wrap
  EXPECT_FALSE(memory.slice(~std::uint64_t{0}, 2));
  EXPECT_FALSE(memory.load<std::uint64_t>(4 * page - 4));
  EXPECT_FALSE(memory.store(0x10'0000 + page - 1, std::uint16_t{1}));
}

TEST(GuestMemory, IsReadAndWrittenAsItLies) {
  const Mapping ram(backend(page));
  GuestMemory memory;
  memory.add({0, ram.bytes()});
  EXPECT_TRUE(memory.store(16, std::uint32_t{0x04030201}));
  std::array<std::uint8_t, 4> bytes{};
  EXPECT_TRUE(memory.read(16, bytes));
  EXPECT_EQ(bytes, (std::array<std::uint8_t, 4>{1, 2, 3, 4}));
  EXPECT_TRUE(memory.write(20, bytes));
  EXPECT_EQ(memory.load<std::uint64_t>(16), 0x04030201'04030201u);
  EXPECT_FALSE(memory.write(page - 2, bytes));
  EXPECT_EQ(ram.bytes()[page - 2], 0);  // nothing of it
}

}  // namespace
