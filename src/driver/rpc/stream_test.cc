#include "driver/rpc/stream.h"

#include <gmock/gmock.h>
#include <malloc.h>

#include <functional>

#include "driver/rpc/test_client.h"

namespace rpc {
namespace {

using testing::call_header;
using testing::TestClient;
using testing::World;

constexpr std::int32_t open = 7;
constexpr std::uint32_t serial = 3;
constexpr std::size_t mebibyte = 1024 * 1024;

Header stream_header(Status status, Type type = Type::stream) {
  return call_header(open, serial, type, status);
}

/// What a stream's coroutine does; the world opens a stream for each call and runs it.
using Body = std::function<core::Task<void>(std::shared_ptr<Stream>)>;

class StreamTest : public ::testing::Test {
 protected:
  static core::Task<void> run(Body body, std::shared_ptr<Stream> stream, std::string* how) {
    try {
      co_await body(std::move(stream));
      *how = "well";
    } catch (const core::Error& error) {
      *how = error.what();
    }
  }

  TestClient opened(Body with) {
    body = std::move(with);
    TestClient client = world.connect();
    client.send(call_header(open, serial));
    const auto reply = client.receive();
    EXPECT_TRUE(reply && reply->header.status == Status::ok && reply->header.type == Type::reply);
    return client;
  }
  bool ended() {
    return testing::run_until(world.loop, [&] { return !ended_with.empty(); });
  }

  static core::Task<void> answer_later(std::shared_ptr<Connection> connection, Header call) {
    co_await core::sleep(std::chrono::milliseconds(20));
    connection->reply(call, Void{});
  }

