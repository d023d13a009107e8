#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "vmm/memory/guest_memory.h"

/// Virtio 1.2 §2.7, split virtqueues, as the device sees them.
namespace virtio {

/// Where a queue lies and what was negotiated; checked by Queue.
struct QueueConfig {
  std::uint16_t size = 0;  ///< a power of two
  std::uint64_t descriptors = 0, available = 0, used = 0;
  std::uint16_t longest = 1024;  ///< descriptors of one request, where that is more than `size`: the device's limit
  bool event_index = false;      ///< VIRTIO_F_EVENT_IDX
  bool indirect = false;         ///< VIRTIO_F_INDIRECT_DESC
};

/// One request of the driver's: guest memory to read, then guest memory to write, every byte of which has been checked
/// to be RAM. To be given back by Queue::give_back exactly once.
class Chain {
 public:
  using Buffer = std::span<std::uint8_t>;

  Chain(Chain&& other) noexcept = default;
  Chain& operator=(Chain&&) noexcept = default;

  std::span<const Buffer> readable() const { return std::span(buffers_).first(readable_); }
  std::span<const Buffer> writable() const { return std::span(buffers_).subspan(readable_); }
  std::size_t segments() const { return buffers_.size(); }
  std::size_t readable_bytes() const { return readable_bytes_; }
  std::size_t writable_bytes() const { return writable_bytes_; }

  /// Copies bytes [offset, offset + to.size()) of the readable part, or into the writable part; how many were there.
  std::size_t copy_out(std::size_t offset, std::span<std::uint8_t> to) const;
  std::size_t copy_in(std::size_t offset, std::span<const std::uint8_t> from) const;

 private:
  friend class Queue;
  Chain() = default;
  std::uint16_t head_ = 0;
  std::size_t readable_ = 0;  ///< how many of the buffers
  std::size_t readable_bytes_ = 0, writable_bytes_ = 0;
  std::vector<Buffer> buffers_;
};

/// The guest broke the queue's rules: the device needs a reset (§2.1.1 DEVICE_NEEDS_RESET).
struct Broken {
  std::string_view why;
};

class Queue {
 public:
  /// nothing where an area is not wholly RAM, is not aligned, or the size is none.
  static std::optional<Queue> make(const memory::GuestMemory& memory, const QueueConfig& config);

  /// The next request, nothing when there is none now; only then is the driver asked to tell of the next one.
  std::expected<std::optional<Chain>, Broken> take();
  /// Puts the last request taken back in front; none of its bytes may have been touched.
  void put_back();
  /// Hands a request back with `written` bytes of its writable part.
  void give_back(Chain chain, std::uint32_t written);
  /// Whether the driver wants an interrupt for what was handed back since the last time this was asked.
  bool wants_interrupt();

  /// Asks the driver not to tell of new requests for now, and to tell again; true where some came meanwhile.
  void ignore_notifications();
  bool want_notifications();

  const QueueConfig& config() const { return config_; }
  std::uint16_t next_available() const { return next_available_; }

 private:
  struct Descriptor;
  Queue(const memory::GuestMemory& memory, const QueueConfig& config) : memory_(&memory), config_(config) {}
  std::expected<Chain, Broken> read_chain(std::uint16_t head) const;
  std::uint16_t load(std::span<const std::uint8_t> area, std::size_t offset) const;
  void store(std::span<std::uint8_t> area, std::size_t offset, std::uint16_t value);

  const memory::GuestMemory* memory_;
  QueueConfig config_;
  std::span<std::uint8_t> descriptors_, available_, used_;
  std::uint16_t next_available_ = 0, next_used_ = 0;
  std::uint16_t interrupted_at_ = 0;  ///< next_used_ when an interrupt was last asked about
  bool any_given_back_ = false;
};

}  // namespace virtio
