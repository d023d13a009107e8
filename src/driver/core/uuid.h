#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace core {

using Uuid = std::array<std::uint8_t, 16>;

/// A random UUID, version 4 (RFC 4122 §4.4).
Uuid make_uuid();
/// Reads what libvirt reads: 32 hexadecimal digits, dashes anywhere between bytes ignored; nothing for anything else.
std::optional<Uuid> parse_uuid(std::string_view text);
/// "12345678-1234-1234-1234-123456789abc"
std::string to_string(const Uuid& uuid);

}  // namespace core
