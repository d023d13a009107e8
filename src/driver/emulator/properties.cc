#include "driver/emulator/properties.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "driver/core/error.h"

namespace emulator {
namespace {

std::string hexadecimal(std::uint64_t value) {
  std::array<char, 16> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, 16).ptr;
  return "0x" + std::string(buffer.data(), end);
}

struct AsText {
  std::string operator()(Flag) const { return {}; }
  std::string operator()(bool value) const { return value ? "on" : "off"; }
  std::string operator()(std::uint64_t value) const { return std::to_string(value); }
  std::string operator()(Hex value) const { return hexadecimal(value.value); }
  std::string operator()(const std::string& value) const { return value; }
};

[[noreturn]] void refuse(Kind kind, const std::string& name, const std::string& value, const std::string& why) {
  throw core::Error(core::ErrorCode::config_unsupported,
                    std::string(to_string(kind)) + " cannot be given '" + name + "' of '" + value + "': " + why);
}

/// `value` as it stands between commas.
std::string escape(const std::string& name, const std::string& value, Kind kind) {
  if (value.find('\0') != std::string::npos) refuse(kind, name, value, "it has a zero byte");
  std::string text;
  for (const char byte : value) {
    if (kind == Kind::stratovirt) {
      const auto code = static_cast<unsigned char>(byte);
      if (byte == ',' || byte == '=') refuse(kind, name, value, std::string("it has '") + byte + "'");
      if (code < 0x20 || code == 0x7f) refuse(kind, name, value, "it has a control character");
    }
    text += byte;
    if (byte == ',') text += byte;
  }
  return text;
}

/// A whole argument that the emulator does not take apart.
std::string plain(const Option& option, Kind kind) {
  if (option.head.find('\0') != std::string::npos) refuse(kind, option.flag, option.head, "it has a zero byte");
  if (kind == Kind::stratovirt && option.head.starts_with('-'))
    refuse(kind, option.flag, option.head, "it begins with '-'");
  return option.head;
}

}  // namespace

std::string render(const Option& option, Kind kind) {
  if (option.plain) return plain(option, kind);
  std::string text = escape(option.flag, option.head, kind);
  for (const auto& [name, value] : option.properties) {
    if (!text.empty()) text += ',';
    text += name;
    if (!std::holds_alternative<Flag>(value)) text += '=' + escape(name, std::visit(AsText{}, value), kind);
  }
  return text;
}

std::vector<std::pair<std::string, std::string>> parse_qemu(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> result;
  for (std::size_t at = 0; at < text.size();) {
    std::pair<std::string, std::string> pair;
    const std::size_t stop = std::min(text.find_first_of("=,", at), text.size());
    if (stop < text.size() && text[stop] == '=') {
      pair.first = text.substr(at, stop - at);
      at = stop + 1;
    }
    for (; at < text.size(); ++at) {
      if (text[at] == ',' && (at + 1 == text.size() || text[++at] != ',')) break;
      pair.second += text[at];
    }
    result.push_back(std::move(pair));
  }
  return result;
}

}  // namespace emulator
