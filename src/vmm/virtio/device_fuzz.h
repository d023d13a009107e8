#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <span>
#include <vector>

#include "vmm/virtio/device_fake.h"

namespace virtio::fake {

/// A fuzzer's bytes, taken from the front; zeros when there are no more.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : left_(data, size) {}
  bool empty() const { return left_.empty(); }
  std::uint8_t byte() {
    if (left_.empty()) return 0;
    const std::uint8_t value = left_.front();
    left_ = left_.subspan(1);
    return value;
  }
  std::uint16_t word() {
    const unsigned low = byte();
    return static_cast<std::uint16_t>(low | byte() << 8U);
  }
  std::span<const std::uint8_t> bytes(std::size_t size) {
    const auto taken = left_.first(std::min(size, left_.size()));
    left_ = left_.subspan(taken.size());
    return taken;
  }

 private:
  std::span<const std::uint8_t> left_;
};

/// Plays a fuzzer's bytes as moves of a driver that may do anything. A move is a byte, modulo 8, and what it needs:
///   0, 1  a chain: queue, head, how many descriptors (modulo 8), and of each its address (a word, times 4, in RAM or
///         just beyond), its length (a word) and its flags; it is made available
///   2     bytes in memory: where (a word, times 4), how many, the bytes
///   3     queue_ready(): queue
///   4     reset and activation: a byte of which the bits take features away, four each
///   5     configuration: offset, size (modulo 8, plus 1), whether it is written
///   6     the available index: queue, a word
///   7     the target's own, which takes what it needs
class Moves {
 public:
  static constexpr std::size_t ram_size = std::size_t{1} << 18;

  explicit Moves(Device& device)
      : device_(device), bench_(device, ram_size), known_(device.traits().queue_sizes.size()) {
    activate(0);
  }

  void play(Input input, const std::function<void(Input&)>& own) {
    // Long inputs find nothing that short ones do not.
    for (int count = 0; !input.empty() && count < 1000; ++count) move(input, own);
    device_.reset();
  }
  Bench& bench() { return bench_; }

 private:
  void activate(std::uint8_t without) {
    std::uint64_t features = device_.traits().features;
    for (unsigned bit = 0; bit < 8; ++bit) {
      if (without & (1U << bit)) features &= ~(std::uint64_t{0xf} << (4 * bit));
    }
    bench_.ram = Ram(ram_size);
    bench_.interrupts.broken = false;
    device_.activate(bench_.make_active(features));
  }
  Driver& queue(Input& input) { return bench_[input.byte() % known_]; }

  void move(Input& input, const std::function<void(Input&)>& own) {
    switch (input.byte() % 8) {
      case 0:
      case 1: {
        Driver& to = queue(input);
        const std::uint16_t size = to.config().size;
        const std::uint16_t head = input.byte() % size;
        const unsigned count = input.byte() % 8U;
        for (unsigned i = 0; i < count; ++i) {
          const std::uint64_t address = Ram::base + std::uint64_t{input.word()} * 4;
          const std::uint16_t length = input.word();
          const auto flags = static_cast<std::uint16_t>((input.byte() & 6) | (i + 1 < count ? Driver::next : 0));
          to.set_descriptor(static_cast<std::uint16_t>((head + i) % size),
                            {address, length, flags, static_cast<std::uint16_t>((head + i + 1) % size)});
        }
        to.make_available(head);
        break;
      }
      case 2: {
        const std::uint64_t address = Ram::base + std::uint64_t{input.word()} * 4;
        bench_.ram.memory().write(address, input.bytes(input.byte()));
        break;
      }
      case 3: device_.queue_ready(input.byte() % known_); break;
      case 4:
        device_.reset();
        activate(input.byte());
        break;
      case 5: {
        std::array<std::uint8_t, 8> value{};
        const std::uint64_t offset = input.byte();
        const std::size_t size = input.byte() % 8U + 1;
        if (offset + size > device_.traits().config_size) break;
        if (input.byte() & 1) {
          device_.write_config(offset, std::span(value).first(size));
        } else {
          device_.read_config(offset, std::span(value).first(size));
        }
        break;
      }
      case 6: queue(input).set_available_index(input.word()); break;
      default: own(input); break;
    }
  }

  Device& device_;
  Bench bench_;
  unsigned known_;
};

}  // namespace virtio::fake
