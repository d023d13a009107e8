#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What the readers of /proc and /sys share.
namespace host::proc {

/// A file of at most 4 MiB without the line end at its end; nothing when it is not there or cannot be read (many files
/// of /sys answer an error where the hardware has no such thing).
std::optional<std::string> text(const std::string& path);
/// The same for what every Linux has. Throws Error: SYSTEM_ERROR.
std::string required(const std::string& path);

/// A decimal number with nothing but blanks around it.
std::optional<std::uint64_t> number(std::string_view text);
/// The number in a file.
std::optional<std::uint64_t> number_in(const std::string& path);

/// The parts between the separators; a run of blanks is one separator.
std::vector<std::string_view> words(std::string_view text);
std::vector<std::string_view> lines(std::string_view text);

/// What stands after "key" and a colon at a line's begin, without blanks at its ends; the first of that key.
std::optional<std::string_view> field(std::string_view text, std::string_view key);

/// Nanoseconds of one clock tick of /proc (USER_HZ).
std::uint64_t tick_ns();

}  // namespace host::proc