  Body body;
  std::string ended_with;
  World* eager_world = nullptr;
  World world{[this](Connection& connection, Call& call) {
    world.loop.spawn(run(body, connection.open_stream(call.header), &ended_with));
    connection.reply(call.header, Void{});
  }};
};

core::Task<void> send_all(std::shared_ptr<Stream> stream, std::size_t total) {
  const Bytes piece(mebibyte, 'p');
  for (std::size_t sent = 0; sent < total; sent += piece.size()) co_await stream->write(piece);
  co_await stream->finish();
}

// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines): run() keeps the lambda as long as its coroutine
TEST_F(StreamTest, TheServersBytesThenItsEndThenTheConfirmation) {
  TestClient client = opened([](std::shared_ptr<Stream> stream) -> core::Task<void> {
    const std::string text = "login: ";
    co_await stream->write(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
    co_await stream->write_hole(4096);
    co_await stream->finish();
  });
  const auto data = client.receive();
  EXPECT_EQ(data->header.type, Type::stream);
  EXPECT_EQ(data->header.status, Status::proceed);
  EXPECT_EQ(data->header.serial, serial);
  EXPECT_EQ(data->header.procedure, open);
  EXPECT_EQ(std::string(data->payload.begin(), data->payload.end()), "login: ");
  const auto hole = client.receive();
  EXPECT_EQ(hole->header.type, Type::stream_hole);
  EXPECT_EQ(decode<StreamHole>(hole->payload).length, 4096);
  const auto end = client.receive();
  EXPECT_EQ(end->header.status, Status::proceed);
  EXPECT_TRUE(end->payload.empty());
  EXPECT_TRUE(client.silent());
  client.send(stream_header(Status::ok));
  const auto confirmation = client.receive();
  EXPECT_EQ(confirmation->header.type, Type::stream);
  EXPECT_EQ(confirmation->header.status, Status::ok);
  EXPECT_TRUE(ended());
  EXPECT_EQ(ended_with, "well");
}

TEST_F(StreamTest, TheClientsBytesHolesAndEnd) {
  std::string got;
  TestClient client = opened([&](std::shared_ptr<Stream> stream) -> core::Task<void> {
    while (const auto chunk = co_await stream->read()) {
      if (const auto* bytes = std::get_if<Bytes>(&*chunk)) got.append(bytes->begin(), bytes->end());
      if (const auto* hole = std::get_if<Stream::Hole>(&*chunk)) got += "<" + std::to_string(hole->length) + ">";
    }
    co_await stream->finish();
  });
  client.send_data(stream_header(Status::proceed), Bytes{'a', 'b', 'c'});
  client.send(stream_header(Status::proceed, Type::stream_hole), StreamHole{512, 0});
  client.send_data(stream_header(Status::proceed), Bytes{});
  client.send_data(stream_header(Status::proceed), Bytes{'d'});
  client.send(stream_header(Status::ok));
  EXPECT_EQ(client.receive()->header.status, Status::ok);
  EXPECT_EQ(got, "abc<512>d");
  EXPECT_TRUE(ended());
}

TEST_F(StreamTest, AHundredMebibytesToAClientAtItsPace) {
  TestClient client = opened([](std::shared_ptr<Stream> stream) { return send_all(stream, 100 * mebibyte); });
  testing::run_all(world.loop);
  std::size_t got = 0;
  std::size_t largest = 0;
  const std::size_t before = ::mallinfo2().uordblks;
  std::size_t most = 0;
  for (;;) {
    const auto packet = client.receive();
    ASSERT_TRUE(packet);
    if (packet->payload.empty()) break;
    got += packet->payload.size();
    largest = std::max(largest, packet->payload.size());
    most = std::max(most, ::mallinfo2().uordblks);
  }
  EXPECT_EQ(got, 100 * mebibyte);
  EXPECT_EQ(largest, max_chunk);
  EXPECT_LT(most, before + 8 * mebibyte);
  client.send(stream_header(Status::ok));
  EXPECT_EQ(client.receive()->header.status, Status::ok);
  EXPECT_TRUE(ended());
}

TEST_F(StreamTest, AClientThatDoesNotReadMakesTheWriterWait) {
  std::size_t written = 0;
  TestClient client = opened([&](std::shared_ptr<Stream> stream) -> core::Task<void> {
    const Bytes piece(64 * 1024);
    for (; written < 100 * mebibyte; written += piece.size()) co_await stream->write(piece);
  });
  testing::run_all(world.loop);
  EXPECT_LT(written, 3 * mebibyte);
  const auto other = [this] {
    TestClient client = world.connect();
    body = [](std::shared_ptr<Stream> stream) { return send_all(stream, mebibyte); };
    client.send(call_header(open, serial));
    return client.receive().has_value();
  };
  EXPECT_TRUE(other());
  client.hang_up();
  EXPECT_TRUE(ended());
  EXPECT_EQ(ended_with, "operation aborted: the client is gone");
}

TEST_F(StreamTest, AHundredMebibytesFromAClientAtTheReadersPace) {
  std::size_t got = 0;
  std::size_t allowed = 0;
  core::Signal go(world.loop.context());
  TestClient client = opened([&](std::shared_ptr<Stream> stream) -> core::Task<void> {
    while (const auto chunk = co_await stream->read()) {
      got += std::get<Bytes>(*chunk).size();
      while (got > allowed) co_await go.wait();
    }
    co_await stream->finish();
  });
  Bytes packet;
  open_packet(packet, stream_header(Status::proceed));
  packet.resize(packet.size() + max_chunk);
  close_packet(packet, 0);

  // Nobody reads: what the daemon takes is bounded.
  Bytes many;
  for (int i = 0; i < 40; ++i) many.insert(many.end(), packet.begin(), packet.end());
  std::size_t sent = 0;
  for (int i = 0; i < 200; ++i) {
    sent += client.send_some(std::span(many).subspan(sent));
    world.loop.context().restart();
    world.loop.context().poll();
  }
  EXPECT_LT(sent, 3 * mebibyte);

  // And then all of it arrives.
  allowed = ~std::size_t{0};
  go.notify();
  client.send(std::span(many).subspan(sent));
  for (int i = 40; i < 400; ++i) client.send(packet);
  client.send(stream_header(Status::ok));
  EXPECT_EQ(client.receive()->header.status, Status::ok);
  EXPECT_EQ(got, 400 * max_chunk);
}

TEST_F(StreamTest, AStalledStreamsClientCanStillBeSeenToLeave) {
  core::Signal never(world.loop.context());
  TestClient client = opened([&](std::shared_ptr<Stream> stream) -> core::Task<void> {
    while (stream->open()) co_await core::sleep(std::chrono::milliseconds(5));
  });
  Bytes data;
  for (int i = 0; i < 40; ++i) {
    const std::size_t start = data.size();
    open_packet(data, stream_header(Status::proceed));
    data.resize(data.size() + max_chunk);
    close_packet(data, start);
  }
  std::size_t sent = 0;
  for (int i = 0; i < 100; ++i) {
    sent += client.send_some(std::span(data).subspan(sent));
    testing::run_until(world.loop, [] { return true; });
    world.loop.context().poll();
  }
  client.hang_up();
  EXPECT_TRUE(ended());
  EXPECT_TRUE(testing::run_until(world.loop, [&] { return world.closings == 1; }));
}

TEST_F(StreamTest, TheClientsAbortIsConfirmedAndThrowsTheReaderOut) {
  TestClient client = opened([](std::shared_ptr<Stream> stream) -> core::Task<void> { co_await stream->read(); });
  client.send(stream_header(Status::error));
  const auto confirmation = client.receive();
  EXPECT_EQ(confirmation->header.type, Type::stream);
  EXPECT_EQ(confirmation->header.status, Status::ok);
  EXPECT_TRUE(ended());
  EXPECT_EQ(ended_with, "operation aborted: stream aborted at client request");
  client.send_data(stream_header(Status::proceed), Bytes(100));  // what was under way is no fault
  EXPECT_TRUE(client.silent());
}

TEST_F(StreamTest, TheServersAbortReachesTheClientAndItsOwnReader) {
  std::shared_ptr<Stream> kept;
  TestClient client = opened([&](std::shared_ptr<Stream> stream) -> core::Task<void> {
    kept = stream;
    co_await stream->read();
  });
  testing::run_all(world.loop);
  kept->abort(core::Error(core::ErrorCode::system_error, "Input/output error"));
  const auto error = client.receive();
  EXPECT_EQ(error->header.type, Type::stream);
  EXPECT_EQ(error->header.status, Status::error);
  EXPECT_EQ(error->error().message, "Input/output error");
  EXPECT_TRUE(ended());
  EXPECT_EQ(ended_with, "operation aborted: Input/output error");
}

TEST_F(StreamTest, AStreamThatIsDroppedIsAborted) {
  TestClient client =
      opened([](std::shared_ptr<Stream>) -> core::Task<void> { co_await core::sleep(std::chrono::milliseconds(20)); });
  const auto error = client.receive();
  EXPECT_EQ(error->header.status, Status::error);
  EXPECT_EQ(error->error().message, "stream had unexpected termination");
}

TEST_F(StreamTest, AWriterIsThrownOutWhenTheClientFinishes) {
  TestClient client = opened([](std::shared_ptr<Stream> stream) -> core::Task<void> {
    const Bytes piece(64 * 1024);
    try {
      for (;;) co_await stream->write(piece);
    } catch (const core::Error&) {
    }
    co_await stream->finish();
  });
  client.send(stream_header(Status::ok));
  for (;;) {
    const auto packet = client.receive();
    ASSERT_TRUE(packet);
    if (packet->header.status == Status::ok) break;
  }
  EXPECT_TRUE(ended());
  EXPECT_EQ(ended_with, "well");
}

TEST_F(StreamTest, AfterItsEndOfDataTheServerStillReads) {
  std::string got;
  bool was_open = true;
  TestClient client = opened([&](std::shared_ptr<Stream> stream) -> core::Task<void> {
    co_await stream->end_of_data();
    was_open = stream->open();
    while (const auto chunk = co_await stream->read()) {
      const auto& bytes = std::get<Bytes>(*chunk);
      got.append(bytes.begin(), bytes.end());
    }
    co_await stream->finish();
    co_await stream->ended();
  });
  const auto end = client.receive();
  EXPECT_EQ(end->header.status, Status::proceed);
  EXPECT_TRUE(end->payload.empty());
  client.send_data(stream_header(Status::proceed), Bytes{'l', 'a', 't', 'e'});
  client.send(stream_header(Status::ok));
  EXPECT_EQ(client.receive()->header.status, Status::ok);
  EXPECT_TRUE(client.silent());
  EXPECT_TRUE(ended());
  EXPECT_EQ(ended_with, "well");
  EXPECT_EQ(got, "late");
  EXPECT_FALSE(was_open);
}

TEST_F(StreamTest, FinishDiscardsWhatTheClientStillSends) {
  TestClient client = opened([](std::shared_ptr<Stream> stream) -> core::Task<void> { co_await stream->finish(); });
  EXPECT_EQ(client.receive()->header.status, Status::proceed);
  for (int i = 0; i < 20; ++i) client.send_data(stream_header(Status::proceed), Bytes(max_chunk));
  client.send(stream_header(Status::ok));
  EXPECT_EQ(client.receive()->header.status, Status::ok);
}

TEST_F(StreamTest, AbuseEndsTheStreamAndNotTheDaemon) {
  const auto reading = [](std::shared_ptr<Stream> stream) -> core::Task<void> {
    while (co_await stream->read()) {
    }
  };
  {
    TestClient client = opened(reading);
    client.send(stream_header(Status::proceed, Type::stream_hole), StreamHole{-5, 0});
    EXPECT_EQ(client.receive()->header.status, Status::error);
  }
  {
    TestClient client = opened(reading);
    client.send(stream_header(static_cast<Status>(9)));
    EXPECT_EQ(client.receive()->error().message, "stream aborted with unexpected status 9");
  }
  {
    TestClient client = opened(reading);
    client.send(stream_header(Status::proceed, Type::stream_hole), std::uint32_t{1});  // half a hole
    EXPECT_TRUE(client.closed());
  }
  {
    TestClient client = opened(reading);
    client.send(call_header(open, serial));  // the serial of a stream that is open
    EXPECT_EQ(client.receive()->header.status, Status::error);
  }
}

TEST_F(StreamTest, ManyTinyChunksAreBoundedToo) {
  TestClient client = opened([](std::shared_ptr<Stream> stream) -> core::Task<void> {
    while (stream->open()) co_await core::sleep(std::chrono::milliseconds(5));
  });
  Bytes one;
  open_packet(one, stream_header(Status::proceed));
  one.push_back('x');
  close_packet(one, 0);
  Bytes many;
  for (int i = 0; i < 200'000; ++i) many.insert(many.end(), one.begin(), one.end());
  std::size_t sent = 0;
  for (int i = 0; i < 200; ++i) {
    sent += client.send_some(std::span(many).subspan(sent));
    testing::run_until(world.loop, [] { return true; });
    world.loop.context().poll();
  }
  EXPECT_LT(sent, 2 * mebibyte);
}

TEST_F(StreamTest, AClientHasSoManyStreamsAndNoMore) {
  body = [](std::shared_ptr<Stream> stream) -> core::Task<void> { co_await stream->read(); };
  TestClient client = world.connect();
  for (std::uint32_t i = 0; i < Connection::max_streams; ++i) {
    client.send(call_header(open, 100 + i));
    EXPECT_EQ(client.receive()->header.status, Status::ok);
  }
  client.send(call_header(open, 1));
  EXPECT_EQ(client.receive()->error().message, "operation failed: too many streams are open");
}

TEST_F(StreamTest, NothingPrecedesTheCallsReply) {
  World eager([&](Connection& connection, Call& call) {
    eager_world->loop.spawn(run([](std::shared_ptr<Stream> stream) { return send_all(stream, mebibyte); },
                                connection.open_stream(call.header), &ended_with));
    eager_world->loop.spawn(answer_later(connection.shared_from_this(), call.header));
  });
  eager_world = &eager;
  TestClient client = eager.connect();
  client.send(call_header(open, serial));
  EXPECT_EQ(client.receive()->header.type, Type::reply);
  EXPECT_EQ(client.receive()->header.type, Type::stream);
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

}  // namespace
}  // namespace rpc
