#pragma once

#include <boost/asio/local/stream_protocol.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "driver/core/error.h"
#include "driver/core/loop.h"
#include "driver/emulator/dialect.h"
#include "qmp/message.h"

namespace instance {

/// A QMP connection to one emulator. The peer is not trusted: a silent, slow or lying one costs its own domain a clear
/// error within the limit, and nobody else anything. One command is under way at a time, since the original StratoVirt
/// takes one object a read; others wait their turn.
class Monitor : public std::enable_shared_from_this<Monitor> {
 public:
  using OnEvent = std::function<void(const qmp::Event&)>;
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds command_limit{30};

  /// Connects to the socket `name` in `folder` and gets through the handshake. The socket may not be there yet: tried
  /// until `deadline` or until `gone` says that the emulator has ended. Throws Error: OPERATION_TIMEOUT,
  /// INTERNAL_ERROR.
  static core::Task<std::shared_ptr<Monitor>> connect(core::Loop& loop, std::string folder, std::string name,
                                                      Clock::time_point deadline, std::function<bool()> gone,
                                                      OnEvent on_event);
  ~Monitor() = default;

  /// Sends a command and waits for its reply's "return". Throws Error: INTERNAL_ERROR with the emulator's own words
  /// ("unable to execute QEMU command 'x': …", as libvirt), or when the connection broke; OPERATION_TIMEOUT.
  core::Task<emulator::Json> execute(emulator::Request request, std::chrono::milliseconds limit = command_limit);

  /// Hands a descriptor over, by which later commands name it (getfd). Throws Error: as execute().
  core::Task<void> give(std::string name, base::UniqueFd fd);

  /// A client's own command: the whole reply object, an error one too. The same limits.
  core::Task<std::string> pass_through(std::string text);

  bool broken() const { return broken_.has_value(); }
  /// Waits until it is.
  core::Task<void> closed();
  /// Ends the connection; commands under way fail.
  void close();

 private:
  using Socket = boost::asio::local::stream_protocol::socket;
  using Answer = std::variant<std::monostate, qmp::Reply, qmp::ErrorReply>;
  struct Turn;

  Monitor(Socket socket, OnEvent on_event);
  static core::Task<void> read_forever(std::shared_ptr<Monitor> self);
  core::Task<void> shake_hands(Clock::time_point deadline);
  core::Task<Answer> round(std::string command, emulator::Json arguments, std::chrono::milliseconds limit, int fd = -1);
  core::Task<Answer> ask(std::string command, emulator::Json arguments, Clock::time_point deadline, int fd);
  void check(const std::string& command, Clock::time_point deadline) const;
  void take(qmp::Message message);
  void fail(const std::string& why);
  void wake_next();

  Socket socket_;
  OnEvent on_event_;
  qmp::Decoder decoder_;
  std::uint64_t asked_ = 0;  ///< commands that were sent
  std::string last_id_;      ///< of the last of them
  bool busy_ = false;
  unsigned given_up_ = 0;              ///< commands nobody waits for any more whose replies have not come
  std::deque<core::Signal*> waiting_;  ///< for their turn
  core::Signal changed_;               ///< an answer came, or the connection broke
  core::Signal over_;                  ///< the connection broke
  Answer answer_;
  bool greeted_ = false;
  std::optional<std::string> broken_;  ///< why
};

}  // namespace instance
