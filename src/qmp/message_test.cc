#include "qmp/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace qmp {
namespace {

using testing::HasSubstr;

std::vector<Message> decode(std::string_view bytes, std::size_t piece = Decoder::max_message) {
  Decoder decoder;
  std::vector<Message> messages;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    decoder.feed(bytes.substr(at, piece));
    while (auto message = decoder.next()) messages.push_back(std::move(*message));
  }
  return messages;
}

std::string refusal(std::string_view bytes) {
  try {
    decode(bytes);
  } catch (const ProtocolError& error) {
    return error.what();
  }
  return "accepted";
}

// As QEMU 7.2 and StratoVirt 2.5.0 write them, the second without a newline.
constexpr std::string_view qemu_greeting =
    R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2"}, "capabilities": ["oob"]}})"
    "\r\n";
constexpr std::string_view stratovirt_greeting =
    R"({"QMP":{"version":{"qemu":{"micro":1,"minor":0,"major":5},"package":"StratoVirt-2.5.0"},"capabilities":[]}})";

TEST(Decoder, ReadsGreetings) {
  const auto qemu = std::get<Greeting>(decode(qemu_greeting).at(0));
  EXPECT_EQ(qemu.major, 7U);
  EXPECT_EQ(qemu.minor, 2U);
  EXPECT_EQ(qemu.micro, 22U);
  EXPECT_EQ(qemu.package, "Debian 1:7.2");
  EXPECT_EQ(std::get<Greeting>(decode(stratovirt_greeting).at(0)).package, "StratoVirt-2.5.0");
}

TEST(Decoder, ReadsReplies) {
  const auto messages = decode(R"({"return": {"status": "paused"}, "id": "libvirt-1"}{"return": []})");
  ASSERT_EQ(messages.size(), 2U);
  EXPECT_EQ(std::get<Reply>(messages[0]).value.at("status"), "paused");
  EXPECT_EQ(std::get<Reply>(messages[0]).id, "libvirt-1");
  EXPECT_EQ(std::get<Reply>(messages[1]).id, std::nullopt);
}

TEST(Decoder, ReadsErrors) {
  const auto error = std::get<ErrorReply>(
      decode(R"({"id": "libvirt-7", "error": {"class": "DeviceNotFound", "desc": "Device 'x' not found"}})").at(0));
  EXPECT_EQ(error.error_class, "DeviceNotFound");
  EXPECT_EQ(error.description, "Device 'x' not found");
  EXPECT_EQ(error.id, "libvirt-7");
}

TEST(Decoder, ReadsEvents) {
  const auto messages = decode(
      R"({"timestamp": {"seconds": 1267020223, "microseconds": 435656}, "event": "SHUTDOWN", "data": {"guest": true}})"
      R"({"timestamp": {"seconds": -1, "microseconds": -1}, "event": "STOP"})"
      R"({"event": "RESUME"})");
  ASSERT_EQ(messages.size(), 3U);
  const auto& shutdown = std::get<Event>(messages[0]);
  EXPECT_EQ(shutdown.name, "SHUTDOWN");
  EXPECT_EQ(shutdown.data, Json({{"guest", true}}));
  EXPECT_EQ(shutdown.seconds, 1267020223);
  EXPECT_EQ(shutdown.microseconds, 435656);
  EXPECT_EQ(std::get<Event>(messages[1]).seconds, -1);
  EXPECT_EQ(std::get<Event>(messages[2]).data, Json::object());
}

TEST(Decoder, FindsTheSameMessagesHoweverTheBytesAreCut) {
  const std::string stream = std::string(stratovirt_greeting) +
                             R"({"return":"a\"}{[\\","id":"1"})"
                             "\r\n\t " +
                             R"({"event":"STOP"}{"error":{"class":"GenericError","desc":"}"}})";
  for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
    const auto messages = decode(stream, piece);
    ASSERT_EQ(messages.size(), 4U) << piece;
    EXPECT_EQ(std::get<Reply>(messages[1]).value, "a\"}{[\\");
    EXPECT_EQ(std::get<ErrorReply>(messages[3]).description, "}");
  }
}

TEST(Decoder, KeepsNothingOfWhatWasRead) {
  Decoder decoder;
  for (int i = 0; i < 1000; ++i) {
    decoder.feed("{\"event\":\"STOP\"}\r\n  ");
    ASSERT_TRUE(decoder.next());
    ASSERT_FALSE(decoder.next());
    ASSERT_EQ(decoder.held(), 0U);
  }
}

