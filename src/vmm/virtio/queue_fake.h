#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/memory/guest_memory.h"
#include "vmm/virtio/queue.h"

/// The other end of a virtqueue, for tests: a driver's memory and its rings.
namespace virtio::fake {

/// A guest's RAM, from which buffers are handed out in turn; after the last byte it begins again.
class Ram {
 public:
  static constexpr std::uint64_t base = 0x10'0000;

  explicit Ram(std::size_t size = std::size_t{1} << 20)
      : size_(size), bytes_(static_cast<std::uint8_t*>(std::aligned_alloc(4096, size)), &std::free) {
    std::memset(bytes_.get(), 0, size);
    memory_.add({.address = base, .bytes = {bytes_.get(), size}});
  }

  const memory::GuestMemory& memory() const { return memory_; }
  std::uint64_t end() const { return base + size_; }

  std::uint64_t allocate(std::size_t size, std::size_t align = 16) {
    std::uint64_t at = (next_ + align - 1) / align * align;
    if (at + size > size_) at = keep_;
    next_ = at + size;
    return base + at;
  }
  /// What is allocated so far is never handed out again.
  void keep() { keep_ = next_ = (next_ + 4095) / 4096 * 4096; }

  std::vector<std::uint8_t> read(std::uint64_t address, std::size_t size) const {
    std::vector<std::uint8_t> bytes(size);
    memory_.read(address, bytes);
    return bytes;
  }
  std::uint64_t put(std::span<const std::uint8_t> bytes) {
    const std::uint64_t at = allocate(bytes.size());
    memory_.write(at, bytes);
    return at;
  }

 private:
  std::size_t size_;
  std::unique_ptr<std::uint8_t, void (*)(void*)> bytes_;
  memory::GuestMemory memory_;
  std::uint64_t next_ = 0, keep_ = 0;
};

inline std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// A buffer's place in the guest's memory.
struct Place {
  std::uint64_t address;
  std::uint32_t size;
};
/// What a driver sent: its head, and where the device may write.
struct Sent {
  std::uint16_t head = 0;
  std::vector<Place> writable;
};

/// A driver's half of a split virtqueue (Virtio 1.2 §2.7). What it sends stays where it is until take_used().
class Driver {
 public:
  enum Flag : std::uint16_t { next = 1, write = 2, indirect = 4 };
  struct Descriptor {
    std::uint64_t address;
    std::uint32_t length;
    std::uint16_t flags, next;
  };
  struct Used {
    std::uint32_t head, written;
  };

  Driver(Ram& ram, std::uint16_t size, bool event_index = false, bool indirect_tables = true) : ram_(ram) {
    config_.size = size;
    config_.descriptors = ram.allocate(std::size_t{16} * size, 4096);
    config_.available = ram.allocate(6 + std::size_t{2} * size, 4096);
    config_.used = ram.allocate(6 + std::size_t{8} * size, 4096);
    config_.event_index = event_index;
    config_.indirect = indirect_tables;
    ram.keep();
    for (std::uint16_t i = size; i > 0; --i) free_.push_back(static_cast<std::uint16_t>(i - 1));
  }

  const QueueConfig& config() const { return config_; }
  Queue queue() const { return *Queue::make(ram_.memory(), config_); }

  /// A request: buffers to read, then buffers to write.
  class Builder {
   public:
    explicit Builder(Driver& driver) : driver_(driver) {}
    Builder& readable(std::span<const std::uint8_t> bytes) {
      entries_.push_back({driver_.ram_.put(bytes), static_cast<std::uint32_t>(bytes.size()), 0, 0});
      return *this;
    }
    Builder& readable(std::string_view text) { return readable(bytes_of(text)); }
    template <class T>
      requires std::is_trivially_copyable_v<T> && std::is_class_v<T> && (!std::is_convertible_v<T, std::string_view>) &&
               (!std::is_convertible_v<T, std::span<const std::uint8_t>>)
    Builder& readable(const T& value) {
      return readable(std::span(reinterpret_cast<const std::uint8_t*>(&value), sizeof value));
    }
    Builder& writable(std::uint32_t size, std::size_t align = 16) {
      entries_.push_back({driver_.ram_.allocate(size, align), size, Driver::write, 0});
      return *this;
    }
    /// A buffer anywhere.
    Builder& at(std::uint64_t address, std::uint32_t size, bool to_write) {
      entries_.push_back({address, size, static_cast<std::uint16_t>(to_write ? Driver::write : 0), 0});
      return *this;
    }
    /// All of it in a table of its own.
    Builder& in_table() {
      in_table_ = true;
      return *this;
    }
    Sent send() { return driver_.send(entries_, in_table_); }

