#include "driver/core/conf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "driver/core/error.h"

namespace core {
namespace {

using testing::ElementsAre;
using testing::Optional;

Conf parse(std::string_view text) {
  return Conf::parse(text, "x.conf");
}

std::string error_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.domain(), ErrorDomain::conf);
    return error.what();
  }
  return "no error";
}

TEST(Conf, ReadsWhatLibvirtReads) {
  const Conf conf = parse(
      "# a comment\n"
      "\n"
      "listen_tls = 0   # after a value\n"
      "\tunix_sock_group=\"libvirt\"\r\n"
      "single = 'a \"b\" c'\n"
      "no_escape = \"a\\d\"\n"
      "padded = 0770; negative = -7;plus=+8\n"
      "several = [\n  'one', \"two\",\n  'three',\n]\n"
      "none = []\n"
      "long = \"\"\"line \"one\"\nline 'two'\"\"\"\n"
      "listen_tls = 1\n"
      "last = \"no line end\"");
  EXPECT_THAT(conf.boolean("listen_tls"), Optional(false));  // the first of the two
  EXPECT_THAT(conf.string("unix_sock_group"), Optional(std::string("libvirt")));
  EXPECT_THAT(conf.string("single"), Optional(std::string("a \"b\" c")));
  EXPECT_THAT(conf.string("no_escape"), Optional(std::string("a\\d")));
  EXPECT_THAT(conf.integer("padded"), Optional(770));
  EXPECT_THAT(conf.integer("negative"), Optional(-7));
  EXPECT_THAT(conf.unsigned_integer("plus"), Optional(8u));
  EXPECT_THAT(conf.strings("several"), Optional(ElementsAre("one", "two", "three")));
  EXPECT_THAT(conf.strings("none"), Optional(ElementsAre()));
  EXPECT_THAT(conf.strings("single"), Optional(ElementsAre("a \"b\" c")));
  EXPECT_THAT(conf.string("long"), Optional(std::string("line \"one\"\nline 'two'")));
  EXPECT_THAT(conf.string("last"), Optional(std::string("no line end")));
  EXPECT_EQ(conf.string("absent"), std::nullopt);
  EXPECT_THAT(conf.keys(), ElementsAre("listen_tls", "unix_sock_group", "single", "no_escape", "padded", "negative",
                                       "plus", "several", "none", "long", "last"));
  EXPECT_EQ(conf.where("listen_tls"), "x.conf:3");
  EXPECT_EQ(conf.where("long"), "x.conf:13");
  EXPECT_EQ(conf.where("last"), "x.conf:16");
}

TEST(Conf, ReadsEmptyTexts) {
  for (const char* text : {"", "\n", "  \t\r\n", "#", "# only a comment", "#a\n#b\n\n#c\n", "  # a\n"})
    EXPECT_THAT(parse(text).keys(), ElementsAre()) << text;
}

struct Refusal {
  const char* text;
  const char* message;
};

class ConfRefuses : public testing::TestWithParam<Refusal> {};