TEST(Decoder, RefusesWhatIsNoQmp) {
  EXPECT_THAT(refusal("HTTP/1.1 200 OK"), HasSubstr("expected a JSON object"));
  EXPECT_THAT(refusal("[]"), HasSubstr("expected a JSON object"));
  EXPECT_THAT(refusal("{\"event\":\"STOP\"}]"), HasSubstr("expected a JSON object"));
  EXPECT_THAT(refusal("{}"), HasSubstr("no QMP message"));
  EXPECT_THAT(refusal("{]"), HasSubstr("parse error"));
  EXPECT_THAT(refusal("{\"return\":[}]"), HasSubstr("parse error"));
  EXPECT_THAT(refusal("{\"return\":\"\xc3\"}"), HasSubstr("UTF-8"));
  EXPECT_THAT(refusal("{\"return\":\"\xff\"}"), HasSubstr("stray byte 0xff"));
  EXPECT_THAT(refusal(std::string_view("{\"return\":\"\0\"}", 14)), HasSubstr("stray byte 0x00"));
  EXPECT_THAT(refusal("{'return':1}"), HasSubstr("parse error"));
  EXPECT_THAT(refusal(R"({"return":{},"id":1})"), HasSubstr("type of 'id'"));
  EXPECT_THAT(refusal(R"({"return":{},"id":null})"), HasSubstr("type of 'id'"));
  EXPECT_THAT(refusal(R"({"error":{"class":"GenericError"}})"), HasSubstr("without 'desc'"));
  EXPECT_THAT(refusal(R"({"error":"no"})"), HasSubstr("type of 'error'"));
  EXPECT_THAT(refusal(R"({"event":3})"), HasSubstr("type of 'event'"));
  EXPECT_THAT(refusal(R"({"event":"STOP","data":[]})"), HasSubstr("type of 'data'"));
  EXPECT_THAT(refusal(R"({"event":"STOP","timestamp":{"seconds":1.5,"microseconds":0}})"), HasSubstr("timestamp"));
  EXPECT_THAT(refusal(R"({"QMP":{"version":{"qemu":{"major":7,"minor":2}}}})"), HasSubstr("without 'micro'"));
  EXPECT_THAT(refusal(R"({"QMP":{"version":{"qemu":{"major":70000}}}})"), HasSubstr("out of range"));
}

TEST(Decoder, BoundsDepth) {
  const auto nested = [](std::size_t depth) {
    return "{\"return\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  EXPECT_EQ(refusal(nested(max_depth)), "accepted");
  EXPECT_THAT(refusal(nested(max_depth + 1)), HasSubstr("too deeply"));
  EXPECT_THAT(refusal("{\"a\":" + std::string(1 << 20, '[')), HasSubstr("too deeply"));
}

TEST(Decoder, BoundsSize) {
  Decoder decoder;
  decoder.feed("{\"return\":\"");
  const std::string block(std::size_t{1} << 20, 'x');
  for (int i = 0; i < 15; ++i) decoder.feed(block);
  EXPECT_FALSE(decoder.next());
  EXPECT_THROW(decoder.feed(block), ProtocolError);
  EXPECT_LE(decoder.held(), Decoder::max_message);
}

TEST(ParseObject, ReadsOneObjectAndNothingElse) {
  EXPECT_EQ(parse_object(R"( {"execute": "query-status"} )").at("execute"), "query-status");
  for (const char* text : {"", " ", "{", "{}{}", "{} x", "query-status", "{'execute': 1}"}) {
    EXPECT_THROW(parse_object(text), ProtocolError) << text;
  }
}

TEST(ParseRequest, ReadsQemusStrings) {
  const std::pair<const char*, const char*> rows[] = {
      {R"({'execute': 'stop'})", R"({"execute":"stop"})"},  {R"({'id':'a"b\"c'})", R"({"id":"a\"b\"c"})"},
      {R"({"id":"it's \'so\'"})", R"({"id":"it's 'so'"})"}, {R"({'id':'\\'})", R"({"id":"\\"})"},
      {R"({'id':'\u00e9\n}{'})", R"({"id":"\u00e9\n}{"})"}, {R"({"a":'',"b":""})", R"({"a":"","b":""})"},
  };
  for (const auto& [text, json] : rows) EXPECT_EQ(parse_request(text), Json::parse(json)) << text;
  for (const char* text : {"{'a':1", "{'a\":1}", R"({"a":"\q"})", "[]", "''", R"({'a'b'})"}) {
    EXPECT_THROW(parse_request(text), ProtocolError) << text;
  }
}

TEST(Encode, WritesOneLine) {
  EXPECT_EQ(encode("query-status", nullptr, "libvirt-1"), "{\"execute\":\"query-status\",\"id\":\"libvirt-1\"}\n");
  EXPECT_EQ(encode("device_del", {{"id", "a\n\"é"}}, "libvirt-2"),
            "{\"arguments\":{\"id\":\"a\\n\\\"\\u00e9\"},\"execute\":\"device_del\",\"id\":\"libvirt-2\"}\n");
  EXPECT_THROW(encode("device_del", {{"id", "\xff"}}, "libvirt-3"), ProtocolError);
}

TEST(ParseObject, AKeyStandsInAnObjectOnce) {
  for (const char* twice :
       {R"({"a":1,"a":1})", R"({"a":1,"b":{"c":1,"d":[],"c":2}})", R"({"a":[{},{"b":1,"\u0062":2}]})"}) {
    EXPECT_THROW(parse_object(twice), ProtocolError) << twice;
  }
  for (const char* once : {R"({"a":{"a":{"a":1}}})", R"({"a":[{"b":1},{"b":1}],"b":1})", R"({"":1,"a":"a"})"}) {
    EXPECT_NO_THROW(parse_object(once)) << once;
  }
}

}  // namespace
}  // namespace qmp
