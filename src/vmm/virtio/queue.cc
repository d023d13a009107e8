#include "vmm/virtio/queue.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace virtio {

/// §2.7.5.
struct Queue::Descriptor {
  std::uint64_t address;
  std::uint32_t length;
  std::uint16_t flags, next;
};

namespace {

enum DescriptorFlag : std::uint16_t { has_next = 1, is_writable = 2, is_indirect = 4 };
constexpr std::uint16_t no_interrupt = 1;  // VIRTQ_AVAIL_F_NO_INTERRUPT
constexpr std::uint16_t no_notify = 1;     // VIRTQ_USED_F_NO_NOTIFY
constexpr std::size_t descriptor_size = 16, ring = 4, used_entry = 8;
/// What an indirect table may have at most, used or not.
constexpr std::size_t most_in_table = 1024;

/// §2.7.7.2: whether an index that was asked to be told of has been passed.
bool passed(std::uint16_t event, std::uint16_t now, std::uint16_t before) {
  return static_cast<std::uint16_t>(now - event - 1) < static_cast<std::uint16_t>(now - before);
}

template <class Copy>
std::size_t over(std::span<const Chain::Buffer> buffers, std::size_t offset, std::size_t size, Copy copy) {
  std::size_t done = 0;
  for (const Chain::Buffer& buffer : buffers) {
    if (offset >= buffer.size()) {
      offset -= buffer.size();
      continue;
    }
    const std::size_t part = std::min(buffer.size() - offset, size - done);
    copy(buffer.subspan(offset, part), done);
    done += part;
    offset = 0;
    if (done == size) break;
  }
  return done;
}

}  // namespace

std::size_t Chain::copy_out(std::size_t offset, std::span<std::uint8_t> to) const {
  return over(readable(), offset, to.size(),
              [&](Buffer from, std::size_t at) { std::memcpy(to.data() + at, from.data(), from.size()); });
}

std::size_t Chain::copy_in(std::size_t offset, std::span<const std::uint8_t> from) const {
  return over(writable(), offset, from.size(),
              [&](Buffer to, std::size_t at) { std::memcpy(to.data(), from.data() + at, to.size()); });
}

std::optional<Queue> Queue::make(const memory::GuestMemory& memory, const QueueConfig& config) {
  if (!std::has_single_bit(config.size) || config.size > 32768) return {};
  if (config.descriptors % 16 || config.available % 2 || config.used % 4) return {};
  Queue queue(memory, config);
  const auto map = [&](std::span<std::uint8_t>& area, std::uint64_t address, std::size_t size) {
    const auto found = memory.slice(address, size);
    if (found) area = *found;
    return found.has_value();
  };
  const std::size_t n = config.size, event = config.event_index ? 2 : 0;
  if (!map(queue.descriptors_, config.descriptors, n * descriptor_size) ||
      !map(queue.available_, config.available, ring + 2 * n + event) ||
      !map(queue.used_, config.used, ring + used_entry * n + event)) {
    return {};
  }
  return queue;
}

std::uint16_t Queue::load(std::span<const std::uint8_t> area, std::size_t offset) const {
  // The areas are aligned to two bytes at least.
  return __atomic_load_n(reinterpret_cast<const std::uint16_t*>(area.data() + offset), __ATOMIC_ACQUIRE);
}

void Queue::store(std::span<std::uint8_t> area, std::size_t offset, std::uint16_t value) {
  __atomic_store_n(reinterpret_cast<std::uint16_t*>(area.data() + offset), value, __ATOMIC_RELEASE);
}

std::expected<std::optional<Chain>, Broken> Queue::take() {
  std::uint16_t available = load(available_, 2);
  if (available == next_available_) {
    // Not at each request: a driver that adds more while others are taken would tell of every one, an exit each.
    if (!config_.event_index || !want_notifications()) return std::nullopt;
    available = load(available_, 2);
  }
  if (static_cast<std::uint16_t>(available - next_available_) > config_.size) {
    return std::unexpected(Broken{"more requests than the queue is long"});
  }
  const std::uint16_t head = load(available_, ring + std::size_t{2} * (next_available_ % config_.size));
  auto chain = read_chain(head);
  if (!chain) return std::unexpected(chain.error());
  ++next_available_;
  return std::optional<Chain>(std::move(*chain));
}

