#include "vmm/cmdline/properties.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <stdexcept>

namespace cmdline {
namespace {

constexpr int most_descriptor = 1'048'576;  // Linux, fs.nr_open

bool is_control(char byte) {
  return static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f;
}

/// For a message: short, and one line whatever it held.
std::string shown(std::string_view text) {
  constexpr std::size_t longest = 200;
  std::string result(text.substr(0, longest));
  std::ranges::replace_if(result, is_control, '?');
  return text.size() > longest ? result + "..." : result;
}

/// The next word of `text` up to a single comma, and takes it away.
std::string next_word(std::string_view& text) {
  std::string word;
  while (!text.empty()) {
    const char byte = text.front();
    text.remove_prefix(1);
    if (byte == ',') {
      if (!text.starts_with(',')) break;
      text.remove_prefix(1);
    }
    word += byte;
  }
  return word;
}

template <class T>
bool read_whole(std::string_view text, T& number, int base) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return error == std::errc{} && end == text.data() + text.size();
}

std::string between(std::uint64_t least, std::uint64_t most) {
  return std::to_string(least) + " to " + std::to_string(most);
}

}  // namespace

void refuse(std::string_view option, std::string_view what) {
  throw std::invalid_argument(std::string(option) + ": " + std::string(what));
}

bool read_number(std::string_view text, std::uint64_t& number) {
  const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
  return hexadecimal ? read_whole(text.substr(2), number, 16) : read_whole(text, number, 10);
}

int descriptor_of(std::string_view path) {
  constexpr std::string_view folder = "/dev/fd/";
  int fd = -1;
  if (!path.starts_with(folder) || !read_whole(path.substr(folder.size()), fd, 10) || fd > most_descriptor) return -1;
  return fd;
}

Properties Properties::split(std::string_view option, std::string_view text, std::string_view head) {
  Properties result{std::string(option), {}};
  for (bool first = true; !text.empty(); first = false) {
    const std::string word = next_word(text);
    const auto equals = word.find('=');
    Property item;
    if (equals != std::string::npos) {
      item = {word.substr(0, equals), word.substr(equals + 1)};
    } else if (first && !head.empty()) {
      item = {std::string(head), word};
    } else {
      item = {word, "on"};
    }
    if (item.key.empty()) refuse(option, "a key is missing in '" + shown(word) + "'");
    if (result.find(item.key)) refuse(option, "'" + shown(item.key) + "' stands there twice");
    result.items.push_back(std::move(item));
  }
  return result;
}

const std::string* Properties::find(std::string_view key) const {
  const auto found = std::ranges::find(items, key, &Property::key);
  return found == items.end() ? nullptr : &found->value;
}

void Value::refuse(std::string_view allowed) const {
  cmdline::refuse(option_, property_.key + "='" + shown(property_.value) + "', allowed: " + std::string(allowed));
}

void Value::expect(Property::Type type) const {
  if (property_.type == Property::Type::any || property_.type == type) return;
  constexpr const char* names[] = {"any", "string", "integer", "boolean"};
  cmdline::refuse(option_, "Invalid parameter type for '" + shown(property_.key) +
                               "', expected: " + names[static_cast<std::size_t>(type)]);
}

const std::string& Value::text(std::size_t longest) const {
  expect(Property::Type::string);
  const std::string& value = property_.value;
  if (value.empty() || value.size() > longest || std::ranges::any_of(value, is_control)) {
    refuse("1 to " + std::to_string(longest) + " characters, none of them a control character");
  }
  return value;
}

const std::string& Value::identifier() const {
  expect(Property::Type::string);
  constexpr std::size_t longest = 255;
  const std::string& value = property_.value;
  const auto fits = [](char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           std::string_view("_.:-").contains(byte);
  };
  if (value.empty() || value.size() > longest || !std::ranges::all_of(value, fits)) {
    refuse("1 to 255 letters, digits, '_', '.', ':' and '-'");
  }
  return value;
}

