#include "driver/rpc/connection.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <list>

#include "driver/rpc/test_client.h"

namespace rpc {
namespace {

using testing::call_header;
using testing::TestClient;
using testing::World;
using Text = String<>;

constexpr std::int32_t echo = 1;     // answers at once with what it got
constexpr std::int32_t later = 2;    // answers when it is released
constexpr std::int32_t large = 3;    // answers with 4 MiB
constexpr std::int32_t failing = 4;  // throws
constexpr std::int32_t slow = 5;     // takes a millisecond

/// Serves the procedures above; `release` ends the calls that wait, in any order.
struct Service {
  void operator()(Connection& connection, Call& call) {
    ++served;
    fds = call.fds.size();
    switch (call.header.procedure) {
      case echo: echoed_as = served; return connection.reply(call.header, decode<Text>(call.payload));
      case later: waiting.emplace_back(Connection::Running(connection.shared_from_this()), call.header); return;
      case large: return connection.reply(call.header, Text(std::string(4 * 1024 * 1024, 'x')));
      case slow:
        for (const auto end = Connection::Clock::now() + std::chrono::milliseconds(1);
             Connection::Clock::now() < end;) {
        }
        return connection.reply(call.header, Text("slow"));
      case failing: throw core::Error(core::ErrorCode::no_domain, "none", core::ErrorDomain::qemu);
      default: throw std::runtime_error("broken");
    }
  }
  void release(std::size_t index) {
    const auto at = std::next(waiting.begin(), static_cast<std::ptrdiff_t>(index));
    auto [running, header] = std::move(*at);
    waiting.erase(at);
    running.connection().reply(header, Text("done"));
  }

  int served = 0;
  int echoed_as = 0;  // the last echo's number among all
  std::size_t fds = 0;
  std::list<std::pair<Connection::Running, Header>> waiting;
};

class ConnectionTest : public ::testing::Test {
 protected:
  ~ConnectionTest() override { service.waiting.clear(); }

  void expect_served(TestClient& client) {
    client.send(call_header(echo, 99), Text("alive"));
    const auto reply = client.receive();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->header.serial, 99u);
    EXPECT_EQ(decode<Text>(reply->payload), "alive");
  }
  /// Another client is served although this one does what it does.
  void expect_others_served() {
    TestClient other = world.connect();
    expect_served(other);
  }
  bool run_until(const std::function<bool()>& done) { return testing::run_until(world.loop, done); }

  Service service;
  World world{[this](Connection& connection, Call& call) { service(connection, call); }};
};

Bytes packet(const Header& header, const std::string& text = "") {
  Bytes out;
  put_packet(out, header, Text(text));
  return out;
}

TEST_F(ConnectionTest, ReplyHasTheCallsNumbers) {
  TestClient client = world.connect();
  client.send(call_header(echo, 7), Text("hello"));
  const auto reply = client.receive();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->header.program, testing::program);
  EXPECT_EQ(reply->header.version, testing::version);
  EXPECT_EQ(reply->header.procedure, echo);
  EXPECT_EQ(reply->header.type, Type::reply);
  EXPECT_EQ(reply->header.serial, 7u);
  EXPECT_EQ(reply->header.status, Status::ok);
  EXPECT_EQ(decode<Text>(reply->payload), "hello");
}

TEST_F(ConnectionTest, ThrownErrorsBecomeErrorReplies) {
  TestClient client = world.connect();
  client.send(call_header(failing, 1));
  const auto reply = client.receive();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->header.type, Type::reply);
  EXPECT_EQ(reply->header.status, Status::error);
  EXPECT_EQ(reply->error().code, 42);
  client.send(call_header(1234, 2));
  EXPECT_EQ(client.receive()->error().message, "internal error: broken");
  client.send(call_header(echo, 3), std::uint32_t{100});
  EXPECT_EQ(client.receive()->error().message, "Unable to decode message payload");
  expect_served(client);
}

