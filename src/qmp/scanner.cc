#include "qmp/scanner.h"

#include <string>
#include <utility>

namespace qmp {
namespace {

[[noreturn]] void stray(char byte) {
  constexpr const char* digits = "0123456789abcdef";
  const auto code = static_cast<unsigned char>(byte);
  const std::string shown = code > 0x20 && code < 0x7f ? std::string("'") + byte + '\''
                                                       : std::string("byte 0x") + digits[code / 16] + digits[code % 16];
  throw ProtocolError("JSON parse error, stray " + shown);
}

bool is_digit(char byte) {
  return byte >= '0' && byte <= '9';
}
bool is_lower(char byte) {
  return byte >= 'a' && byte <= 'z';
}
bool may_be_in_string(char byte) {
  const auto code = static_cast<unsigned char>(byte);
  return code >= 0x20 && code < 0xfe;
}

}  // namespace

/// The state of a word or a number with one more byte; `between` when it has ended before that.
Scanner::State Scanner::after(State state, char byte) {
  const bool digit = is_digit(byte), e = byte == 'e' || byte == 'E';
  switch (state) {
    case State::word: return is_lower(byte) ? State::word : State::between;
    case State::minus: return byte == '0' ? State::zero : digit ? State::whole : State::wrong;
    case State::zero:
    case State::whole:
      if (digit) return state == State::whole ? State::whole : State::wrong;
      return byte == '.' ? State::point : e ? State::exponent : State::between;
    case State::point: return digit ? State::fraction : State::wrong;
    case State::fraction: return digit ? State::fraction : e ? State::exponent : State::between;
    case State::exponent: return byte == '+' || byte == '-' ? State::sign : digit ? State::power : State::wrong;
    case State::sign: return digit ? State::power : State::wrong;
    case State::power: return digit ? State::power : State::between;
    default: return State::between;
  }
}

bool Scanner::ends(char byte) {
  if (state_ == State::string || state_ == State::escape) {
    if (!may_be_in_string(byte)) stray(byte);
    if (state_ == State::escape) {
      state_ = State::string;
    } else if (byte == '\\') {
      state_ = State::escape;
    } else if (byte == quote_) {
      state_ = State::between;
      return depth_ == 0;
    }
    return false;
  }
  state_ = after(state_, byte);
  if (state_ == State::wrong) stray(byte);
  return state_ == State::between && begins(byte);
}

/// A byte behind whatever was before.
bool Scanner::begins(char byte) {
  switch (byte) {
    case ' ':
    case '\t':
    case '\r':
    case '\n': return false;
    case '{':
    case '[': open(byte == '['); return false;
    case '"':
    case '\'':
      quote_ = byte;
      state_ = State::string;
      return false;
    default: break;
  }
  if (depth_ == 0) throw ProtocolError("expected a JSON object");
  if (byte == '}' || byte == ']') return close(byte == ']');
  if (is_lower(byte)) {
    state_ = State::word;
  } else if (byte == '-') {
    state_ = State::minus;
  } else if (is_digit(byte)) {
    state_ = byte == '0' ? State::zero : State::whole;
  } else if (byte != ',' && byte != ':') {
    stray(byte);
  }
  return false;
}

void Scanner::open(bool array) {
  if (++depth_ <= max_depth) {
    arrays_ = arrays_ << 1 | (array ? 1U : 0U);
  } else if (!std::exchange(too_deep_, true)) {
    throw ProtocolError("JSON nested too deeply");
  }
}

bool Scanner::close(bool array) {
  if (depth_ <= max_depth) {
    if ((arrays_ & 1) != (array ? 1U : 0U)) stray(array ? ']' : '}');
    arrays_ >>= 1;
  }
  if (--depth_ > 0) return false;
  too_deep_ = false;
  return true;
}

}  // namespace qmp
