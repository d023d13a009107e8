#pragma once

#include <cstdint>

#include "driver/rpc/packet.h"

/// libvirt's keepalive protocol: a program of its own whose two messages have no payload
/// (src/rpc/virkeepaliveprotocol.x).
namespace rpc::keepalive {

inline constexpr std::uint32_t program = 0x6b656570;
inline constexpr std::uint32_t version = 1;
inline constexpr std::int32_t ping = 1;
inline constexpr std::int32_t pong = 2;

inline Header message(std::int32_t procedure) {
  return {program, version, procedure, Type::message, 0, Status::ok};
}

inline bool is_message(const Header& header) {
  return header.program == program && header.version == version && header.type == Type::message;
}

/// Counts the intervals in which a peer was silent: after `count` unanswered pings it is dead.
class Watch {
 public:
  enum class Action { nothing, ping, dead };

  explicit Watch(unsigned count) : count_(count) {}

  void heard() { heard_ = true; }
  /// What to do at the end of an interval.
  Action interval_over() {
    if (heard_) {
      heard_ = false;
      pings_ = 0;
      return Action::nothing;
    }
    if (pings_ >= count_) return Action::dead;
    ++pings_;
    return Action::ping;
  }

 private:
  unsigned count_;
  unsigned pings_ = 0;
  bool heard_ = false;
};

}  // namespace rpc::keepalive