TEST_P(ConfRefuses, WithFileAndLine) {
  EXPECT_EQ(error_of([] { parse(GetParam().text); }),
            std::string("configuration file syntax error: x.conf:") + GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Syntax, ConfRefuses,
    testing::Values(
        Refusal{"a = true\n", "1: expecting a value"}, Refusal{"\n\na =\n", "3: expecting a value"},
        Refusal{"a = ", "1: expecting a value"}, Refusal{"a = #\n", "1: expecting a value"},
        Refusal{"a\n", "1: expecting an assignment"}, Refusal{"a-b = 1\n", "1: expecting an assignment"},
        Refusal{"_a = 1\n", "1: expecting a name"}, Refusal{"7 = 1\n", "1: expecting a name"},
        Refusal{"; a = 1", "1: expecting a name"}, Refusal{"a = 1 b = 2\n", "1: expecting a separator"},
        Refusal{"a = 0x10\n", "1: expecting a separator"}, Refusal{"a = 'x\n'\n", "1: unterminated string"},
        Refusal{"a = \"x", "1: unterminated string"}, Refusal{"a = \"\"\"x\n\n\"\"\n", "1: unterminated string"},
        Refusal{"a = -\n", "1: unterminated number"}, Refusal{"a = 99999999999999999999\n", "1: number out of range"},
        Refusal{"a = [ 'x' 'y' ]\n", "1: expecting a separator in list"},
        Refusal{"a = [ 'x',\n\n", "3: list is not closed with ]"},
        Refusal{"a = [\n'x'", "2: list is not closed with ]"}, Refusal{"a = [ , ]\n", "1: expecting a value"},
        Refusal{"a = [[[[[[[[[[[[[[[[[", "1: too many lists within each other"}));

TEST(Conf, RefusesZeroBytes) {
  using namespace std::string_view_literals;
  EXPECT_EQ(error_of([] { parse("a = 'x\0y'"sv); }), "configuration file syntax error: x.conf:1: unexpected zero byte");
  EXPECT_EQ(error_of([] { parse("a = 1\n\0"sv); }), "configuration file syntax error: x.conf:2: expecting a name");
}

TEST(Conf, GettersNameFileAndKey) {
  const Conf conf = parse("text = 'x'\nnumber = 2\nminus = -0\nbig = 4294967296\nmixed = ['a', 1]\nmode='0999'");
  EXPECT_EQ(error_of([&] { conf.string("number"); }),
            "internal error: x.conf: expected a string for 'number' parameter");
  EXPECT_EQ(error_of([&] { conf.boolean("text"); }), "internal error: x.conf: expected a bool for 'text' parameter");
  EXPECT_EQ(error_of([&] { conf.boolean("minus"); }), "internal error: x.conf: expected a bool for 'minus' parameter");
  EXPECT_EQ(error_of([&] { conf.boolean("number"); }),
            "internal error: x.conf: value for 'number' parameter must be 0 or 1");
  EXPECT_EQ(error_of([&] { conf.integer("text"); }),
            "internal error: x.conf: expected a signed integer for 'text' parameter");
  EXPECT_EQ(error_of([&] { conf.integer("big"); }),
            "internal error: x.conf: value for 'big' parameter must be in range -2147483648:2147483647");
  EXPECT_EQ(error_of([&] { conf.unsigned_integer("minus"); }),
            "internal error: x.conf: expected an unsigned integer for 'minus' parameter");
  EXPECT_EQ(error_of([&] { conf.unsigned_integer("big"); }),
            "internal error: x.conf: value for 'big' parameter must be in range 0:4294967295");
  EXPECT_EQ(error_of([&] { conf.strings("mixed"); }),
            "internal error: x.conf: expected a string list for 'mixed' parameter");
  EXPECT_EQ(error_of([&] { conf.strings("number"); }),
            "internal error: x.conf: expected a string or string list for 'number' parameter");
  EXPECT_EQ(error_of([&] { conf.mode("mode"); }),
            "internal error: x.conf: expected an octal mode as \"0770\" for 'mode' parameter");
  EXPECT_THAT(conf.integer("minus"), Optional(0));
}

TEST(Conf, ReadsModes) {
  const Conf conf = parse("a = '0770'\nb = \"777\"\nc = '-1'\nd = '17777'\ne = ''");
  EXPECT_THAT(conf.mode("a"), Optional(0770u));
  EXPECT_THAT(conf.mode("b"), Optional(0777u));
  EXPECT_EQ(conf.mode("absent"), std::nullopt);
  for (const char* key : {"c", "d", "e"}) EXPECT_THROW(conf.mode(key), Error) << key;
}

TEST(Conf, LoadsAFileAndSaysWhichIsMissing) {
  const std::string path = testing::TempDir() + "/conf_test.conf";
  std::ofstream(path) << "a = 1\n";
  EXPECT_THAT(Conf::load(path).integer("a"), Optional(1));
  std::remove(path.c_str());
  try {
    Conf::load(path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::system_error);
    EXPECT_EQ(std::string(error.what()), "cannot read configuration '" + path + "': No such file or directory");
  }
}

}  // namespace
}  // namespace core
