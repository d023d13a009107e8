#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include "driver/core/loop.h"
#include "driver/rpc/connection.h"

namespace rpc {

/// The server's end of a stream, which belongs to the call that opened it. Bytes go both ways, each way waiting for the
/// other end: write() while the client does not read, the client's connection while nobody calls read(). One coroutine
/// may read while another writes. A stream that goes away unfinished is aborted.
class Stream {
 public:
  struct Hole {
    std::int64_t length;  ///< bytes
  };
  using Chunk = std::variant<Bytes, Hole>;

  /// What may wait unread before the client's connection is read no further.
  static constexpr std::size_t max_unread = 512 * 1024;

  Stream(std::shared_ptr<Connection> connection, const Header& call);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();

  /// The next of what the client sent; nothing once it has finished. Throws OPERATION_ABORTED where the client aborted
  /// or is gone, or where abort() was called meanwhile.
  core::Task<std::optional<Chunk>> read();

  /// Sends bytes, or a hole of that many, once there is room. The bytes must stay until it returns. Throws as read()
  /// does, also where the client has finished and takes no more.
  core::Task<void> write(std::span<const std::uint8_t> bytes);
  core::Task<void> write_hole(std::int64_t length);

  /// Tells the client that no more comes; what it still sends can be read.
  core::Task<void> end_of_data();

  /// Ends the stream well: tells the client that no more comes, waits for it to finish, discarding what it still sends,
  /// and confirms. Throws as read() does.
  core::Task<void> finish();

  /// Ends the stream at once; the client gets the error. Whoever waits in read() or write() is thrown out.
  void abort(const core::Error& error);

  /// Returns once the stream has ended, in whichever way.
  core::Task<void> ended();

  /// Bytes go both ways: neither side has ended it or said that no more comes.
  bool open() const { return state_ == State::open && !no_more_; }

 private:
  friend class Connection;
  enum class State { open, client_finished, ended };

  bool belongs_to(const Header& header) const;
  /// Takes a packet of the client's; false while there is no room for it.
  bool receive(const Header& header, std::span<const std::uint8_t> payload);
  void established();
  void connection_closed();
  void connection_drained() { room_.notify(); }
  void end(std::string reason);
  void send(Type type, Status status, std::span<const std::uint8_t> payload);
  [[noreturn]] void fail() const;
  core::Task<void> wait_for_room();

  std::shared_ptr<Connection> connection_;
  Header call_;
  State state_ = State::open;
  bool established_ = false;  // the call was answered: from here on packets may follow
  bool no_more_ = false;      // the client was told that no more comes
  bool discard_ = false;      // what comes is no longer wanted
  std::string reason_;        // why it ended
  std::deque<Chunk> unread_;
  std::size_t unread_size_ = 0;
  core::Signal arrived_;
  core::Signal room_;
};

}  // namespace rpc
