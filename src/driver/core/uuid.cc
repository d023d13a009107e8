#include "driver/core/uuid.h"

#include <sys/random.h>

#include <cerrno>
#include <cstddef>

#include "driver/core/error.h"

namespace core {
namespace {

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Uuid make_uuid() {
  Uuid uuid;
  while (getrandom(uuid.data(), uuid.size(), 0) != static_cast<ssize_t>(uuid.size()))
    if (errno != EINTR) throw Error::system(errno, "cannot make a uuid");
  uuid[6] = static_cast<std::uint8_t>((uuid[6] & 0x0f) | 0x40);
  uuid[8] = static_cast<std::uint8_t>((uuid[8] & 0x3f) | 0x80);
  return uuid;
}

std::optional<Uuid> parse_uuid(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  Uuid uuid;
  for (std::uint8_t& byte : uuid) {
    while (!text.empty() && text.front() == '-') text.remove_prefix(1);
    if (text.size() < 2) return std::nullopt;
    const int high = digit(text[0]), low = digit(text[1]);
    if (high < 0 || low < 0) return std::nullopt;
    byte = static_cast<std::uint8_t>(high << 4 | low);
    text.remove_prefix(2);
  }
  if (!text.empty()) return std::nullopt;
  return uuid;
}

std::string to_string(const Uuid& uuid) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(36);
  for (std::size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += digits[uuid[i] >> 4];
    text += digits[uuid[i] & 15];
  }
  return text;
}

}  // namespace core