TEST_F(ConnectionTest, PacketsAreCutWhereverTheReadsEnd) {
  TestClient client = world.connect();
  Bytes bytes;
  for (std::uint32_t serial = 0; serial < 20; ++serial) {
    put_packet(bytes, call_header(echo, serial), Text(std::string(std::size_t{serial} * 7, 'a')));
  }
  for (std::size_t piece : {1, 3, 29, 1000}) {
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      client.send(std::span(bytes).subspan(at, std::min(piece, bytes.size() - at)));
      if (at % 64 == 0) world.loop.context().poll();
    }
    for (std::uint32_t serial = 0; serial < 20; ++serial) {
      const auto reply = client.receive();
      ASSERT_TRUE(reply);
      EXPECT_EQ(reply->header.serial, serial);
      EXPECT_EQ(decode<Text>(reply->payload).size(), serial * 7);
    }
  }
}

TEST_F(ConnectionTest, APacketOfTheFullSizeIsServed) {
  TestClient client = world.connect();
  client.send(call_header(echo, 1), Text(std::string(max_string, 'z')));
  const auto reply = client.receive();
  ASSERT_TRUE(reply);
  EXPECT_EQ(decode<Text>(reply->payload).size(), max_string);
}

TEST_F(ConnectionTest, HalfAPacketHoldsUpNobodyElse) {
  TestClient client = world.connect();
  const Bytes whole = packet(call_header(echo, 1), "text");
  client.send(std::span(whole).first(whole.size() - 1));
  expect_others_served();
  client.send(std::span(whole).last(1));
  EXPECT_EQ(decode<Text>(client.receive()->payload), "text");
}

TEST_F(ConnectionTest, ALengthThatCannotBeEndsTheConnection) {
  for (const std::uint32_t length : {0U, 27U, 0x02000005U, 0xffffffffU, 0x47455420U}) {
    TestClient client = world.connect();
    client.send(encode(length));
    EXPECT_TRUE(client.closed()) << length;
  }
  EXPECT_TRUE(run_until([&] { return world.closings == 5; }));
  EXPECT_EQ(world.server.clients(), 0u);
  expect_others_served();
}

TEST_F(ConnectionTest, ALengthAloneHoldsNoMemory) {
  std::vector<TestClient> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(world.connect());
    clients.back().send(encode(std::uint32_t{32 * 1024 * 1024}));  // 6 GiB, if it were believed
  }
  expect_others_served();
}

TEST_F(ConnectionTest, AReadOnlyClientsPacketsAreSmall) {
  TestClient client = world.connect(true);
  client.send(call_header(echo, 1), Text(std::string(1000, 'a')));
  EXPECT_EQ(decode<Text>(client.receive()->payload).size(), 1000u);
  client.send(encode(static_cast<std::uint32_t>(Connection::max_readonly_packet + length_size + 1)));
  EXPECT_TRUE(client.closed());
}

TEST_F(ConnectionTest, TypesNobodySendsAServerAreIgnored) {
  TestClient client = world.connect();
  for (const std::uint32_t type : {1U, 2U, 5U, 7U, 0xffffffffU}) {
    client.send(call_header(echo, 1, static_cast<Type>(type)), Text("x"));
  }
  EXPECT_TRUE(client.silent());
  EXPECT_EQ(service.served, 0);
  expect_served(client);
}

TEST_F(ConnectionTest, ACallsStatusMustBeOk) {
  TestClient client = world.connect();
  client.send(call_header(echo, 1, Type::call, static_cast<Status>(2)), Text("x"));
  EXPECT_EQ(client.receive()->error().message, "Unexpected message status 2");
  EXPECT_EQ(service.served, 0);
  expect_served(client);
}

TEST_F(ConnectionTest, PacketsOfStreamsNobodyOpenedAreIgnored) {
  TestClient client = world.connect();
  client.send_data(call_header(echo, 5, Type::stream, Status::proceed), Bytes(1000));
  client.send(call_header(echo, 5, Type::stream, Status::ok));
  client.send(call_header(echo, 5, Type::stream_hole, Status::proceed), StreamHole{-1, 0});
  EXPECT_TRUE(client.silent());
  expect_served(client);
}

