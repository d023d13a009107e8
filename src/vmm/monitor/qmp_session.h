#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "qmp/message.h"
#include "vmm/monitor/commands.h"

namespace monitor {

/// One QMP server (qemu.org, interop/qmp-spec): bytes in, greeting, replies and events out, for one peer at a time.
/// Whatever comes in, it answers and goes on: what is no JSON object gets one refusal, up to the end of its line or the
/// next object. One that is too long or too deep is skipped over all its lines, up to its end or a byte that no JSON
/// has there.
class QmpSession {
 public:
  static constexpr std::size_t longest_request = 65536;  ///< bytes; the driver's are below one thousand
  static constexpr std::size_t enough = 65536;           ///< bytes of output, with which no more requests are read
  static constexpr std::size_t most_output = 1 << 20;    ///< bytes for a peer that does not read; then it is hung up

  struct Peer {
    std::function<std::size_t(std::span<const std::uint8_t>)> write;  ///< fewer than given: the rest after writable()
    std::function<void()> hang_up;
  };
  QmpSession(MachineControl& machine, Peer peer) : machine_(machine), peer_(std::move(peer)) {}

  /// A peer came, or went.
  void connected(bool there);
  /// How many bytes take() takes.
  std::size_t room() const { return longest_request - input_.size(); }
  /// Bytes and the descriptors that came with them.
  void take(std::span<const std::uint8_t> bytes, std::vector<base::UniqueFd> descriptors);
  void writable();
  /// Told at once, but not before the client has begun (Client), and one that a command caused comes after its reply.
  /// To a peer that has `enough` to read, what a guest repeats is told once.
  void tell(const Event& event);

 private:
  void read_requests();
  bool skip(char byte);
  void execute(std::string_view request);
  void refuse(const std::string& why);
  void hold(const std::string& event);
  void send(const std::string& text);
  void flush();
  void forget();

  MachineControl& machine_;
  Peer peer_;
  Client client_;
  std::string input_, output_;
  std::string held_;                     ///< events that wait; of more than `enough` bytes the first ones go
  std::optional<Event> last_told_;       ///< what output_ ends with, where that is an event
  std::size_t begin_ = 0, scanned_ = 0;  ///< of the request under way in input_
  std::uint64_t gone_ = 0;               ///< bytes of the peer's before input_
  qmp::Scanner scanner_;
  enum class Skip { nothing, to_object, to_end } skip_ = Skip::nothing;
  bool connected_ = false, busy_ = false;
};

}  // namespace monitor
