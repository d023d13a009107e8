#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "driver/rpc/server.h"
#include "driver/rpc/stream.h"

/// For tests: the other end of a connection, and the loop they share. Everything runs in the test's own thread: waiting
/// for something is running the loop until it is there.
namespace rpc::testing {

inline constexpr std::uint32_t program = 0x1234;
inline constexpr std::uint32_t version = 1;

inline Header call_header(std::int32_t procedure, std::uint32_t serial, Type type = Type::call,
                          Status status = Status::ok) {
  return {program, version, procedure, type, serial, status};
}

struct Packet {
  Header header;
  Bytes payload;

  RemoteError error() const { return decode<RemoteError>(payload); }
};

/// Runs the loop until `done`, at most as long as a loaded machine may take.
inline bool run_until(core::Loop& loop, const std::function<bool()>& done,
                      std::chrono::milliseconds most = std::chrono::seconds(20)) {
  const auto end = std::chrono::steady_clock::now() + most;
  loop.context().restart();
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    if (loop.context().poll() == 0) loop.context().run_one_for(std::chrono::milliseconds(5));
    loop.context().restart();
  }
  return true;
}

/// Runs what the loop has to do now.
inline void run_all(core::Loop& loop) {
  loop.context().restart();
  while (loop.context().run_one_for(std::chrono::milliseconds(20)) > 0) loop.context().restart();
}

class TestClient {
 public:
  TestClient(core::Loop& loop, base::UniqueFd fd) : loop_(loop), fd_(std::move(fd)) {
    ::fcntl(fd_.get(), F_SETFL, O_NONBLOCK);
  }

  int fd() const { return fd_.get(); }
  void hang_up() { fd_.reset(); }

  /// Sends as much as the socket takes while nobody reads; says how much.
  std::size_t send_some(std::span<const std::uint8_t> bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t count = ::send(fd_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count < 0) break;
      sent += static_cast<std::size_t>(count);
    }
    return sent;
  }
  void send(std::span<const std::uint8_t> bytes) {
    run_until(loop_, [&] {
      bytes = bytes.subspan(send_some(bytes));
      return bytes.empty();
    });
    if (!bytes.empty()) throw std::runtime_error("the server does not read");
  }
  template <class T = Void>
  void send(const Header& header, const T& payload = {}) {
    Bytes out;
    put_packet(out, header, payload);
    send(out);
  }
  void send_data(const Header& header, std::span<const std::uint8_t> data) {
    Bytes out;
    open_packet(out, header);
    out.insert(out.end(), data.begin(), data.end());
    close_packet(out, 0);
    send(out);
  }
  void send_with_fd(std::span<const std::uint8_t> bytes, int fd) {
    iovec part{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
  }

  /// The next packet; nothing once the server has closed.
  std::optional<Packet> receive(std::chrono::milliseconds most = std::chrono::seconds(20)) {
    std::optional<Packet> packet;
    const bool in_time = run_until(loop_, [&] { return (packet = take()) || at_end_; }, most);
    if (!in_time) throw std::runtime_error("no packet came");
    return packet;
  }
  /// Whether nothing comes for a while.
  bool silent() {
    run_all(loop_);
    fill();
    return in_.empty() && !at_end_;
  }
  bool closed() {
    return run_until(loop_, [&] {
      fill();
      return at_end_;
    });
  }

 private:
  void fill() {
    std::array<std::uint8_t, 65536> buffer;
    for (int i = 0; i < 4; ++i) {
      const ssize_t count = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (count == 0 || (count < 0 && errno != EAGAIN)) at_end_ = true;
      if (count <= 0) return;
      in_.insert(in_.end(), buffer.begin(), buffer.begin() + count);
    }
  }
  std::optional<Packet> take() {
    if (!whole()) fill();
    if (!whole()) return {};
    const std::size_t length = packet_length(std::span(in_).first<length_size>());
    Packet packet{decode<Header>(std::span(in_).subspan(length_size, header_size)),
                  Bytes(in_.begin() + length_size + header_size, in_.begin() + static_cast<std::ptrdiff_t>(length))};
    in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(length));
    return packet;
  }
  bool whole() const {
    return in_.size() >= length_size && in_.size() >= packet_length(std::span(in_).first<length_size>());
  }

  core::Loop& loop_;
  base::UniqueFd fd_;
  Bytes in_;
  bool at_end_ = false;
};

/// A session of functions.
struct TestSession : Session {
  using Serve = std::function<void(Connection&, Call&)>;
  TestSession(Connection& of, Serve with, int& closed_calls)
      : connection(of), serve_with(with), closings(closed_calls) {}
  void serve(Call& call) override { serve_with(connection, call); }
  void closed() override { ++closings; }

  Connection& connection;
  Serve serve_with;
  int& closings;
};

/// A server whose sessions all do the same, and clients of it over socket pairs.
struct World {
  explicit World(TestSession::Serve serve_calls, Limits with = {})
      : limits(with), server(loop, limits, [this, serve_calls](Connection& connection) {
          connections.push_back(&connection);
          return std::make_unique<TestSession>(connection, serve_calls, closings);
        }) {}

  TestClient connect(bool readonly = false) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) throw std::runtime_error("socketpair");
    Peer peer;
    peer.local = true;
    server.serve(base::UniqueFd(pair[0]), peer, readonly);
    return {loop, base::UniqueFd(pair[1])};
  }

  Limits limits;
  core::Loop loop{1};
  int closings = 0;
  std::vector<Connection*> connections;  ///< those ever made; some are gone
  Server server;
};

}  // namespace rpc::testing