void Queue::put_back() {
  --next_available_;
}

std::expected<Chain, Broken> Queue::read_chain(std::uint16_t head) const {
  Chain chain;
  chain.head_ = head;
  std::span<const std::uint8_t> table = descriptors_;
  const std::size_t longest = std::max(config_.size, config_.longest);
  std::size_t entries = config_.size, followed = 0, all = 0;
  std::size_t index = head;
  bool indirect = false;
  for (;;) {
    if (index >= entries) return std::unexpected(Broken{"a descriptor beyond its table"});
    if (followed++ >= entries) return std::unexpected(Broken{"a chain of descriptors that has no end"});
    if (all++ >= longest) return std::unexpected(Broken{"a request of more segments than the device takes"});
    Descriptor one;
    std::memcpy(&one, table.data() + index * descriptor_size, sizeof one);
    if (one.flags & is_indirect) {
      if (!config_.indirect) return std::unexpected(Broken{"an indirect descriptor that was not negotiated"});
      if (indirect) return std::unexpected(Broken{"an indirect descriptor in an indirect table"});
      if (one.flags & (has_next)) return std::unexpected(Broken{"an indirect descriptor with a next one"});
      if (one.length == 0 || one.length % descriptor_size ||
          one.length / descriptor_size > std::max<std::size_t>(config_.size, most_in_table)) {
        return std::unexpected(Broken{"an indirect table of a length that is none"});
      }
      const auto found = memory_->slice(one.address, one.length);
      if (!found) return std::unexpected(Broken{"an indirect table that is not in memory"});
      table = *found;
      entries = one.length / descriptor_size;
      index = 0;
      followed = 0;
      --all;
      indirect = true;
      continue;
    }
    const bool writable = one.flags & is_writable;
    if (!writable && chain.readable_ != chain.buffers_.size()) {
      return std::unexpected(Broken{"a buffer to read after one to write"});
    }
    // An empty buffer is no error and nothing.
    if (one.length > 0) {
      const auto buffer = memory_->slice(one.address, one.length);
      if (!buffer) return std::unexpected(Broken{"a buffer that is not in memory"});
      chain.buffers_.push_back(*buffer);
      if (writable) {
        chain.writable_bytes_ += one.length;
      } else {
        ++chain.readable_;
        chain.readable_bytes_ += one.length;
      }
    }
    if (!(one.flags & has_next)) return chain;
    index = one.next;
  }
}

void Queue::give_back(Chain chain, std::uint32_t written) {
  const std::size_t at = ring + used_entry * (next_used_ % config_.size);
  const std::uint32_t head = chain.head_;
  std::memcpy(used_.data() + at, &head, sizeof head);
  std::memcpy(used_.data() + at + 4, &written, sizeof written);
  store(used_, 2, ++next_used_);
  any_given_back_ = true;
}

bool Queue::wants_interrupt() {
  if (!std::exchange(any_given_back_, false)) return false;
  std::atomic_thread_fence(std::memory_order_seq_cst);  // the used index before the driver's wish (§2.7.7.2)
  const std::uint16_t before = std::exchange(interrupted_at_, next_used_);
  if (!config_.event_index) return !(load(available_, 0) & no_interrupt);
  return passed(load(available_, ring + std::size_t{2} * config_.size), next_used_, before);
}

void Queue::ignore_notifications() {
  if (!config_.event_index) store(used_, 0, no_notify);
}

bool Queue::want_notifications() {
  if (config_.event_index) {
    store(used_, ring + used_entry * config_.size, next_available_);
  } else {
    store(used_, 0, 0);
  }
  // What is asked to be told of must be seen before the last look (§2.7.10.1), or both sides wait.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return load(available_, 2) != next_available_;
}

}  // namespace virtio
