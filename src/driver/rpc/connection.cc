#include "driver/rpc/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "driver/rpc/stream.h"

namespace rpc {
namespace {

using core::asio::posix::descriptor_base;

constexpr std::size_t read_size = 64 * 1024;

/// Where all connections read into first; what is not a whole packet is then copied to the connection's own buffer, so
/// that one which is quiet holds none.
Bytes& scratch() {
  static thread_local Bytes buffer(read_size);
  return buffer;
}

core::Error rpc_error(std::string detail) {
  return {core::ErrorCode::rpc, std::move(detail), core::ErrorDomain::rpc};
}

/// Forgets the first `count` bytes, and the memory where a large buffer has become empty.
void drop_front(Bytes& bytes, std::size_t count) {
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
  if (bytes.empty() && bytes.capacity() >= read_size) Bytes().swap(bytes);
}

}  // namespace

Connection::Connection(core::Loop& loop, std::shared_ptr<Users> users, base::UniqueFd socket, Peer peer, bool readonly,
                       const Limits& limits)
    : loop_(loop),
      socket_(loop.context(), socket.release()),
      interval_(loop.context()),
      peer_(std::move(peer)),
      limits_(limits),
      readonly_(readonly),
      watch_(limits.keepalive_count),
      account_(std::move(users), {peer_.uid, readonly}, [this] { close(); }) {
  socket_.native_non_blocking(true);
}

Connection::~Connection() = default;

void Connection::start(std::unique_ptr<Session> session, std::function<void()> ended) {
  session_ = std::move(session);
  ended_ = std::move(ended);
  wait_readable();
}

void Connection::reply_error(const Header& call, const core::Error& error) {
  Header header = call;
  header.type = Type::reply;
  header.status = Status::error;
  send(header, to_remote(error));
}

void Connection::established(const Header& call) {
  for (Stream* stream : streams_) {
    if (stream->belongs_to(call)) stream->established();
  }
}

std::shared_ptr<Stream> Connection::open_stream(const Header& call) {
  if (streams_.size() >= max_streams) {
    throw core::Error(core::ErrorCode::operation_failed, "too many streams are open", core::ErrorDomain::streams);
  }
  for (const Stream* stream : streams_) {
    if (stream->belongs_to(call)) {
      throw rpc_error("serial " + std::to_string(call.serial) + " is that of an open stream");
    }
  }
  auto stream = std::make_shared<Stream>(shared_from_this(), call);
  streams_.push_back(stream.get());
  return stream;
}

void Connection::close() {
  if (closed_) return;
  closed_ = true;
  const auto self = shared_from_this();
  boost::system::error_code ignored;
  socket_.close(ignored);
  interval_.cancel();
  Bytes().swap(in_);
  Bytes().swap(out_);
  sent_ = 0;
  fds_.clear();
  count();
  account_.closed();
  for (Stream* stream : std::vector(streams_)) stream->connection_closed();
  // Later, so that neither the session nor the server sees a connection vanish inside a call of its own.
  core::asio::post(loop_.context(), [self] {
    if (self->session_) self->session_->closed();
    if (self->ended_) std::exchange(self->ended_, nullptr)();
  });
}

void Connection::close_when_sent() {
  closing_ = true;
  core::asio::post(loop_.context(), [self = shared_from_this()] { self->flush(); });
}

// --- what comes in

void Connection::wait_readable() {
  if (closed_ || closing_ || waiting_readable_ || stalled_ || in_turn_) return;
  waiting_readable_ = true;
  socket_.async_wait(descriptor_base::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
    self->waiting_readable_ = false;
    if (!error && !self->closed_) self->on_readable();
  });
}

/// A client that is not read from can still be seen to leave.
void Connection::wait_hangup() {
  if (closed_ || waiting_hangup_) return;
  waiting_hangup_ = true;
  socket_.async_wait(descriptor_base::wait_error, [self = shared_from_this()](const boost::system::error_code& error) {
    self->waiting_hangup_ = false;
    if (error || self->closed_) return;
    pollfd state{self->socket_.native_handle(), 0, 0};
    if (::poll(&state, 1, 0) > 0) self->close();
  });
}

