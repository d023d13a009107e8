#include "driver/domain/element.h"

#include <algorithm>
#include <bitset>
#include <charconv>

namespace domain {
namespace {

using core::Error;
using core::ErrorCode;
using core::XmlNode;

/// The first word of `words`, cut off from it.
std::string_view next_word(std::string_view& words) {
  const std::size_t end = std::min(words.find(' '), words.size());
  const std::string_view word = words.substr(0, end);
  words.remove_prefix(std::min(end + 1, words.size()));
  return word;
}

std::optional<bool> read_switch(const XmlNode& node, const char* attribute, std::string_view yes, std::string_view no) {
  const auto text = read_word(node, attribute, std::string(yes) + " " + std::string(no));
  return text ? std::optional(*text == yes) : std::nullopt;
}

std::string range(std::uint64_t least, std::uint64_t most) {
  if (most == any_number) return "a number from " + std::to_string(least);
  return std::to_string(least) + " to " + std::to_string(most);
}

std::uint64_t checked(const XmlNode& node, const char* attribute, std::string_view text,
                      const std::optional<std::uint64_t>& value, std::uint64_t least, std::uint64_t most,
                      ErrorCode beyond) {
  if (!value) refuse_value(node, attribute, text, range(least, most));
  if (*value < least || *value > most) refuse_value(node, attribute, text, range(least, most), beyond);
  return *value;
}

}  // namespace

std::string quoted(std::string_view words) {
  std::string text;
  while (!words.empty()) (text += text.empty() ? "'" : ", '") += std::string(next_word(words)) + "'";
  return text;
}

bool has_word(std::string_view words, std::string_view word) {
  while (!words.empty())
    if (next_word(words) == word) return true;
  return false;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

void refuse_value(const XmlNode& node, const char* attribute, std::string_view value, std::string_view allowed,
                  ErrorCode code) {
  constexpr std::size_t shown = 256;  // a message repeats no megabytes
  const std::string_view what = code == ErrorCode::config_unsupported ? "Unsupported" : "Invalid";
  std::string text = std::string(what) + " value for ";
  if (attribute) text += "attribute '" + std::string(attribute) + "' in ";
  text += "element '" + std::string(node.name()) + "': '" + std::string(value.substr(0, shown)) +
          (value.size() > shown ? "…" : "") + "' (line " + std::to_string(node.line());
  throw Error(code, text + "; allowed: " + std::string(allowed) + ")");
}

void refuse_lack(const XmlNode& node, std::string_view what, ErrorCode code) {
  throw Error(code, "Missing " + std::string(what) + " in element '" + std::string(node.name()) + "' (line " +
                        std::to_string(node.line()) + ")");
}

std::optional<std::uint64_t> to_number(std::string_view text, bool any_base) {
  text = trimmed(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  int base = 10;
  if (any_base && text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
    base = 16;
    text.remove_prefix(2);
  } else if (any_base && text.size() > 1 && text[0] == '0') {
    base = 8;
  }
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> read_number(const XmlNode& node, const char* attribute, std::uint64_t least,
                                         std::uint64_t most, bool any_base, ErrorCode beyond) {
  const auto text = node.attribute(attribute);
  if (!text) return std::nullopt;
  return checked(node, attribute, *text, to_number(*text, any_base), least, most, beyond);
}

std::optional<unsigned> read_unsigned(const XmlNode& node, const char* attribute, unsigned least, unsigned most,
                                      ErrorCode beyond) {
  const auto value = read_number(node, attribute, least, most, false, beyond);
  return value ? std::optional(static_cast<unsigned>(*value)) : std::nullopt;
}

std::uint64_t text_number(const XmlNode& node, std::uint64_t least, std::uint64_t most, ErrorCode beyond) {
  const std::string text = node.text();
  return checked(node, nullptr, text, to_number(text), least, most, beyond);
}

std::uint64_t scale_to_kib(std::uint64_t value, const std::string& unit) {
  std::string lower = unit;
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  unsigned __int128 bytes = value;
  if (lower.empty()) {
    bytes <<= 10;
  } else if (!has_word("b byte bytes", lower)) {
    const std::size_t power = std::string_view("kmgtpe").find(lower[0]);
    const std::string_view rest = std::string_view(lower).substr(1);
    if (power == std::string_view::npos || !(rest.empty() || rest == "ib" || rest == "b"))
      throw Error(ErrorCode::invalid_arg, "unknown suffix '" + unit + "'");
    for (std::size_t i = 0; i <= power; ++i) bytes *= rest == "b" ? 1000 : 1024;
  }
  // As libvirt: what does not fit 64 bits as bytes is too large.
  if (bytes > std::numeric_limits<std::uint64_t>::max())
    throw Error(ErrorCode::overflow, "value too large: " + std::to_string(value) + unit);
  return static_cast<std::uint64_t>((bytes + 1023) >> 10);
}

std::optional<bool> read_yes_no(const XmlNode& node, const char* attribute) {
  return read_switch(node, attribute, "yes", "no");
}
std::optional<bool> read_on_off(const XmlNode& node, const char* attribute) {
  return read_switch(node, attribute, "on", "off");
}

std::optional<std::string> read_word(const XmlNode& node, const char* attribute, std::string_view allowed,
                                     std::string_view known, ErrorCode unknown) {
  auto text = node.attribute(attribute);
  if (!text) return std::nullopt;
  if (text->find(' ') == std::string::npos && has_word(allowed, *text)) return text;
  refuse_value(node, attribute, *text, quoted(allowed),
               has_word(known, *text) ? ErrorCode::config_unsupported : unknown);
}

void require_known(const XmlNode& node, const char* attribute, std::string_view words, ErrorCode unknown) {
  read_word(node, attribute, words, {}, unknown);
}

std::string required(const XmlNode& node, const char* attribute) {
  auto text = node.attribute(attribute);
  if (!text || text->empty()) refuse_lack(node, "attribute '" + std::string(attribute) + "'");
  return *std::move(text);
}

std::optional<XmlNode> child_with(const XmlNode& node, std::string_view name, const char* attribute) {
  for (const XmlNode& child : node.children(name))
    if (child.attribute(attribute)) return child;
  return node.child(name);
}

XmlNode required_child(const XmlNode& node, std::string_view name) {
  const auto child = node.child(name);
  if (!child) refuse_lack(node, "element '" + std::string(name) + "'");
  return *child;
}

std::optional<std::string_view> yes_no(const std::optional<bool>& value) {
  return value ? std::optional<std::string_view>(*value ? "yes" : "no") : std::nullopt;
}
std::optional<std::string_view> on_off(const std::optional<bool>& value) {
  return value ? std::optional<std::string_view>(*value ? "on" : "off") : std::nullopt;
}
std::optional<std::string_view> unless_empty(std::string_view text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

std::vector<unsigned> parse_cpus(std::string_view text) {
  constexpr std::uint64_t limit = 1024;  // libvirt's
  const auto refuse = [&] {
    throw Error(ErrorCode::invalid_arg, "Failed to parse bitmap '" + std::string(text.substr(0, 256)) +
                                            "' (allowed: as '0-3,^2,8', below 1024)");
  };
  std::bitset<limit> cpus;
  std::string_view rest = trimmed(text);
  if (rest.empty()) refuse();
  while (true) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    std::string_view part = trimmed(rest.substr(0, comma));
    const bool without = part.starts_with('^');
    if (without) part.remove_prefix(1);
    const std::size_t dash = part.find('-');
    const auto first = to_number(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : to_number(part.substr(dash + 1));
    if (!first || !last || *last < *first || *last >= limit || (without && dash != std::string_view::npos)) refuse();
    const std::bitset<limit> range = ~std::bitset<limit>() >> (limit - 1 - (*last - *first)) << *first;
    without ? cpus &= ~range : cpus |= range;
    if (comma == rest.size()) break;
    rest.remove_prefix(comma + 1);
  }
  if (cpus.none()) refuse();
  std::vector<unsigned> list;
  for (unsigned cpu = 0; cpu < limit; ++cpu)
    if (cpus[cpu]) list.push_back(cpu);
  return list;
}

std::string format_cpus(const std::vector<unsigned>& cpus) {
  std::string text;
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    const std::size_t begin = i;
    while (i + 1 < cpus.size() && cpus[i + 1] == cpus[i] + 1) ++i;
    (text += text.empty() ? "" : ",") += std::to_string(cpus[begin]);
    if (i > begin) text += "-" + std::to_string(cpus[i]);
  }
  return text;
}

}  // namespace domain
