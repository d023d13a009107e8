#include "driver/host/proc.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <system_error>

#include "base/file.h"
#include "driver/core/error.h"

namespace host::proc {
namespace {

constexpr std::size_t max_file = 4 << 20;
constexpr std::string_view blanks = " \t\r\n";

std::string_view trim(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  return text.substr(0, text.find_last_not_of(blanks) + 1);
}

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(separators), text.size()));
    if (text.empty()) return parts;
    parts.push_back(text.substr(0, text.find_first_of(separators)));
    text.remove_prefix(parts.back().size());
  }
}

}  // namespace

std::optional<std::string> text(const std::string& path) try {
  std::string content = base::read_file(path, max_file);
  if (content.ends_with('\n')) content.pop_back();
  return content;
} catch (const std::system_error&) {
  return std::nullopt;
}

std::string required(const std::string& path) try {
  return base::read_file(path, max_file);
} catch (const std::system_error& error) {
  throw core::Error::system(error.code().value(), "cannot read '" + path + "'");
}

std::optional<std::uint64_t> number(std::string_view text) {
  text = trim(text);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> number_in(const std::string& path) {
  const std::optional<std::string> content = text(path);
  return content ? number(*content) : std::nullopt;
}

std::vector<std::string_view> words(std::string_view text) {
  return split(text, blanks);
}
std::vector<std::string_view> lines(std::string_view text) {
  return split(text, "\n");
}

std::optional<std::string_view> field(std::string_view text, std::string_view key) {
  for (const std::string_view line : lines(text)) {
    const std::size_t colon = line.find(':');
    if (colon != line.npos && trim(line.substr(0, colon)) == key) return trim(line.substr(colon + 1));
  }
  return std::nullopt;
}

std::uint64_t tick_ns() {
  static const std::uint64_t ns = 1'000'000'000ull / static_cast<std::uint64_t>(std::max(::sysconf(_SC_CLK_TCK), 1L));
  return ns;
}

}  // namespace host::proc