   private:
    Driver& driver_;
    std::vector<Descriptor> entries_;
    bool in_table_ = false;
  };
  Builder chain() { return Builder(*this); }

  /// The next request that the device has handed back; its descriptors are free again.
  std::optional<Used> take_used() {
    if (used_index() == seen_) return {};
    const auto one = *ram_.memory().load<Used>(config_.used + 4 + std::uint64_t{8} * (seen_++ % config_.size));
    if (one.head < config_.size) {
      for (std::uint16_t at = static_cast<std::uint16_t>(one.head);;) {
        const Descriptor entry = descriptor(at);
        free_.push_back(at);
        if (!(entry.flags & next) || entry.next >= config_.size || free_.size() >= config_.size) break;
        at = entry.next;
      }
    }
    return one;
  }
  std::uint16_t used_index() const { return *ram_.memory().load<std::uint16_t>(config_.used + 2); }
  std::uint16_t used_flags() const { return *ram_.memory().load<std::uint16_t>(config_.used); }
  std::uint16_t available_index() const { return available_; }
  /// The driver's wish, and the device's.
  void set_used_event(std::uint16_t index) { store(config_.available + 4 + std::uint64_t{2} * config_.size, index); }
  void set_available_flags(std::uint16_t flags) { store(config_.available, flags); }
  std::uint16_t available_event() const {
    return *ram_.memory().load<std::uint16_t>(config_.used + 4 + std::uint64_t{8} * config_.size);
  }

  /// The bytes of a request's writable part.
  std::vector<std::uint8_t> written(const Sent& sent) const {
    std::vector<std::uint8_t> bytes;
    for (const Place& place : sent.writable) {
      const auto part = ram_.read(place.address, place.size);
      bytes.insert(bytes.end(), part.begin(), part.end());
    }
    return bytes;
  }
  std::string text(const Sent& sent, std::size_t size) const {
    const auto bytes = written(sent);
    return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(std::min(size, bytes.size()))};
  }

  // What only a driver that breaks the rules needs.
  Descriptor descriptor(std::uint16_t index) const {
    return *ram_.memory().load<Descriptor>(config_.descriptors + std::uint64_t{16} * index);
  }
  void set_descriptor(std::uint16_t index, const Descriptor& entry) {
    ram_.memory().store(config_.descriptors + std::uint64_t{16} * index, entry);
  }
  void make_available(std::uint16_t head) {
    store(config_.available + 4 + std::uint64_t{2} * (available_ % config_.size), head);
    set_available_index(static_cast<std::uint16_t>(available_ + 1));
  }
  void set_available_index(std::uint16_t index) {
    available_ = index;
    std::atomic_thread_fence(std::memory_order_release);
    store(config_.available + 2, index);
  }
  Ram& ram() { return ram_; }

 private:
  void store(std::uint64_t address, std::uint16_t value) { ram_.memory().store(address, value); }

  Sent send(std::vector<Descriptor> entries, bool in_table) {
    Sent sent;
    for (const Descriptor& entry : entries) {
      if (entry.flags & write) sent.writable.push_back({entry.address, entry.length});
    }
    if (in_table) {
      for (std::size_t i = 0; i + 1 < entries.size(); ++i) {
        entries[i].flags |= next;
        entries[i].next = static_cast<std::uint16_t>(i + 1);
      }
      const auto size = static_cast<std::uint32_t>(16 * entries.size());
      const std::uint64_t table = ram_.put({reinterpret_cast<const std::uint8_t*>(entries.data()), size});
      entries = {{table, size, indirect, 0}};
    }
    std::vector<std::uint16_t> places;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      places.push_back(free_.back());
      free_.pop_back();
    }
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (i + 1 < entries.size()) {
        entries[i].flags |= next;
        entries[i].next = places[i + 1];
      }
      set_descriptor(places[i], entries[i]);
    }
    sent.head = places.front();
    make_available(sent.head);
    return sent;
  }

  Ram& ram_;
  QueueConfig config_;
  std::vector<std::uint16_t> free_;
  std::uint16_t available_ = 0, seen_ = 0;
};

}  // namespace virtio::fake
