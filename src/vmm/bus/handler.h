#pragma once

#include <cstdint>
#include <span>

namespace bus {

/// Something that answers accesses at an offset into its own range. Called with the main loop's lock held, with a range
/// that is wholly its own. Values are little endian. What a register block does not know reads as zero and ignores
/// writes, unless its specification says otherwise.
class Handler {
 public:
  virtual ~Handler() = default;
  virtual void read(std::uint64_t offset, std::span<std::uint8_t> value) = 0;
  virtual void write(std::uint64_t offset, std::span<const std::uint8_t> value) = 0;
};

}  // namespace bus
