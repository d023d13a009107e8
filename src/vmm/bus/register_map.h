#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace bus {

/// What a guest may do with a register.
enum class Access : std::uint8_t {
  read_write,
  read_only,   ///< writes are ignored
  write_only,  ///< reads as zero
  reserved,    ///< reads as zero, writes are ignored
};

/// One register of a block: bytes. `Id` is the block's enum of registers.
template <class Id>
struct Register {
  std::uint16_t offset;
  std::uint8_t width;  ///< 1, 2, 4 or 8
  Id id;
  Access access;
  std::string_view name;
};

/// Whether a table is in order, its registers whole and apart.
template <class Id, std::size_t N>
constexpr bool well_formed(const std::array<Register<Id>, N>& table, std::size_t size) {
  std::size_t end = 0;
  for (const auto& one : table) {
    if (one.offset < end || (one.width != 1 && one.width != 2 && one.width != 4 && one.width != 8)) return false;
    end = one.offset + std::size_t{one.width};
  }
  return end <= size;
}

/// Splits and widens accesses of any size and place to whole registers, once for all devices. `load(id)` gives a
/// register's value; it is called once an access for each register touched.
template <class Id, std::size_t N, class Load>
void read_registers(const std::array<Register<Id>, N>& table, std::uint64_t offset, std::span<std::uint8_t> value,
                    Load&& load) {
  std::ranges::fill(value, std::uint8_t{0});
  for (const auto& one : table) {
    if (one.offset >= offset + value.size()) break;
    if (one.offset + one.width <= offset) continue;
    if (one.access == Access::write_only || one.access == Access::reserved) continue;
    const std::uint64_t bits = load(one.id);
    for (std::uint64_t i = 0; i < one.width; ++i) {
      const std::uint64_t at = one.offset + i;
      if (at >= offset && at - offset < value.size()) value[at - offset] = static_cast<std::uint8_t>(bits >> (8 * i));
    }
  }
}

/// `store(id, value, mask)` gets the bytes written, in place, and a mask of which these are.
template <class Id, std::size_t N, class Store>
void write_registers(const std::array<Register<Id>, N>& table, std::uint64_t offset,
                     std::span<const std::uint8_t> value, Store&& store) {
  for (const auto& one : table) {
    if (one.offset >= offset + value.size()) break;
    if (one.offset + one.width <= offset) continue;
    if (one.access == Access::read_only || one.access == Access::reserved) continue;
    std::uint64_t bits = 0, mask = 0;
    for (std::uint64_t i = 0; i < one.width; ++i) {
      const std::uint64_t at = one.offset + i;
      if (at < offset || at - offset >= value.size()) continue;
      bits |= std::uint64_t{value[at - offset]} << (8 * i);
      mask |= std::uint64_t{0xff} << (8 * i);
    }
    store(one.id, bits, mask);
  }
}

}  // namespace bus
