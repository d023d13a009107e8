#include "driver/rpc/xdr.h"

#include <gmock/gmock.h>

#include <limits>
#include <random>
#include <utility>

namespace rpc {
namespace {

using ::testing::ElementsAre;
using Choice = Union<1, std::int32_t, std::uint32_t, std::int64_t, std::uint64_t, double, bool, String<8>>;

struct Inner {
  String<5> name;
  std::array<std::uint8_t, 3> fixed;
  std::optional<std::int32_t> maybe;
};
bool operator==(const Inner& a, const Inner& b) {
  return a.name == b.name && a.fixed == b.fixed && a.maybe == b.maybe;
}

struct Outer {
  std::int32_t small;
  std::uint64_t large;
  double real;
  bool truth;
  Opaque<6> bytes;
  Array<Inner, 3> inners;
  std::optional<String<4>> text;
  Array<Choice, 4> choices;
  std::array<std::int8_t, 2> chars;
};

template <class T>
bool refused(const Bytes& bytes) {
  try {
    decode<T>(bytes);
    return false;
  } catch (const core::Error& error) {
    return error.code() == core::ErrorCode::rpc && std::string(error.what()) == "Unable to decode message payload";
  }
}
template <class T>
bool refused(const T& value) {
  try {
    encode(value);
    return false;
  } catch (const core::Error& error) {
    return error.code() == core::ErrorCode::rpc && std::string(error.what()) == "Unable to encode message payload";
  }
}

TEST(Xdr, IntegersAreBigEndianWords) {
  EXPECT_THAT(encode(std::int32_t{-2}), ElementsAre(0xff, 0xff, 0xff, 0xfe));
  EXPECT_THAT(encode(std::uint64_t{0x0102030405060708}), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_THAT(encode(true), ElementsAre(0, 0, 0, 1));
  EXPECT_THAT(encode(std::uint8_t{7}), ElementsAre(0, 0, 0, 7));
  EXPECT_THAT(encode(1.0), ElementsAre(0x3f, 0xf0, 0, 0, 0, 0, 0, 0));
}

TEST(Xdr, StringsAndOpaquesHaveALengthAndPadding) {
  EXPECT_THAT(encode(String<8>("abcde")), ElementsAre(0, 0, 0, 5, 'a', 'b', 'c', 'd', 'e', 0, 0, 0));
  EXPECT_THAT(encode(Opaque<8>{1, 2}), ElementsAre(0, 0, 0, 2, 1, 2, 0, 0));
  EXPECT_THAT(encode(std::array<std::uint8_t, 3>{1, 2, 3}), ElementsAre(1, 2, 3, 0));
  EXPECT_THAT(encode(std::array<std::int8_t, 2>{'a', 'b'}), ElementsAre(0, 0, 0, 'a', 0, 0, 0, 'b'));
}

TEST(Xdr, PointersAndUnionsBeginWithAWord) {
  EXPECT_THAT(encode(std::optional<std::int32_t>()), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(encode(std::optional<std::int32_t>(5)), ElementsAre(0, 0, 0, 1, 0, 0, 0, 5));
  EXPECT_THAT(encode(Choice(std::uint32_t{9})), ElementsAre(0, 0, 0, 2, 0, 0, 0, 9));
  EXPECT_THAT(encode(Choice(String<8>("hi"))), ElementsAre(0, 0, 0, 7, 0, 0, 0, 2, 'h', 'i', 0, 0));
}

TEST(Xdr, BoundsHoldBothWays) {
  EXPECT_FALSE(refused(String<5>("abcde")));
  EXPECT_TRUE(refused(String<5>("abcdef")));
  EXPECT_TRUE(refused(Opaque<2>{1, 2, 3}));
  EXPECT_TRUE(refused(Array<std::int32_t, 1>{1, 2}));
  EXPECT_FALSE(refused<String<5>>(encode(String<8>("abcde"))));
  EXPECT_TRUE(refused<String<5>>(encode(String<8>("abcdef"))));
  EXPECT_TRUE((refused<Array<std::int32_t, 1>>(encode(Array<std::int32_t, 2>{1, 2}))));
}

TEST(Xdr, AnArrayEncodedItemByItemIsTheSame) {
  using Encoded = EncodedArray<String<8>, 2>;
  Encoded array;
  EXPECT_EQ(encode(array), encode(Array<String<8>, 2>{}));
  array.add("one");
  array.add("three");
  EXPECT_EQ(encode(array), encode(Array<String<8>, 2>{"one", "three"}));
  EXPECT_EQ(encode(decode<Encoded>(encode(array))), encode(array));
  array.add("more");
  EXPECT_TRUE(refused(array));
  EXPECT_TRUE(refused<Encoded>(encode(Array<String<8>, 3>{"one", "three", "more"})));
  EXPECT_TRUE(refused<Encoded>(Bytes{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}));
}

struct Named {
  String<8> name;
  Union<1, std::int32_t, String<8>> value;
};
struct NamedView {
  using Viewed = Named;
  StringView<8> name;
  Union<1, std::int32_t, StringView<8>> value;
};

TEST(Xdr, AViewOfAnItemIsEncodedAsTheItem) {
  EncodedArray<Named, 2> array;
  array.add(NamedView{std::string_view("one"), 1});
  array.add(NamedView{std::string_view(""), StringView<8>("two")});
  EXPECT_EQ(encode(array), encode(Array<Named, 2>{{"one", 1}, {"", String<8>("two")}}));
  array.clear();
  EXPECT_EQ(encode(array), encode(Array<Named, 2>{}));
  EXPECT_TRUE(refused(StringView<2>("abc")));
}

TEST(Xdr, DecodeRefusesWhatIsNotWhole) {
  EXPECT_TRUE(refused<std::int32_t>(Bytes{0, 0, 0}));
  EXPECT_TRUE(refused<String<8>>(Bytes{0, 0, 0, 1, 'a'}));  // no padding
  EXPECT_TRUE(refused<String<8>>(Bytes{0, 0, 0, 1, 'a', 0, 0}));
  EXPECT_TRUE(refused<String<8>>(Bytes{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}));
  EXPECT_TRUE(refused<std::optional<std::int32_t>>(Bytes{0, 0, 0, 1}));
  EXPECT_TRUE(refused<Choice>(Bytes{0, 0, 0, 0, 0, 0, 0, 0}));  // no such case
  EXPECT_TRUE(refused<Choice>(Bytes{0, 0, 0, 8, 0, 0, 0, 0}));
  EXPECT_TRUE(refused<Choice>(Bytes{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}));
}

TEST(Xdr, AnyWordButZeroIsTrue) {
  using Maybe = std::optional<std::int32_t>;
  for (const std::uint32_t word : {1U, 2U, 0x01000000U, 0x80000000U, 0xffffffffU}) {
    Bytes bytes = encode(word);
    EXPECT_TRUE(decode<bool>(bytes)) << word;
    bytes.insert(bytes.end(), {0, 0, 0, 5});
    EXPECT_EQ(decode<Maybe>(bytes), 5) << word;
  }
  EXPECT_EQ(decode<Maybe>(Bytes{0, 0, 0, 0, 0, 0, 0, 5}), std::nullopt);
}

TEST(Xdr, PaddingMayBeAnything) {
  EXPECT_EQ(decode<String<8>>(Bytes{0, 0, 0, 5, 'a', 'b', 'c', 'd', 'e', 1, 2, 3}), "abcde");
  EXPECT_THAT(decode<Opaque<8>>(Bytes{0, 0, 0, 1, 7, 0xff, 0xff, 0xff}), ElementsAre(7));
  EXPECT_THAT((decode<std::array<std::uint8_t, 3>>(Bytes{1, 2, 3, 9})), ElementsAre(1, 2, 3));
}

TEST(Xdr, AStringEndsAtItsFirstNul) {
  EXPECT_EQ(decode<String<8>>(Bytes{0, 0, 0, 4, 'a', 0, 'b', 0}), "a");
  EXPECT_EQ(decode<String<8>>(Bytes{0, 0, 0, 1, 0, 0, 0, 0}), "");
  // What follows begins where the length said.
  const auto inner = decode<Inner>(Bytes{0, 0, 0, 3, 'a', 0, 'b', 0, 1, 2, 3, 0, 0, 0, 0, 0});
  EXPECT_EQ(inner.name, "a");
  EXPECT_THAT(inner.fixed, ElementsAre(1, 2, 3));
}

TEST(Xdr, WhatFollowsTheLastValueIsLeft) {
  EXPECT_EQ(decode<std::int32_t>(Bytes{0, 0, 0, 4, 0}), 4);
  EXPECT_NO_THROW(decode<Void>(Bytes{1, 2, 3}));
}

TEST(Xdr, ALongArrayIsEncodedWithoutACopy) {
  struct Reply {
    std::int32_t first;
    EncodedArray<String<8>, 100> array;
  };
  Reply reply{7, {}};
  for (int i = 0; i < 100; ++i) reply.array.add("item");
  reply.array.items.reserve(4096);
  const Bytes expected = encode(std::as_const(reply));
  const std::uint8_t* items = reply.array.items.data();
  Bytes out;
  Encoder(out).put(std::move(reply));
  EXPECT_EQ(out.data(), items);
  EXPECT_EQ(out, expected);
}

TEST(Xdr, AnItemCanBeRepeated) {
  EncodedArray<String<8>, 3> array;
  array.add("one");
  array.add("three");
  array.repeat(0, 8);
  EXPECT_EQ(encode(array), encode(Array<String<8>, 3>{"one", "three", "one"}));
}

TEST(Xdr, ALongLengthWithoutBytesAllocatesNothing) {
  // Were the length believed, this would need hundreds of GiB.
  EXPECT_TRUE((refused<Array<Inner, 0xffffffff>>(Bytes{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})));
  EXPECT_TRUE(refused<String<0xffffffff>>(Bytes{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}));
}

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}
  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(random_() % limit); }
  std::string text(std::uint32_t most) {
    std::string text(below(most + 1), ' ');
    for (char& c : text) c = static_cast<char>(1 + below(255));
    return text;
  }
  Choice choice() {
    switch (below(7)) {
      case 0: return static_cast<std::int32_t>(random_());
      case 1: return static_cast<std::uint32_t>(random_());
      case 2: return static_cast<std::int64_t>(random_());
      case 3: return static_cast<std::uint64_t>(random_());
      case 4: return static_cast<double>(random_()) / 3;
      case 5: return below(2) == 1;
      default: return String<8>(text(8));
    }
  }
  Outer outer() {
    Outer outer{};
    outer.small = static_cast<std::int32_t>(random_());
    outer.large = random_();
    outer.real = static_cast<double>(random_()) / 7;
    outer.truth = below(2) == 1;
    outer.bytes.resize(below(7));
    for (auto& byte : outer.bytes) byte = static_cast<std::uint8_t>(random_());
    outer.inners.resize(below(4));
    for (Inner& inner : outer.inners) {
      inner.name = text(5);
      inner.fixed = {static_cast<std::uint8_t>(random_()), 0, 255};
      if (below(2)) inner.maybe = static_cast<std::int32_t>(random_());
    }
    if (below(2)) outer.text = text(4);
    for (std::uint32_t i = below(5); i > 0; --i) outer.choices.push_back(choice());
    outer.chars = {static_cast<std::int8_t>(random_()), static_cast<std::int8_t>(random_())};
    return outer;
  }

 private:
  std::mt19937_64 random_;
};

TEST(Xdr, WhatIsEncodedDecodesToTheSame) {
  Generator generator(1);
  for (int i = 0; i < 300; ++i) {
    const Outer outer = generator.outer();
    const Bytes bytes = encode(outer);
    ASSERT_EQ(bytes.size() % 4, 0u);
    const auto back = decode<Outer>(bytes);
    EXPECT_EQ(back.small, outer.small);
    EXPECT_EQ(back.large, outer.large);
    EXPECT_EQ(back.real, outer.real);
    EXPECT_EQ(back.truth, outer.truth);
    EXPECT_EQ(back.bytes, outer.bytes);
    EXPECT_EQ(back.inners, outer.inners);
    EXPECT_EQ(back.text, outer.text);
    EXPECT_EQ(back.chars, outer.chars);
    ASSERT_EQ(back.choices.size(), outer.choices.size());
    for (std::size_t c = 0; c < back.choices.size(); ++c) EXPECT_TRUE(back.choices[c] == outer.choices[c]);
    for (std::size_t cut = 0; cut < bytes.size(); cut += 4) {
      EXPECT_TRUE(refused<Outer>(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(cut))));
    }
  }
}

}  // namespace
}  // namespace rpc
