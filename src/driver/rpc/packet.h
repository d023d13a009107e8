#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "driver/core/error.h"
#include "driver/rpc/xdr.h"

/// libvirt's packets: a length word that counts itself, a header of six words, a payload (libvirt
/// src/rpc/virnetprotocol.x).
namespace rpc {

inline constexpr std::size_t length_size = 4;
inline constexpr std::size_t header_size = 24;
/// The most that may follow the length word.
inline constexpr std::size_t max_packet = 32 * 1024 * 1024;
/// The most data of a stream that libvirt puts in one packet (VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX).
inline constexpr std::size_t max_chunk = 262120;
inline constexpr std::size_t max_fds = 32;

enum class Type : std::uint32_t {
  call = 0,
  reply = 1,
  message = 2,
  stream = 3,
  call_with_fds = 4,
  reply_with_fds = 5,
  stream_hole = 6,
};

/// `proceed` is libvirt's CONTINUE: a stream's packet with data.
enum class Status : std::uint32_t { ok = 0, error = 1, proceed = 2 };

struct Header {
  std::uint32_t program;
  std::uint32_t version;
  std::int32_t procedure;
  Type type;
  std::uint32_t serial;
  Status status;
};

struct ErrorDomainObject {
  String<> name;
  std::array<std::uint8_t, 16> uuid;
  std::int32_t id;
};

struct ErrorNetworkObject {
  String<> name;
  std::array<std::uint8_t, 16> uuid;
};

/// virNetMessageError. `level` is 2 for an error; libvirt 9 leaves `dom` and `net` empty.
struct RemoteError {
  std::int32_t code;
  std::int32_t domain;
  std::optional<String<>> message;
  std::int32_t level;
  std::optional<ErrorDomainObject> dom;
  std::optional<String<>> str1;
  std::optional<String<>> str2;
  std::optional<String<>> str3;
  std::int32_t int1;
  std::int32_t int2;
  std::optional<ErrorNetworkObject> net;
};

struct StreamHole {
  std::int64_t length;
  std::uint32_t flags;
};

/// What virReportError makes of the same code and detail. Text over what a packet can hold is cut.
RemoteError to_remote(const core::Error& error);

/// The length that a packet's first word announces, itself included; throws core::Error{rpc} where it is below a header
/// or above `max`.
std::size_t packet_length(std::span<const std::uint8_t, length_size> word, std::size_t max = max_packet);

/// Puts a length word and a header at the end of `out`; close_packet, given the size `out` had before, sets the length.
void open_packet(Bytes& out, const Header& header);
void close_packet(Bytes& out, std::size_t start);

/// Appends a whole packet. `out` is unchanged where `payload` is over a bound.
template <class T>
void put_packet(Bytes& out, const Header& header, T&& payload) {
  const std::size_t start = out.size();
  try {
    open_packet(out, header);
    Encoder(out).put(std::forward<T>(payload));
    close_packet(out, start);
  } catch (...) {
    out.resize(start);
    throw;
  }
}

}  // namespace rpc
