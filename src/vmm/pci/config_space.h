#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

namespace pci {

/// A function's 4 KiB of configuration (PCI 3.0 §6.1, PCIe 5.0 §7.2) as bytes with two masks: which bits a guest may
/// write, and which of them a written one clears.
class ConfigSpace {
 public:
  static constexpr std::size_t size = 4096;

  template <class T>
  T get(std::size_t offset) const {
    static_assert(std::is_unsigned_v<T>);
    T value;
    std::memcpy(&value, &bytes_[offset], sizeof value);
    return value;
  }
  /// As the device itself sets it, whatever the masks say.
  template <class T>
  void set(std::size_t offset, T value) {
    static_assert(std::is_unsigned_v<T>);
    std::memcpy(&bytes_[offset], &value, sizeof value);
  }
  template <class T>
  void set_bits(std::size_t offset, T bits, bool on) {
    set<T>(offset, static_cast<T>(on ? get<T>(offset) | bits : get<T>(offset) & ~bits));
  }
  template <class T>
  void make_writable(std::size_t offset, T mask) {
    std::memcpy(&writable_[offset], &mask, sizeof mask);
  }
  template <class T>
  void make_cleared_by_one(std::size_t offset, T mask) {
    std::memcpy(&cleared_[offset], &mask, sizeof mask);
  }

  /// Adds a capability with `body` after its id and its link, at the next place that is free, or at `at`. Returns its
  /// offset. The chain goes from the newest to the oldest.
  std::uint8_t add_capability(std::uint8_t id, std::span<const std::uint8_t> body, std::uint8_t at = 0);

  /// A guest's own accesses; what is outside reads as ones and is not written.
  void read(std::uint64_t offset, std::span<std::uint8_t> value) const;
  void write(std::uint64_t offset, std::span<const std::uint8_t> value);

 private:
  std::array<std::uint8_t, size> bytes_{}, writable_{}, cleared_{};
  std::uint8_t next_capability_ = 0x40;
};

}  // namespace pci