void Connection::on_readable() {
  const bool crowded = account_.crowded();
  Bytes& buffer = scratch();
  const auto bytes = std::span<const std::uint8_t>(buffer).first(receive(buffer));
  if (in_.empty() && !crowded) {
    // Straight from the shared buffer: whole packets are never copied.
    const auto rest = bytes.subspan(cut(bytes));
    if (!closed_) in_.assign(rest.begin(), rest.end());
  } else {
    if (closed_) return;
    in_.insert(in_.end(), bytes.begin(), bytes.end());
    if (crowded) {
      await_turn();
    } else {
      cut_own();
    }
  }
  if (in_.empty()) fds_.clear();  // came with no packet that wants them
  flush();
  wait_readable();
}

std::size_t Connection::receive(std::span<std::uint8_t> into) {
  iovec part{into.data(), into.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(max_fds * sizeof(int))> control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  // No call that a read-only client may make takes descriptors: the kernel closes what it sends.
  message.msg_control = readonly_ ? nullptr : control.data();
  message.msg_controllen = readonly_ ? 0 : control.size();
  const ssize_t count = ::recvmsg(socket_.native_handle(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (count <= 0) {
    close();
    return 0;
  }
  take_fds(message);
  if (keepalive_) watch_.heard();
  return static_cast<std::size_t>(count);
}

void Connection::take_fds(msghdr& message) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
      fds_.emplace_back(fd);
    }
  }
  if (fds_.size() > max_fds) close();
}

/// Goes on after a stall, where there may be room now.
void Connection::resume() {
  if (!stalled_ || cutting_ || closed_) return;
  stalled_ = false;
  if (account_.crowded()) return await_turn();
  cut_own();
  flush();
  wait_readable();
}

/// Goes on with what has come when it is this client's turn.
void Connection::await_turn() {
  in_turn_ = true;
  account_.await_turn([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->closed_) return;
    self->in_turn_ = false;
    self->cut_own();
    self->flush();
    self->wait_readable();
  });
}

void Connection::cut_own() {
  const std::size_t used = cut(in_);
  if (!closed_) drop_front(in_, used);
}

/// Serves the whole packets at the front of `bytes`, as many as make a turn; says how many bytes they were.
std::size_t Connection::cut(std::span<const std::uint8_t> bytes) {
  const auto begin = Clock::now();
  std::size_t used = 0;
  cutting_ = true;
  try {
    while (!closed_ && !closing_ && bytes.size() - used >= length_size) {
      const auto rest = bytes.subspan(used);
      const std::size_t length = packet_length(rest.first<length_size>(), readonly_ ? max_readonly_packet : max_packet);
      if (rest.size() < length) break;
      if (used > 0 && Clock::now() - begin > Users::turn_length) {
        await_turn();
        break;
      }
      auto payload = rest.first(length).subspan(length_size + header_size);
      const auto header = decode<Header>(rest.subspan(length_size, header_size));
      std::size_t fd_count = 0;
      if (header.type == Type::call_with_fds) {
        // The payload begins with their number; each then follows the packet with a byte of its own.
        if (payload.size() < sizeof(std::uint32_t)) throw rpc_error("Unable to decode number of FDs");
        fd_count = Decoder(payload).word();
        if (fd_count > max_fds) throw rpc_error("Received too many FDs");
        if (rest.size() < length + fd_count) break;
        if (fds_.size() < fd_count) throw rpc_error("descriptors are missing");
        payload = payload.subspan(sizeof(std::uint32_t));
      }
      if (!handle(header, payload, fd_count)) {
        stalled_ = true;
        wait_hangup();
        break;
      }
      used += length + fd_count;
    }
  } catch (const core::Error&) {
    close();  // nobody knows where the next packet begins
  }
  cutting_ = false;
  account_.spent(Clock::now() - begin);
  return used;
}

/// False where the packet has to wait.
bool Connection::handle(const Header& header, std::span<const std::uint8_t> payload, std::size_t fd_count) {
  if (keepalive::is_message(header)) {
    if (pending() > calls_wait_above) return false;
    if (header.procedure == keepalive::ping) send(keepalive::message(keepalive::pong), Void{});
    return true;
  }
  switch (header.type) {
    case Type::call:
    case Type::call_with_fds: return handle_call(header, payload, fd_count);
    case Type::stream:
    case Type::stream_hole:
      for (Stream* stream : streams_) {
        if (stream->belongs_to(header)) return stream->receive(header, payload);
      }
      return true;         // what was under way when the stream ended
    default: return true;  // libvirt answers calls alone
  }
}

