#include "driver/emulator/properties.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "driver/core/error.h"

namespace emulator {
namespace {

using core::Error;
using core::ErrorCode;
using testing::HasSubstr;

TEST(Render, WritesEveryKindOfValue) {
  const Option option{"-device",
                      "thing",
                      {{"port", Hex{0x8}},
                       {"chassis", std::uint64_t{10}},
                       {"big", Hex{0xffff'ffff'ffff'ffff}},
                       {"on", true},
                       {"off", false},
                       {"server", Flag{}},
                       {"id", "a b"}}};
  const std::string text = "thing,port=0x8,chassis=10,big=0xffffffffffffffff,on=on,off=off,server,id=a b";
  EXPECT_EQ(render(option, Kind::qemu), text);
  EXPECT_EQ(render(option, Kind::stratovirt), text);
  EXPECT_EQ(render({"-drive", {}, {{"file", "/x"}, {"if", "none"}}}, Kind::stratovirt), "file=/x,if=none");
}

TEST(Render, EscapesForQemu) {
  EXPECT_EQ(render({"-blockdev", "raw", {{"file.filename", "/a,b=c,,d\n"}}}, Kind::qemu),
            "raw,file.filename=/a,,b=c,,,,d\n");
}

TEST(Render, RefusesForStratoVirtWhatItWouldTakeApart) {
  for (const char* value : {"/a,b", "/a=b", "/a\nb", "/a\tb", "/a\x7f"}) {
    try {
      render({"-drive", {}, {{"file", value}}}, Kind::stratovirt);
      FAIL() << value;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::config_unsupported);
      EXPECT_THAT(error.detail(), HasSubstr("'file'"));
      EXPECT_THAT(error.detail(), HasSubstr(value));
    }
  }
  EXPECT_EQ(render({"-drive", {}, {{"file", "/a b'\"\\;ü"}}}, Kind::stratovirt), "file=/a b'\"\\;ü");
}

TEST(Render, LeavesAPlainArgumentAsItIs) {
  const Option append{"-append", "console=hvc0,115200 a=b", {}, true};
  EXPECT_EQ(render(append, Kind::qemu), "console=hvc0,115200 a=b");
  EXPECT_EQ(render(append, Kind::stratovirt), "console=hvc0,115200 a=b");
  // It would be read as an option of its own.
  EXPECT_THROW(render({"-name", "-S", {}, true}, Kind::stratovirt), Error);
  EXPECT_EQ(render({"-append", "-S", {}, true}, Kind::qemu), "-S");
}

TEST(Render, RefusesAZeroByte) {
  const std::string zero("a\0b", 3);
  EXPECT_THROW(render({"-name", zero, {}, true}, Kind::qemu), Error);
  EXPECT_THROW(render({"-name", zero, {}, true}, Kind::stratovirt), Error);
  EXPECT_THROW(render({"-name", {}, {{"guest", zero}}}, Kind::qemu), Error);
}

/// A value of up to eight pieces, among them all that a parser might trip over.
std::string make_value(std::mt19937& random) {
  constexpr const char* pieces[] = {",",    ",,", "=", " ",  "'", "\"",   "\\", "\n",    "\x01",
                                    "\x7f", "/",  "a", "on", "ü", "磁盘", "%s", "$HOME", "\xf0\x9f\x92\xbe"};
  std::string value;
  for (auto count = random() % 9; count > 0; --count) value += pieces[random() % std::size(pieces)];
  return value;
}

TEST(Render, IsReadBackAsItWas) {
  std::mt19937 random(20240601);
  constexpr const char* names[] = {"id", "file.filename", "serial", "node-name", "path"};
  int refused = 0, rendered = 0;
  for (int i = 0; i < 20'000; ++i) {
    Option option{"-blockdev", "raw", {}};
    std::vector<std::pair<std::string, std::string>> expected = {{"", "raw"}};
    for (auto count = random() % 5; count > 0; --count) {
      const std::string name = names[random() % std::size(names)], value = make_value(random);
      option.properties.push_back({name, value});
      expected.emplace_back(name, value);
    }
    ASSERT_EQ(parse_qemu(render(option, Kind::qemu)), expected);
    // StratoVirt's text has no escapes: what is let through is read back by cutting at every comma and first equals
    // sign.
    try {
      const std::string text = render(option, Kind::stratovirt);
      ASSERT_EQ(text.find(",,"), std::string::npos) << text;
      ASSERT_EQ(parse_qemu(text), expected);
      ++rendered;
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::config_unsupported);
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(rendered, 1000);
}

}  // namespace
}  // namespace emulator
