#pragma once

#include <cstdint>
#include <stdexcept>

namespace qmp {

/// The peer sent what is no QMP.
class ProtocolError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The deepest nesting of objects and arrays that is read.
inline constexpr unsigned max_depth = 64;

/// Finds where a value of a stream ends, byte by byte, without reading it. Knows JSON's words, numbers and strings, and
/// QEMU's strings in single quotes; whether they stand where they may is for who reads the value.
class Scanner {
 public:
  /// Whether `byte` ends the value, an object, an array or a string. Throws ProtocolError for a byte that no value has
  /// there, by which a client can bring a server's parser into a known state (QEMU's use 0xff), and once for a
  /// value that goes below max_depth, after which it can go on. After any other error a new Scanner begins.
  bool ends(char byte);
  bool inside() const { return depth_ > 0 || state_ != State::between; }
  /// Until the value that was below max_depth ends.
  bool too_deep() const { return too_deep_; }

 private:
  enum class State : std::uint8_t {
    between,
    string,
    escape,
    word,
    minus,
    zero,
    whole,
    point,
    fraction,
    exponent,
    sign,
    power,
    wrong,
  };
  static State after(State state, char byte);
  bool begins(char byte);
  void open(bool array);
  bool close(bool array);

  State state_ = State::between;
  char quote_ = '"';
  unsigned depth_ = 0;
  bool too_deep_ = false;
  std::uint64_t arrays_ = 0;  ///< a bit a level down to max_depth, the innermost lowest: whether it is an array
};

}  // namespace qmp
