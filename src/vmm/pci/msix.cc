#include "vmm/pci/msix.h"

#include <algorithm>

#include "vmm/pci/registers.h"

namespace pci {

Msix::Msix(unsigned vectors) : vectors_(vectors), entries_(vectors) {}

void Msix::connect(irq::Controller& controller) {
  const base::Lock lock(mutex_);
  for (Entry& entry : entries_) entry.message = controller.make_message();
}

void Msix::disconnect() {
  const base::Lock lock(mutex_);
  for (Entry& entry : entries_) entry.message.reset();
}

bool Msix::masked(const Entry& entry) const {
  return function_masked_ || (entry.control & msix::vector_masked);
}

void Msix::deliver(Entry& entry) {
  entry.pending = false;
  if (!entry.message) return;
  entry.message->set(std::uint64_t{entry.address_high} << 32 | entry.address_low, entry.data);
  entry.message->send();
}

void Msix::send(unsigned vector) {
  const base::Lock lock(mutex_);
  if (vector >= entries_.size() || !enabled_) return;
  Entry& entry = entries_[vector];
  if (masked(entry)) {
    entry.pending = true;
  } else {
    deliver(entry);
  }
}

bool Msix::enabled() const {
  const base::Lock lock(mutex_);
  return enabled_;
}

int Msix::eventfd(unsigned vector) {
  const base::Lock lock(mutex_);
  if (vector >= entries_.size() || !entries_[vector].message) return -1;
  const Entry& entry = entries_[vector];
  entry.message->set(std::uint64_t{entry.address_high} << 32 | entry.address_low, entry.data);
  return entry.message->eventfd();
}

void Msix::set_control(std::uint16_t control) {
  const base::Lock lock(mutex_);
  enabled_ = control & msix::enable;
  function_masked_ = control & msix::function_mask;
  if (!enabled_) return;
  for (Entry& entry : entries_) {
    if (entry.pending && !masked(entry)) deliver(entry);
  }
}

void Msix::reset() {
  const base::Lock lock(mutex_);
  enabled_ = function_masked_ = false;
  for (Entry& entry : entries_) {
    entry.address_low = entry.address_high = entry.data = 0;
    entry.control = msix::vector_masked;
    entry.pending = false;
  }
}

void Msix::read_table(std::uint64_t offset, std::span<std::uint8_t> value) const {
  const base::Lock lock(mutex_);
  for (std::size_t i = 0; i < value.size(); ++i) {
    const std::uint64_t at = offset + i;
    if (at / msix::entry_size >= entries_.size()) {
      value[i] = 0;
      continue;
    }
    const Entry& entry = entries_[at / msix::entry_size];
    const std::uint32_t words[] = {entry.address_low, entry.address_high, entry.data, entry.control};
    value[i] = static_cast<std::uint8_t>(words[at % msix::entry_size / 4] >> (8 * (at % 4)));
  }
}

void Msix::write_table(std::uint64_t offset, std::span<const std::uint8_t> value) {
  const base::Lock lock(mutex_);
  const std::uint64_t first = offset / msix::entry_size;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const std::uint64_t at = offset + i;
    if (at / msix::entry_size >= entries_.size()) break;
    Entry& entry = entries_[at / msix::entry_size];
    std::uint32_t* const words[] = {&entry.address_low, &entry.address_high, &entry.data, &entry.control};
    std::uint32_t& word = *words[at % msix::entry_size / 4];
    const unsigned shift = 8 * (at % 4);
    word = (word & ~(0xffU << shift)) | std::uint32_t{value[i]} << shift;
    entry.address_low &= ~3U;
    entry.control &= msix::vector_masked;  // the other bits are reserved
  }
  for (std::uint64_t index = first; index < entries_.size() && index * msix::entry_size < offset + value.size();
       ++index) {
    Entry& entry = entries_[index];
    if (entry.pending && enabled_ && !masked(entry)) {
      deliver(entry);
    } else if (entry.message && enabled_ && !masked(entry)) {
      entry.message->set(std::uint64_t{entry.address_high} << 32 | entry.address_low, entry.data);
    }
  }
}

void Msix::read_pending(std::uint64_t offset, std::span<std::uint8_t> value) const {
  const base::Lock lock(mutex_);
  for (std::size_t i = 0; i < value.size(); ++i) {
    std::uint8_t bits = 0;
    for (std::uint64_t bit = 0; bit < 8; ++bit) {
      const std::uint64_t vector = (offset + i) * 8 + bit;
      if (vector < entries_.size() && entries_[vector].pending) bits = static_cast<std::uint8_t>(bits | 1U << bit);
    }
    value[i] = bits;
  }
}

}  // namespace pci
