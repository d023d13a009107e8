#include "vmm/pci/config_space.h"

#include <algorithm>

#include "vmm/pci/registers.h"

namespace pci {

std::uint8_t ConfigSpace::add_capability(std::uint8_t id, std::span<const std::uint8_t> body, std::uint8_t at) {
  const std::uint8_t offset = at ? at : next_capability_;
  bytes_[offset] = id;
  bytes_[offset + 1U] = bytes_[reg::capabilities];
  std::ranges::copy(body, bytes_.begin() + offset + 2);
  bytes_[reg::capabilities] = offset;
  set_bits<std::uint16_t>(reg::status, status::capabilities, true);
  const std::size_t end = (offset + 2U + body.size() + 3U) & ~std::size_t{3};
  next_capability_ = static_cast<std::uint8_t>(std::max<std::size_t>(next_capability_, end));
  return offset;
}

void ConfigSpace::read(std::uint64_t offset, std::span<std::uint8_t> value) const {
  std::ranges::fill(value, std::uint8_t{0xff});
  for (std::size_t i = 0; i < value.size() && offset + i < size; ++i) value[i] = bytes_[offset + i];
}

void ConfigSpace::write(std::uint64_t offset, std::span<const std::uint8_t> value) {
  for (std::size_t i = 0; i < value.size() && offset + i < size; ++i) {
    std::uint8_t& byte = bytes_[offset + i];
    const std::uint8_t writable = writable_[offset + i], cleared = cleared_[offset + i];
    byte = static_cast<std::uint8_t>((byte & ~writable) | (value[i] & writable));
    byte = static_cast<std::uint8_t>(byte & ~(value[i] & cleared));
  }
}

}  // namespace pci