TEST_F(ConnectionTest, CallsRunConcurrentlyUpToTheLimit) {
  TestClient client = world.connect();
  for (std::uint32_t serial = 1; serial <= 8; ++serial) client.send(call_header(later, serial));
  testing::run_all(world.loop);
  EXPECT_EQ(service.waiting.size(), 5u);
  expect_others_served();

  service.release(3);
  EXPECT_EQ(client.receive()->header.serial, 4u);
  EXPECT_TRUE(run_until([&] { return service.waiting.size() == 5; }));
  service.release(0);
  EXPECT_EQ(client.receive()->header.serial, 1u);
  while (!service.waiting.empty()) {
    service.release(service.waiting.size() - 1);
    EXPECT_TRUE(client.receive());
  }
  EXPECT_EQ(service.served, 8 + 1);
  expect_served(client);
}

TEST_F(ConnectionTest, AFloodOfCallsIsReadNoFurtherThanTheLimit) {
  TestClient client = world.connect();
  const Bytes call = packet(call_header(later, 1));
  Bytes many;
  for (int i = 0; i < 200'000; ++i) many.insert(many.end(), call.begin(), call.end());
  std::size_t sent = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::size_t now = client.send_some(std::span(many).subspan(sent));
    sent += now;
    world.loop.context().restart();
    world.loop.context().poll();
    if (now == 0) break;
  }
  EXPECT_LT(sent, 2u * 1024 * 1024) << "the daemon took it all";
  EXPECT_EQ(service.waiting.size(), 5u);
  expect_others_served();
}

TEST_F(ConnectionTest, AClientThatNeverReadsIsReadNoFurther) {
  TestClient client = world.connect();
  const Bytes call = packet(call_header(large, 1));
  for (int i = 0; i < 200; ++i) {
    client.send_some(call);
    world.loop.context().restart();
    world.loop.context().poll();
  }
  EXPECT_LE(service.served, 2) << "each would hold 4 MiB more";
  expect_others_served();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(client.receive());  // and once it reads, it is served on
}

TEST_F(ConnectionTest, CallsThatTakeLongHoldUpNobodyElse) {
  std::vector<TestClient> many;
  for (int i = 0; i < 20; ++i) {
    many.push_back(world.connect(true));
    Bytes calls;
    for (std::uint32_t serial = 0; serial < 200; ++serial) put_packet(calls, call_header(slow, serial), Text("x"));
    many.back().send_some(calls);
  }
  world.loop.context().restart();
  world.loop.context().poll_one();
  TestClient other = world.connect();
  other.send(call_header(echo, 1), Text("quick"));
  ASSERT_TRUE(other.receive());
  EXPECT_LT(service.echoed_as, 200) << "of 4000 that came before";
  for (TestClient& client : many) {
    for (std::uint32_t serial = 0; serial < 200; ++serial) EXPECT_EQ(client.receive()->header.serial, serial);
  }
}

TEST_F(ConnectionTest, WhatReadersDoNotReadHasOneBound) {
  std::vector<TestClient> readers;
  for (int i = 0; i < 30; ++i) {
    readers.push_back(world.connect(true));
    readers.back().send(call_header(large, 1), Text("x"));  // 4 MiB each
  }
  EXPECT_TRUE(run_until([&] { return service.served == 30; }));
  EXPECT_TRUE(run_until([&] { return world.server.clients() <= 10; }));
  EXPECT_GE(world.server.clients(), 8u);
  expect_others_served();
  readers.push_back(world.connect(true));
  expect_served(readers.back());
}

