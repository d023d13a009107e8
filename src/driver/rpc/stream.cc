#include "driver/rpc/stream.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace rpc {
namespace {

/// What keeping a chunk costs besides its bytes, so that many empty or tiny ones count too.
constexpr std::size_t chunk_cost = 64;

std::size_t cost(const Stream::Chunk& chunk) {
  const auto* bytes = std::get_if<Bytes>(&chunk);
  return chunk_cost + (bytes ? bytes->size() : 0);
}

core::Error stream_error(core::ErrorCode code, std::string detail) {
  return {code, std::move(detail), core::ErrorDomain::streams};
}

}  // namespace

Stream::Stream(std::shared_ptr<Connection> connection, const Header& call)
    : connection_(std::move(connection)),
      call_(call),
      arrived_(connection_->loop().context()),
      room_(connection_->loop().context()) {}

Stream::~Stream() {
  if (state_ == State::ended) return;
  if (established_) {
    abort(stream_error(core::ErrorCode::rpc, "stream had unexpected termination"));
  } else {
    end("");  // the call's own error reply says it
  }
}

bool Stream::belongs_to(const Header& header) const {
  return header.serial == call_.serial && header.procedure == call_.procedure && header.program == call_.program;
}

void Stream::established() {
  established_ = true;
  room_.notify();
  arrived_.notify();
}

void Stream::connection_closed() {
  end("the client is gone");
}

void Stream::end(std::string reason) {
  state_ = State::ended;
  reason_ = std::move(reason);
  unread_.clear();
  if (const auto connection = std::exchange(connection_, nullptr)) {
    std::erase(connection->streams_, this);
    connection->resume();
  }
  arrived_.notify();
  room_.notify();
}

void Stream::fail() const {
  throw stream_error(core::ErrorCode::operation_aborted, reason_);
}

void Stream::send(Type type, Status status, std::span<const std::uint8_t> payload) {
  const auto connection = connection_;
  Header header = call_;
  header.type = type;
  header.status = status;
  connection->send_raw(header, payload);
}

// --- what the client sends

bool Stream::receive(const Header& header, std::span<const std::uint8_t> payload) {
  const bool data = header.type == Type::stream_hole || header.status == Status::proceed;
  if (data) {
    if (discard_ || state_ != State::open) return true;
    if (unread_size_ >= max_unread) return false;
    Chunk chunk;
    if (header.type == Type::stream_hole) {
      const auto hole = decode<StreamHole>(payload);
      if (hole.length < 0) {
        abort(stream_error(core::ErrorCode::rpc, "stream hole of " + std::to_string(hole.length) + " bytes"));
        return true;
      }
      chunk = Hole{hole.length};
    } else {
      if (payload.empty()) return true;
      chunk = Bytes(payload.begin(), payload.end());
    }
    unread_size_ += cost(chunk);
    unread_.push_back(std::move(chunk));
  } else if (header.status == Status::ok) {
    if (state_ == State::open) state_ = State::client_finished;
    room_.notify();
  } else if (header.status == Status::error) {
    send(Type::stream, Status::ok, {});
    end("stream aborted at client request");
  } else {
    abort(stream_error(core::ErrorCode::rpc, "stream aborted with unexpected status " +
                                                 std::to_string(static_cast<std::uint32_t>(header.status))));
  }
  arrived_.notify();
  return true;
}

core::Task<std::optional<Stream::Chunk>> Stream::read() {
  while (unread_.empty()) {
    if (state_ == State::ended) fail();
    if (state_ == State::client_finished) co_return std::nullopt;
    co_await arrived_.wait();
  }
  Chunk chunk = std::move(unread_.front());
  unread_.pop_front();
  unread_size_ -= cost(chunk);
  if (unread_size_ < max_unread) connection_->resume();
  co_return chunk;
}

// --- what the client gets

core::Task<void> Stream::wait_for_room() {
  while (state_ == State::open && (!established_ || connection_->pending() > Connection::streams_wait_above)) {
    co_await room_.wait();
  }
  if (state_ == State::ended) fail();
  if (state_ == State::client_finished) {
    throw stream_error(core::ErrorCode::operation_aborted, "the client has finished the stream");
  }
}

core::Task<void> Stream::write(std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    co_await wait_for_room();
    const std::size_t size = std::min(bytes.size(), max_chunk);
    send(Type::stream, Status::proceed, bytes.first(size));
    bytes = bytes.subspan(size);
    // A client that reads as fast as it gets would otherwise keep the loop from everybody else.
    if (!bytes.empty()) co_await core::asio::post(co_await core::asio::this_coro::executor, core::asio::use_awaitable);
  }
}

core::Task<void> Stream::write_hole(std::int64_t length) {
  co_await wait_for_room();
  send(Type::stream_hole, Status::proceed, encode(StreamHole{length, 0}));
}

core::Task<void> Stream::end_of_data() {
  while (state_ != State::ended && !established_) co_await room_.wait();
  if (state_ == State::open && !std::exchange(no_more_, true)) send(Type::stream, Status::proceed, {});
}

core::Task<void> Stream::finish() {
  co_await end_of_data();
  if (state_ == State::open) {
    discard_ = true;
    unread_.clear();
    unread_size_ = 0;
    connection_->resume();
  }
  while (state_ == State::open) co_await arrived_.wait();
  if (state_ == State::ended) fail();
  send(Type::stream, Status::ok, {});
  end("the stream is finished");
}

core::Task<void> Stream::ended() {
  while (state_ != State::ended) co_await arrived_.wait();
}

void Stream::abort(const core::Error& error) {
  if (state_ == State::ended) return;
  const auto connection = connection_;
  Header header = call_;
  header.type = Type::stream;
  header.status = Status::error;
  connection->send(header, to_remote(error));
  end(error.detail());
}

}  // namespace rpc
