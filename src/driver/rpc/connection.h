#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "driver/core/loop.h"
#include "driver/rpc/keepalive.h"
#include "driver/rpc/packet.h"
#include "driver/rpc/users.h"

namespace rpc {

class Connection;
class Stream;

/// libvirtd.conf's limits, by its names. max_workers, max_requests and max_anonymous_clients are read and have no
/// meaning here: one thread serves all, libvirt 9 does not enforce the second, and every client is authenticated by its
/// socket.
struct Limits {
  unsigned max_clients = 5000;
  unsigned max_queued_clients = 1000;
  unsigned max_anonymous_clients = 20;
  unsigned max_workers = 20;
  unsigned max_requests = 20;
  unsigned max_client_requests = 5;
  int keepalive_interval = 5;  ///< seconds; 0 and below: never ask
  unsigned keepalive_count = 5;
};

/// Who is at the other end. A UNIX socket's peer has pid, uid and gid as the kernel knew them at connect().
struct Peer {
  bool local = false;
  pid_t pid = 0;
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
  std::string address;  ///< "host;port" of a TCP peer, as libvirt writes it
};

/// One call as it came. `payload` is gone when serve() returns.
struct Call {
  Header header;
  std::span<const std::uint8_t> payload;
  std::vector<base::UniqueFd> fds;
};

/// A client as the owner of the server sees it: made at accept, ended by closed(), destroyed after its last call ended.
class Session {
 public:
  virtual ~Session() = default;
  /// Answers the call with Connection::reply, now or later (holding a Connection::Running meanwhile). What is thrown
  /// becomes the error reply.
  virtual void serve(Call& call) = 0;
  /// The client is gone. Called from the loop, never from inside a call of Connection.
  virtual void closed() {}
};

/// One client: cuts packets out of what it sends and queues what goes back. What it can make the daemon hold is
/// bounded: one packet, max_client_requests calls in progress, a queue of output beyond which nothing more is read from
/// it. What it sends is served in turns with what others send (Users).
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  /// Output beyond which calls wait, streams wait, and a client that is sent events is closed.
  static constexpr std::size_t calls_wait_above = 1024 * 1024;
  static constexpr std::size_t streams_wait_above = 512 * 1024;
  static constexpr std::size_t events_end_above = 8 * 1024 * 1024;
  /// The largest packet taken from a read-only client, who may be anybody.
  static constexpr std::size_t max_readonly_packet = 1024 * 1024;
  static constexpr std::size_t max_streams = 64;
  using Clock = std::chrono::steady_clock;

  Connection(core::Loop& loop, std::shared_ptr<Users> users, base::UniqueFd socket, Peer peer, bool readonly,
             const Limits& limits);
  ~Connection();

  core::Loop& loop() { return loop_; }
  const Peer& peer() const { return peer_; }
  bool readonly() const { return readonly_; }
  /// False where an authentication stands out. A server without authentication never makes such a connection.
  bool authenticated() const { return authenticated_; }
  void set_authenticated(bool authenticated) { authenticated_ = authenticated; }
  bool closed() const { return closed_; }
  Users::Account& account() { return account_; }

  /// Begins to serve. `ended` is called once from the loop when the connection is closed.
  void start(std::unique_ptr<Session> session, std::function<void()> ended);
  /// `ended` is not to be called any more.
  void forget_owner() { ended_ = nullptr; }

  template <class T>
  void reply(const Header& call, T&& result) {
    Header header = call;
    header.type = Type::reply;
    header.status = Status::ok;
    send(header, std::forward<T>(result));
    established(call);
  }
  void reply_error(const Header& call, const core::Error& error);

  /// Sends an event: a message that no call asked for. A client that lets too many of them queue up is closed.
  template <class T>
  void send_event(std::uint32_t program, std::uint32_t version, std::int32_t procedure, const T& event) {
    const std::size_t before = out_.size();
    send(Header{program, version, procedure, Type::message, 0, Status::ok}, event);
    if (pending() == 0) return;
    event_bytes_ += out_.size() - std::min(before, out_.size());
    if (std::min(event_bytes_, pending()) > events_end_above) close();
  }