TEST_F(ConnectionTest, EventsNobodyReadsEndTheConnection) {
  TestClient client = world.connect();
  expect_served(client);
  const Text event(std::string(1024, 'e'));
  int sent = 0;
  while (!world.connections[0]->closed() && sent < 100'000) {
    world.connections[0]->send_event(testing::program, 1, 50, event);
    ++sent;
  }
  EXPECT_LT(sent, 12'000);
  EXPECT_GT(sent, 4'000);
  EXPECT_TRUE(run_until([&] { return world.closings == 1; }));
  expect_others_served();
}

TEST_F(ConnectionTest, EventsAreMessagesBetweenReplies) {
  TestClient client = world.connect();
  client.send(call_header(later, 1));
  testing::run_all(world.loop);
  world.connections[0]->send_event(testing::program, 1, 50, Text("event"));
  const auto event = client.receive();
  EXPECT_EQ(event->header.type, Type::message);
  EXPECT_EQ(event->header.procedure, 50);
  EXPECT_EQ(event->header.serial, 0u);
  service.release(0);
  EXPECT_EQ(client.receive()->header.type, Type::reply);
}

TEST_F(ConnectionTest, AClientThatLeavesDuringItsCallsEndsItsSessionAfterThem) {
  {
    TestClient client = world.connect();
    for (std::uint32_t serial = 1; serial <= 6; ++serial) client.send(call_header(later, serial));
    testing::run_all(world.loop);
  }  // it has stalled at the limit, so nobody reads what would say that it has left
  EXPECT_TRUE(run_until([&] { return world.closings == 1; }));
  EXPECT_EQ(world.server.clients(), 0u);
  EXPECT_EQ(service.waiting.size(), 5u);
  while (!service.waiting.empty()) service.release(0);  // their replies go nowhere
}

TEST_F(ConnectionTest, CloseWhenSentLetsTheReplyOut) {
  World closing([](Connection& connection, Call& call) {
    connection.close_when_sent();
    connection.reply(call.header, Text(std::string(3'000'000, 'b')));
  });
  TestClient client = closing.connect();
  client.send(call_header(1, 1));
  const auto reply = client.receive();
  ASSERT_TRUE(reply);
  EXPECT_EQ(decode<Text>(reply->payload).size(), 3'000'000u);
  EXPECT_TRUE(client.closed());
}

int open_descriptors() {
  int count = 0;
  for (int fd = 0; fd < 1024; ++fd) count += ::fcntl(fd, F_GETFD) >= 0;
  return count;
}

TEST_F(ConnectionTest, DescriptorsComeWithTheCallThatAnnouncesThem) {
  TestClient client = world.connect();
  const int before = open_descriptors();
  struct Fds {
    std::uint32_t count;
    Text text;
  };
  Bytes call;
  put_packet(call, call_header(echo, 1, Type::call_with_fds), Fds{2, Text("with")});
  client.send(call);
  EXPECT_TRUE(client.silent());  // it waits for them
  client.send_with_fd(Bytes{0}, client.fd());
  client.send_with_fd(Bytes{0}, client.fd());
  EXPECT_EQ(decode<Text>(client.receive()->payload), "with");
  EXPECT_EQ(service.fds, 2u);
  EXPECT_EQ(open_descriptors(), before) << "what the handler did not take is closed";
  expect_served(client);
  EXPECT_EQ(service.fds, 0u);
}

TEST_F(ConnectionTest, DescriptorsNobodyAskedForAreClosed) {
  TestClient client = world.connect();
  const int before = open_descriptors();
  for (int i = 0; i < 5; ++i) {
    client.send_with_fd(packet(call_header(echo, 1), "x"), client.fd());
    EXPECT_TRUE(client.receive());
  }
  EXPECT_EQ(service.fds, 0u);
  EXPECT_EQ(open_descriptors(), before);
  // Those that come with a packet that never ends are bounded.
  client.send(encode(std::uint32_t{1000}));
  for (int i = 0; i < 100; ++i) client.send_with_fd(Bytes{0}, client.fd());
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(run_until([&] { return world.closings == 1; }));
  EXPECT_LT(open_descriptors(), before);
}

TEST_F(ConnectionTest, AReadOnlyClientsDescriptorsAreNotTaken) {
  TestClient client = world.connect(true);
  const int before = open_descriptors();
  client.send(encode(std::uint32_t{1000}));
  for (int i = 0; i < 20; ++i) client.send_with_fd(Bytes{0}, client.fd());
  testing::run_all(world.loop);
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(ConnectionTest, DescriptorsThatAreMissingEndTheConnection) {
  for (const std::uint32_t count : {1U, 33U, 0xffffffffU}) {
    TestClient client = world.connect();
    client.send(call_header(echo, 1, Type::call_with_fds), count);
    client.send(Bytes(4));
    EXPECT_TRUE(client.closed()) << count;
  }
  TestClient client = world.connect();
  client.send(call_header(echo, 1, Type::call_with_fds), Void{});
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(service.served, 0);
}

}  // namespace
}  // namespace rpc
