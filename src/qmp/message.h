#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>

/// QEMU's machine protocol (qemu.org, interop/qmp-spec): JSON objects over a stream. Bytes in, values out; no sockets.
namespace qmp {

using Json = nlohmann::json;

/// The peer sent what is no QMP. The stream has no way back from it.
class ProtocolError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// {"QMP": {"version": {"qemu": {"major", "minor", "micro"}, "package"}, "capabilities"}}: the first thing a server
/// says.
struct Greeting {
  unsigned major = 0, minor = 0, micro = 0;
  std::string package;
};
/// {"return": …, "id": …}
struct Reply {
  Json value;
  std::optional<std::uint64_t> id;  ///< absent: the server left it out (StratoVirt does for qmp_capabilities)
};
/// {"error": {"class", "desc"}, "id": …}
struct ErrorReply {
  std::string error_class;  ///< "GenericError", "CommandNotFound", "DeviceNotFound" …
  std::string description;
  std::optional<std::uint64_t> id;
};
/// {"event": …, "data": …, "timestamp": {"seconds", "microseconds"}}
struct Event {
  std::string name;
  Json data;  ///< an object, empty when the event has none
  std::int64_t seconds = 0;
  std::uint32_t microseconds = 0;
};
using Message = std::variant<Greeting, Reply, ErrorReply, Event>;

/// One message from the text of one JSON object. Throws ProtocolError.
Message parse(std::string_view text);

/// Cuts messages out of a stream. Objects may be followed by any white space or by none; what is held never exceeds the
/// limit.
class Decoder {
 public:
  static constexpr std::size_t max_message = std::size_t{16}
                                             << 20;  ///< bytes; the largest reply of QEMU, its schema, is below 1 MiB
  static constexpr unsigned max_depth = 64;          ///< JSON objects and arrays within each other

  /// Takes bytes as they were read. Throws ProtocolError when they cannot begin or continue a message; nothing can be
  /// read after that.
  void feed(std::string_view bytes);

  /// The next whole message, if there is one. Throws ProtocolError.
  std::optional<Message> next();

  std::size_t buffered() const { return buffer_.size() - begin_; }

 private:
  std::string buffer_;
  std::size_t begin_ = 0;    ///< where the message being read begins
  std::size_t scanned_ = 0;  ///< up to where its end was looked for
  unsigned depth_ = 0;
  bool in_string_ = false, escaped_ = false;
};

/// {"execute": COMMAND, "arguments": ARGUMENTS, "id": ID} and a newline, as ASCII. Arguments that are null are left
/// out. Throws ProtocolError when a string is not UTF-8.
std::string encode(std::string_view command, const Json& arguments, std::uint64_t id);

}  // namespace qmp
