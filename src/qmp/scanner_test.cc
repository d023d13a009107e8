#include "qmp/scanner.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace qmp {
namespace {

/// How many bytes of a text are read: up to the end of its first value, to the byte that is refused ("!" and its
/// number), or all of them.
std::string read(std::string_view text) {
  Scanner scanner;
  for (std::size_t i = 0; i < text.size(); ++i) {
    try {
      if (scanner.ends(text[i])) return std::to_string(i + 1);
    } catch (const ProtocolError&) {
      return "!" + std::to_string(i + 1);
    }
  }
  return scanner.inside() ? "inside" : "nothing";
}

TEST(Scanner, FindsTheEndOfAValue) {
  for (const std::string value : {R"({"a":{"b":[1,{}]},"c":"}"})", R"( {'a':'"}\'','b':"'"})", "[1,{}]", "'{'",
                                  R"("\"")", R"({"a":[-0,10,0.5,-1.25e+10,1E5,2e-7,true,null]})"}) {
    for (const std::string rest : {"", " x", "{", "\n"}) EXPECT_EQ(read(value + rest), std::to_string(value.size()));
    EXPECT_EQ(read(value.substr(0, value.size() - 1)), "inside") << value;
  }
  EXPECT_EQ(read(" \t\r\n "), "nothing");
}

TEST(Scanner, StopsAtTheFirstByteThatIsWrong) {
  for (const auto& [text, at] : std::initializer_list<std::pair<std::string_view, const char*>>{
           {"}", "!1"},
           {"x", "!1"},
           {"5", "!1"},
           {",", "!1"},
           {"{\x01", "!2"},
           {"{\xff", "!2"},
           {"{\x7f", "!2"},
           {"{\"a\tb", "!4"},
           {"{'a\n", "!4"},
           {"{'a\xfe", "!4"},
           {"{\"\\\x1f", "!4"},
           {"{@", "!2"},
           {"{%p", "!2"},
           {"{]", "!2"},
           {"{\"a\":[}", "!7"},
           {"{\"a\":01}", "!7"},
           {"{\"a\":-}", "!7"},
           {"{\"a\":1.}", "!8"},
           {"{\"a\":.5", "!6"},
           {"{\"a\":1e}", "!8"},
           {"{\"a\":1e+}", "!9"},
           {"{\"a\":+1", "!6"},
           {"{\"a\":tRue", "!7"},
           {"{\"a\":1x\xff", "!8"},
           {"{\"a\":--1", "!7"},
           {"{/", "!2"},
           {"\xef\xbb\xbf{}", "!1"},
           {std::string_view("\0", 1), "!1"},
       }) {
    EXPECT_EQ(read(text), at) << text;
  }
}

TEST(Scanner, GoesOnAfterTooDeepAnObject) {
  Scanner scanner;
  const std::string text = std::string(max_depth + 6, '[') + std::string(max_depth + 5, ']');
  int refused = 0;
  for (const char byte : text.substr(0, 2 * max_depth + 6)) {
    try {
      EXPECT_FALSE(scanner.ends(byte));
    } catch (const ProtocolError&) {
      ++refused;
      EXPECT_TRUE(scanner.too_deep());
    }
  }
  EXPECT_EQ(refused, 1);
  EXPECT_EQ(read(std::string(max_depth, '[') + std::string(max_depth, ']')), std::to_string(2 * max_depth));
}

TEST(Scanner, RefusesADeepValueOnceAndFindsItsEnd) {
  for (const std::size_t above : {1U, 6U, 200U}) {
    const std::string deep = std::string(above, '[') + std::string(above, ']');
    const std::string text =
        std::string(max_depth, '[') + deep + ',' + deep + ",{}" + std::string(max_depth - 1, ']') + ",{}]";
    Scanner scanner;
    int refused = 0;
    std::size_t end = 0;
    for (std::size_t i = 0; i < text.size() && end == 0; ++i) {
      try {
        if (scanner.ends(text[i])) end = i + 1;
      } catch (const ProtocolError&) {
        ++refused;
      }
    }
    EXPECT_EQ(refused, 1) << above;
    EXPECT_EQ(end, text.size()) << above;
    EXPECT_FALSE(scanner.too_deep());
  }
}

}  // namespace
}  // namespace qmp
