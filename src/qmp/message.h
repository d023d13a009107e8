#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "qmp/scanner.h"

/// QEMU's machine protocol (qemu.org, interop/qmp-spec): JSON objects over a stream. Bytes in, values out; no sockets.
namespace qmp {

using Json = nlohmann::json;

/// {"QMP": {"version": {"qemu": {"major", "minor", "micro"}, "package"}, "capabilities"}}: the first thing a server
/// says.
struct Greeting {
  unsigned major = 0, minor = 0, micro = 0;
  std::string package;
};
/// {"return": …, "id": …}
struct Reply {
  Json value;
  std::optional<std::string> id;  ///< absent: the server left it out (StratoVirt does for qmp_capabilities)
  std::string text;               ///< the whole object, as the server wrote it
};
/// {"error": {"class", "desc"}, "id": …}
struct ErrorReply {
  std::string error_class;  ///< "GenericError", "CommandNotFound", "DeviceNotFound" …
  std::string description;
  std::optional<std::string> id;
  std::string text;  ///< as in Reply
};
/// {"event": …, "data": …, "timestamp": {"seconds", "microseconds"}}
struct Event {
  std::string name;
  Json data;                                   ///< an object, empty when the event has none
  std::int64_t seconds = 0, microseconds = 0;  ///< of the host's clock; -1: it could not be read
};
using Message = std::variant<Greeting, Reply, ErrorReply, Event>;

/// The JSON object that `text` is, such as a client hands over for the monitor. Throws ProtocolError.
Json parse_object(std::string_view text);
/// The same of QEMU's JSON, whose strings may be in single quotes and have \' in them.
Json parse_request(std::string_view text);

/// Cuts messages out of a stream, which has no way back from a ProtocolError. Objects may be followed by any white
/// space or by none; what is held never exceeds the limit.
class Decoder {
 public:
  static constexpr std::size_t max_message = std::size_t{16} << 20;  ///< bytes; QEMU's largest reply is below 1 MiB

  /// Takes bytes as they were read; next() is to be called until it has none left. Throws ProtocolError when more than
  /// max_message would be held.
  void feed(std::string_view bytes);

  /// The next whole message, if there is one. Throws ProtocolError, and nothing can be read after that.
  std::optional<Message> next();

  std::size_t held() const { return buffer_.size() - begin_; }

 private:
  std::string buffer_;
  std::size_t begin_ = 0;    ///< where the message being read begins
  std::size_t scanned_ = 0;  ///< up to where its end was looked for
  Scanner scanner_;
};

/// {"execute": COMMAND, "arguments": ARGUMENTS, "id": ID} and a newline, as ASCII. Arguments that are null are left
/// out. The id is text: QEMU takes any value, StratoVirt 2.5.0 a string alone. Throws ProtocolError when a string is
/// not UTF-8.
std::string encode(std::string_view command, const Json& arguments, const std::string& id);

}  // namespace qmp
