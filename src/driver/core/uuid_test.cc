#include "driver/core/uuid.h"

#include <gtest/gtest.h>

#include <set>

namespace core {
namespace {

constexpr Uuid known{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0};

TEST(Uuid, PrintsLowerCaseWithDashes) {
  EXPECT_EQ(to_string(known), "12345678-9abc-def0-1234-56789abcdef0");
}

TEST(Uuid, ReadsWhatLibvirtReads) {
  for (const char* text : {"12345678-9abc-def0-1234-56789abcdef0", "123456789ABCDEF0123456789ABCDEF0",
                           "12-34-56-78-9a-bc-de-f0-12-34-56-78-9a-bc-de-f0",
                           "\n  12345678-9abc-def0-1234-56789abcdef0 \t", "12345678--9abcdef0123456789abcdef0"})
    EXPECT_EQ(parse_uuid(text), known) << text;
}

TEST(Uuid, RefusesTheRest) {
  for (const char* text : {"", "-", "12345678-9abc-def0-1234-56789abcdef", "12345678-9abc-def0-1234-56789abcdef01",
                           "12345678-9abc-def0-1234-56789abcdeg0", "1-2345678-9abc-def0-1234-56789abcdef0",
                           "12345678-9abc-def0-1234-56789abcdef0x", "12345678 9abc-def0-1234-56789abcdef0"})
    EXPECT_EQ(parse_uuid(text), std::nullopt) << text;
}

TEST(Uuid, IsRandomOfVersion4) {
  std::set<Uuid> seen;
  for (int i = 0; i < 100; ++i) {
    const Uuid uuid = make_uuid();
    EXPECT_EQ(uuid[6] >> 4, 4);
    EXPECT_EQ(uuid[8] >> 6, 2);
    EXPECT_EQ(parse_uuid(to_string(uuid)), uuid);
    seen.insert(uuid);
  }
  EXPECT_EQ(seen.size(), 100u);
}

}  // namespace
}  // namespace core