bool Value::boolean() const {
  expect(Property::Type::boolean);
  for (const char* const yes : {"on", "true", "yes"}) {
    if (property_.value == yes) return true;
  }
  for (const char* const no : {"off", "false", "no"}) {
    if (property_.value == no) return false;
  }
  refuse("on, off, true, false, yes, no");
}

std::uint64_t Value::number(std::uint64_t least, std::uint64_t most) const {
  expect(Property::Type::integer);
  return number_of_any(least, most);
}

std::uint64_t Value::number_in_text(std::uint64_t least, std::uint64_t most) const {
  expect(Property::Type::string);
  return number_of_any(least, most);
}

std::uint64_t Value::number_of_any(std::uint64_t least, std::uint64_t most) const {
  std::uint64_t number = 0;
  if (!read_number(property_.value, number) || number < least || number > most) refuse(between(least, most));
  return number;
}

std::uint64_t Value::power_of_two(std::uint64_t least, std::uint64_t most) const {
  expect(Property::Type::integer);
  std::uint64_t number = 0;
  if (!read_number(property_.value, number) || number < least || number > most || (number & (number - 1)) != 0) {
    refuse("a power of two, " + between(least, most));
  }
  return number;
}

std::uint64_t Value::size(std::uint64_t unit) const {
  expect(Property::Type::integer);
  constexpr std::string_view suffixes = "KMGT";
  std::string_view digits = property_.value;
  if (!digits.empty()) {
    const char last = digits.back();
    const auto place = suffixes.find(last >= 'a' && last <= 'z' ? static_cast<char>(last - 'a' + 'A') : last);
    if (place != std::string_view::npos) {
      unit = std::uint64_t{1} << (10 * (place + 1));
      digits.remove_suffix(1);
    }
  }
  std::uint64_t number = 0;
  if (!read_whole(digits, number, 10) || number > std::numeric_limits<std::uint64_t>::max() / unit) {
    refuse("a whole number, K, M, G or T after it");
  }
  return number * unit;
}

std::vector<int> Value::descriptors() const {
  expect(Property::Type::string);
  std::vector<int> result;
  std::string_view rest = property_.value;
  for (;;) {
    const auto end = rest.find(':');
    int fd = -1;
    if (!read_whole(rest.substr(0, end), fd, 10) || fd < 0 || fd > most_descriptor ||
        std::ranges::find(result, fd) != result.end()) {
      refuse("descriptors, ':' between them");
    }
    result.push_back(fd);
    if (end == std::string_view::npos) return result;
    rest.remove_prefix(end + 1);
  }
}

int Value::descriptor() const {
  const std::vector<int> all = descriptors();
  if (all.size() != 1) refuse("one descriptor");
  return all.front();
}

std::vector<unsigned> Value::range(unsigned most) const {
  expect(Property::Type::string);
  std::vector<unsigned> result;
  std::string_view rest = property_.value;
  for (;;) {
    const auto end = std::min(rest.find(','), rest.find(':'));
    const auto part = rest.substr(0, end);
    const auto dash = part.find('-');
    unsigned first = 0, last = 0;
    const bool read = read_whole(part.substr(0, dash), first, 10) &&
                      (dash == std::string_view::npos || read_whole(part.substr(dash + 1), last, 10));
    if (dash == std::string_view::npos) last = first;
    if (!read || first > last || last > most)
      refuse("FIRST or FIRST-LAST, ':' between them, at most " + std::to_string(most));
    for (unsigned i = first; i <= last; ++i) result.push_back(i);
    if (result.size() > std::size_t{most} + 1) refuse("each number once");
    if (end == std::string_view::npos) return result;
    rest.remove_prefix(end + 1);
  }
}

void Value::must_be(bool expected) const {
  if (boolean() != expected) refuse(expected ? "on" : "off");
}

void Value::must_say(std::string_view expected) const {
  expect(Property::Type::string);
  if (property_.value != expected) refuse(expected);
}

}  // namespace cmdline
