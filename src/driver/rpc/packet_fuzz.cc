#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "driver/rpc/test_client.h"

namespace {

using namespace rpc;

core::Task<void> echo_stream(std::shared_ptr<Stream> stream) {
  try {
    while (const auto chunk = co_await stream->read()) {
      if (const auto* bytes = std::get_if<Bytes>(&*chunk)) co_await stream->write(*bytes);
      if (const auto* hole = std::get_if<Stream::Hole>(&*chunk)) co_await stream->write_hole(hole->length);
    }
    co_await stream->finish();
  } catch (const core::Error&) {
  }
}

/// Even procedures answer with a string they were given, odd ones open a stream that sends back what it gets.
void serve(Connection& connection, Call& call) {
  if (call.header.procedure % 2 == 0) return connection.reply(call.header, decode<String<>>(call.payload));
  connection.loop().spawn(echo_stream(connection.open_stream(call.header)));
  connection.reply(call.header, Void{});
}

}  // namespace

// A client sends the bytes in pieces whose size the first one says; afterwards another client is still served.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  testing::World world(serve);
  testing::TestClient client = world.connect();
  const std::size_t piece = data[0] == 0 ? size : data[0];
  for (std::size_t at = 1; at < size; at += piece) {
    client.send_some({data + at, std::min(piece, size - at)});
    world.loop.context().restart();
    world.loop.context().poll();
  }
  testing::TestClient other = world.connect();
  other.send(testing::call_header(2, 1), String<>("alive"));
  const auto reply = other.receive();
  if (!reply || decode<String<>>(reply->payload) != "alive") std::abort();
  return 0;
}