  /// The stream of a call, to be opened before its reply. Throws where the serial is taken or there are too many.
  std::shared_ptr<Stream> open_stream(const Header& call);

  /// From now on the client is asked whether it is alive (it said that it knows the protocol), and closed if it is not.
  void start_keepalive();

  /// Closes now, or once the reply to the call in hand, and all that is queued before it, has been sent.
  void close();
  void close_when_sent();

  /// What the daemon holds for the client besides its packets, in bytes, as long as it lives. The caller keeps the
  /// connection alive.
  class Held {
   public:
    explicit Held(Connection& connection) : connection_(connection) {}
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held() { set(0); }
    void set(std::size_t bytes) {
      connection_.held_ += bytes - bytes_;
      bytes_ = bytes;
      connection_.count();
    }

   private:
    Connection& connection_;
    std::size_t bytes_ = 0;
  };

  /// A part of a long call, which must leave others their turns: where it is over(), others have them during next(),
  /// which throws once the client is gone. The caller keeps the connection alive.
  class Turn {
   public:
    explicit Turn(Connection& connection) : connection_(connection) {}
    bool over() const { return Clock::now() - since_ > Users::turn_length; }
    core::Task<void> next();
    /// After something else was waited for.
    void restart() { since_ = Clock::now(); }

   private:
    Connection& connection_;
    Clock::time_point since_ = Clock::now();
  };

  /// A call in progress. While it exists it counts against max_client_requests, keeps connection and session alive, and
  /// holds `bytes`, its arguments.
  class Running {
   public:
    explicit Running(std::shared_ptr<Connection> connection, std::size_t bytes = 0);
    Running(Running&&) = default;
    Running& operator=(Running&&) = delete;
    ~Running();
    Connection& connection() { return *connection_; }

   private:
    std::shared_ptr<Connection> connection_;
    std::size_t bytes_;
  };

 private:
  friend class Stream;

  template <class T>
  void send(const Header& header, T&& payload) {
    if (closed_) return;
    put_packet(out_, header, std::forward<T>(payload));
    if (!cutting_) flush();
  }
  void send_raw(const Header& header, std::span<const std::uint8_t> data);
  std::size_t pending() const { return out_.size() - sent_; }

  void wait_readable();
  void wait_hangup();
  void on_readable();
  std::size_t receive(std::span<std::uint8_t> into);
  void take_fds(msghdr& message);
  void resume();
  void await_turn();
  void cut_own();
  std::size_t cut(std::span<const std::uint8_t> bytes);
  bool handle(const Header& header, std::span<const std::uint8_t> payload, std::size_t fd_count);
  bool handle_call(const Header& header, std::span<const std::uint8_t> payload, std::size_t fd_count);
  void established(const Header& call);
  void flush();
  void write_out();
  void drained();
  void wait_writable();
  void wait_interval();
  void count();

  core::Loop& loop_;
  core::asio::posix::stream_descriptor socket_;
  core::asio::steady_timer interval_;
  const Peer peer_;
  const Limits limits_;
  const bool readonly_;
  bool authenticated_ = true;
  bool closed_ = false;
  bool closing_ = false;  // to be closed when all is sent
  bool cutting_ = false;  // inside cut(): replies gather for one write
  bool waiting_readable_ = false;
  bool waiting_writable_ = false;
  bool waiting_hangup_ = false;
  bool stalled_ = false;  // the packet at the front of in_ waits for room
  bool in_turn_ = false;  // it waits for its turn
  bool keepalive_ = false;
  unsigned running_ = 0;
  std::size_t held_ = 0;  // for calls in progress and the session
  keepalive::Watch watch_;
  Bytes in_;  // what is not a whole packet yet
  Bytes out_;
  std::size_t sent_ = 0;         // of out_
  std::size_t event_bytes_ = 0;  // queued since there was room last
  std::vector<base::UniqueFd> fds_;
  std::vector<Stream*> streams_;
  Users::Account account_;
  std::unique_ptr<Session> session_;  // holds what account_ counts
  std::function<void()> ended_;
};

}  // namespace rpc