bool Connection::handle_call(const Header& header, std::span<const std::uint8_t> payload, std::size_t fd_count) {
  if (running_ >= limits_.max_client_requests || pending() > calls_wait_above) return false;
  Call call{header, payload, {}};
  const auto taken = fds_.begin() + static_cast<std::ptrdiff_t>(fd_count);
  call.fds.assign(std::move_iterator(fds_.begin()), std::move_iterator(taken));
  fds_.erase(fds_.begin(), taken);
  call.header.type = Type::call;
  try {
    if (header.status != Status::ok) {
      throw rpc_error("Unexpected message status " + std::to_string(static_cast<std::uint32_t>(header.status)));
    }
    session_->serve(call);
  } catch (const core::Error& error) {
    reply_error(call.header, error);
  } catch (const std::exception& error) {
    reply_error(call.header, core::Error(core::ErrorCode::internal_error, error.what()));
  }
  return true;
}

Connection::Running::Running(std::shared_ptr<Connection> connection, std::size_t bytes)
    : connection_(std::move(connection)), bytes_(bytes) {
  ++connection_->running_;
  connection_->held_ += bytes_;
  connection_->count();
}

Connection::Running::~Running() {
  if (!connection_) return;
  --connection_->running_;
  connection_->held_ -= bytes_;
  connection_->count();
  connection_->resume();
}

// --- what goes out

void Connection::send_raw(const Header& header, std::span<const std::uint8_t> data) {
  if (closed_) return;
  const std::size_t start = out_.size();
  open_packet(out_, header);
  out_.insert(out_.end(), data.begin(), data.end());  // a stream's bytes are not padded
  close_packet(out_, start);
  if (!cutting_) flush();
}

void Connection::flush() {
  write_out();
  count();
}

/// Tells what the daemon holds for this client.
void Connection::count() {
  account_.holds(in_.capacity() + out_.size() + held_);
}

void Connection::write_out() {
  if (closed_ || waiting_writable_) return;
  const std::size_t before = pending();
  while (sent_ < out_.size()) {
    const ssize_t count =
        ::send(socket_.native_handle(), out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    if (count < 0) return close();
    sent_ += static_cast<std::size_t>(count);
  }
  if (sent_ < out_.size()) {
    if (sent_ > out_.size() / 2) drop_front(out_, std::exchange(sent_, 0));
    wait_writable();
  } else if (closing_) {
    return close();
  } else {
    sent_ = 0;
    out_.clear();
    if (out_.capacity() > read_size) Bytes().swap(out_);
  }
  if (pending() < before && pending() <= streams_wait_above) drained();
}

/// There is room in the queue: whoever waited for it may go on.
void Connection::drained() {
  event_bytes_ = 0;
  for (Stream* stream : streams_) stream->connection_drained();
  if (stalled_ && !cutting_) core::asio::post(loop_.context(), [self = shared_from_this()] { self->resume(); });
}

void Connection::wait_writable() {
  waiting_writable_ = true;
  socket_.async_wait(descriptor_base::wait_write, [self = shared_from_this()](const boost::system::error_code& error) {
    self->waiting_writable_ = false;
    if (!error) self->flush();
  });
}

core::Task<void> Connection::Turn::next() {
  connection_.account_.spent(Clock::now() - since_);
  const auto come = std::make_shared<core::Signal>(connection_.loop_.context());
  connection_.account_.await_turn([come] { come->notify(); });
  co_await come->wait();
  if (connection_.closed_) throw core::Error(core::ErrorCode::operation_aborted, "the client is gone");
  restart();
}

// --- is it alive?

void Connection::start_keepalive() {
  if (keepalive_ || limits_.keepalive_interval <= 0) return;
  keepalive_ = true;
  wait_interval();
}

void Connection::wait_interval() {
  interval_.expires_after(std::chrono::seconds(limits_.keepalive_interval));
  interval_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (error || !self || self->closed_) return;
    // While nothing is read from it, its silence says nothing.
    if (self->stalled_ || self->in_turn_) self->watch_.heard();
    switch (self->watch_.interval_over()) {
      case keepalive::Watch::Action::nothing: break;
      case keepalive::Watch::Action::ping: self->send(keepalive::message(keepalive::ping), Void{}); break;
      case keepalive::Watch::Action::dead: return self->close();
    }
    self->wait_interval();
  });
}

}  // namespace rpc
