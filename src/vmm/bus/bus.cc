#include "vmm/bus/bus.h"

#include <algorithm>
#include <iterator>

namespace bus {

Bus::Place Bus::place(std::uint64_t base, std::uint64_t size, Handler& handler) {
  ranges_.emplace(base, Range{size, &handler});
  return {this, base, &handler};
}

void Bus::remove(std::uint64_t base, const Handler* handler) {
  const auto [begin, end] = ranges_.equal_range(base);
  for (auto one = begin; one != end; ++one) {
    if (one->second.handler != handler) continue;
    ranges_.erase(one);
    return;
  }
}

Bus::Found Bus::find(std::uint64_t address) const {
  for (auto one = ranges_.upper_bound(address); one != ranges_.begin();) {
    --one;
    const std::uint64_t offset = address - one->first;
    if (offset < one->second.size) return {one->second.handler, offset, one->second.size - offset};
  }
  return {};
}

bool Bus::read(std::uint64_t address, std::span<std::uint8_t> value) {
  std::ranges::fill(value, std::uint8_t{0xff});
  const Found found = find(address);
  if (found.handler) found.handler->read(found.offset, value.first(std::min<std::uint64_t>(value.size(), found.left)));
  return found.handler != nullptr;
}

bool Bus::write(std::uint64_t address, std::span<const std::uint8_t> value) {
  const Found found = find(address);
  if (found.handler) found.handler->write(found.offset, value.first(std::min<std::uint64_t>(value.size(), found.left)));
  return found.handler != nullptr;
}

}  // namespace bus
