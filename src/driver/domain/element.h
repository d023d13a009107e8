#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "driver/core/error.h"
#include "driver/core/xml.h"
#include "driver/domain/names.h"

/// Reading one element's values. Every refusal names the element, the value, what is allowed and the line; it is
/// XML_ERROR for a value that libvirt does not know, CONFIG_UNSUPPORTED for one that it knows and this driver cannot
/// honour.
namespace domain {

inline constexpr std::uint64_t any_number = std::numeric_limits<std::uint64_t>::max();

/// "'a', 'b'" of "a b".
std::string quoted(std::string_view words);
bool has_word(std::string_view words, std::string_view word);
std::string_view trimmed(std::string_view text);

/// Refuses a value of an attribute, or of the element's text when `attribute` is null.
[[noreturn]] void refuse_value(const core::XmlNode& node, const char* attribute, std::string_view value,
                               std::string_view allowed, core::ErrorCode code = core::ErrorCode::xml_error);
/// Refuses an element that lacks something: "an attribute 'dev'".
[[noreturn]] void refuse_lack(const core::XmlNode& node, std::string_view what,
                              core::ErrorCode code = core::ErrorCode::xml_error);

/// Decimal, or with a prefix 0x or 0 when `any_base`. Nothing for what is no number or does not fit.
std::optional<std::uint64_t> to_number(std::string_view text, bool any_base = false);

/// A number of an attribute. `beyond` is the code for a number that is outside of least to most.
std::optional<std::uint64_t> read_number(const core::XmlNode& node, const char* attribute, std::uint64_t least = 0,
                                         std::uint64_t most = any_number, bool any_base = false,
                                         core::ErrorCode beyond = core::ErrorCode::xml_error);
std::optional<unsigned> read_unsigned(const core::XmlNode& node, const char* attribute, unsigned least = 0,
                                      unsigned most = std::numeric_limits<unsigned>::max(),
                                      core::ErrorCode beyond = core::ErrorCode::xml_error);
/// The element's text as a number.
std::uint64_t text_number(const core::XmlNode& node, std::uint64_t least = 0, std::uint64_t most = any_number,
                          core::ErrorCode beyond = core::ErrorCode::xml_error);

/// Memory sizes in KiB, rounded up, of a number and libvirt's unit ("MiB", "KB", "b" …; KiB for none). Throws Error:
/// INVALID_ARG for an unknown unit, OVERFLOW.
std::uint64_t scale_to_kib(std::uint64_t value, const std::string& unit);

std::optional<bool> read_yes_no(const core::XmlNode& node, const char* attribute);
std::optional<bool> read_on_off(const core::XmlNode& node, const char* attribute);
std::optional<std::string> read_word(const core::XmlNode& node, const char* attribute, std::string_view allowed,
                                     std::string_view known = {}, core::ErrorCode unknown = core::ErrorCode::xml_error);
/// Refuses a word of an attribute that libvirt does not know. Of a description that things are looked up by: what only
/// this driver lacks is none of them.
void require_known(const core::XmlNode& node, const char* attribute, std::string_view words,
                   core::ErrorCode unknown = core::ErrorCode::xml_error);
std::string required(const core::XmlNode& node, const char* attribute);
/// Of several elements of that name the first one with the attribute, else the first: what libvirt looks up by the
/// attribute's path.
std::optional<core::XmlNode> child_with(const core::XmlNode& node, std::string_view name, const char* attribute);
core::XmlNode required_child(const core::XmlNode& node, std::string_view name);

std::optional<std::string_view> yes_no(const std::optional<bool>& value);
std::optional<std::string_view> on_off(const std::optional<bool>& value);
/// Text of an attribute, absent when empty.
std::optional<std::string_view> unless_empty(std::string_view text);

/// The words of `table`, as "a b".
template <class E, std::size_t N>
std::string words_of(const Name<E> (&table)[N]) {
  std::string words;
  for (const Name<E>& row : table) (words += words.empty() ? "" : " ") += row.text;
  return words;
}

/// An attribute's value looked up in `table`; `known` are the words that libvirt knows beside them, `unknown` the code
/// that it has for any other.
template <class E, std::size_t N>
std::optional<E> read_choice(const core::XmlNode& node, const char* attribute, const Name<E> (&table)[N],
                             std::string_view known = {}, core::ErrorCode unknown = core::ErrorCode::xml_error) {
  const auto text = read_word(node, attribute, words_of(table), known, unknown);
  if (text)
    for (const Name<E>& row : table)
      if (row.text == *text) return row.value;
  return std::nullopt;
}

/// Processors of a list as libvirt writes it, "0-3,^2,8"; in order, each once. Throws Error: INVALID_ARG.
std::vector<unsigned> parse_cpus(std::string_view text);
std::string format_cpus(const std::vector<unsigned>& cpus);

}  // namespace domain
