#include "vmm/bus/bus.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

namespace bus {
namespace {

/// Answers with its name, and notes where it was asked.
class Named : public Handler {
 public:
  explicit Named(std::uint8_t name) : name_(name) {}
  void read(std::uint64_t offset, std::span<std::uint8_t> value) override {
    offsets.push_back(offset);
    std::ranges::fill(value, name_);
  }
  void write(std::uint64_t offset, std::span<const std::uint8_t> value) override {
    offsets.push_back(offset);
    sizes.push_back(value.size());
  }
  std::vector<std::uint64_t> offsets;
  std::vector<std::size_t> sizes;

 private:
  std::uint8_t name_;
};

std::uint8_t who(Bus& bus, std::uint64_t address) {
  std::uint8_t answer = 0;
  return bus.read(address, {&answer, 1}) ? answer : 0;
}

TEST(Bus, EachAnswersWithinItsRange) {
  Bus bus;
  Named a(1), b(2);
  const Bus::Place at_a = bus.place(0x100, 0x10, a), at_b = bus.place(0x110, 0x10, b);
  EXPECT_EQ(who(bus, 0xff), 0);
  EXPECT_EQ(who(bus, 0x100), 1);
  EXPECT_EQ(who(bus, 0x10f), 1);
  EXPECT_EQ(who(bus, 0x110), 2);
  EXPECT_EQ(who(bus, 0x11f), 2);
  EXPECT_EQ(who(bus, 0x120), 0);
  EXPECT_EQ(a.offsets, (std::vector<std::uint64_t>{0, 0xf}));
}

TEST(Bus, NobodyReadsAsOnes) {
  Bus bus;
  std::array<std::uint8_t, 4> value{};
  EXPECT_FALSE(bus.read(0, value));
  EXPECT_EQ(value, (std::array<std::uint8_t, 4>{0xff, 0xff, 0xff, 0xff}));
  EXPECT_FALSE(bus.write(0, value));
}

TEST(Bus, AnAccessOverTheEndIsCutOff) {
  Bus bus;
  Named a(1);
  const Bus::Place place = bus.place(0x100, 4, a);
  std::array<std::uint8_t, 4> value{};
  EXPECT_TRUE(bus.read(0x102, value));
  EXPECT_EQ(value, (std::array<std::uint8_t, 4>{1, 1, 0xff, 0xff}));
  EXPECT_TRUE(bus.write(0x103, value));
  EXPECT_EQ(a.sizes, std::vector<std::size_t>{1});
}

TEST(Bus, OfThoseOverEachOtherTheLaterBeginningAnswersAndItsEndUncoversTheRest) {
  Bus bus;
  Named wide(1), narrow(2), same(3);
  Bus::Place at_wide = bus.place(0x100, 0x100, wide), at_narrow = bus.place(0x180, 0x10, narrow);
  EXPECT_EQ(who(bus, 0x17f), 1);
  EXPECT_EQ(who(bus, 0x180), 2);
  EXPECT_EQ(who(bus, 0x190), 1);
  {
    const Bus::Place at_same = bus.place(0x180, 8, same);
    EXPECT_EQ(who(bus, 0x180), 3) << "the one placed last";
    EXPECT_EQ(who(bus, 0x188), 2);
  }
  EXPECT_EQ(who(bus, 0x180), 2);
  at_narrow.end();
  EXPECT_EQ(who(bus, 0x180), 1);
  at_wide = {};
  EXPECT_EQ(who(bus, 0x100), 0);
}

TEST(Bus, TheLastAddressesAreAPlaceToo) {
  Bus bus;
  Named a(1);
  const Bus::Place place = bus.place(~std::uint64_t{0} - 7, 8, a);
  EXPECT_EQ(who(bus, ~std::uint64_t{0}), 1);
  std::array<std::uint8_t, 8> value{};
  EXPECT_TRUE(bus.read(~std::uint64_t{0} - 3, value));
}

}  // namespace
}  // namespace bus
