#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>

#include "vmm/bus/handler.h"

namespace bus {

/// An address space of register blocks: ports, or memory that is not RAM. Used with the main loop's lock held.
class Bus {
 public:
  /// A handler's place, until this ends.
  class Place {
   public:
    Place() = default;
    Place(Place&& other) noexcept { *this = std::move(other); }
    Place& operator=(Place&& other) noexcept {
      if (this == &other) return *this;
      end();
      bus_ = std::exchange(other.bus_, nullptr);
      base_ = other.base_;
      handler_ = other.handler_;
      return *this;
    }
    ~Place() { end(); }
    void end() {
      if (bus_) std::exchange(bus_, nullptr)->remove(base_, handler_);
    }
    explicit operator bool() const { return bus_ != nullptr; }

   private:
    friend class Bus;
    Place(Bus* bus, std::uint64_t base, Handler* handler) : bus_(bus), base_(base), handler_(handler) {}
    Bus* bus_ = nullptr;
    std::uint64_t base_ = 0;
    Handler* handler_ = nullptr;
  };

  /// The handler answers [base, base + size) from now on. Where ranges overlap, as a guest may place them, the one that
  /// begins last before an address answers it, and of those that begin together the one placed last.
  Place place(std::uint64_t base, std::uint64_t size, Handler& handler);

  /// False, with all ones read, where nobody answers. An access beyond the end of a block is answered as far as it
  /// goes.
  bool read(std::uint64_t address, std::span<std::uint8_t> value);
  bool write(std::uint64_t address, std::span<const std::uint8_t> value);

 private:
  struct Range {
    std::uint64_t size;
    Handler* handler;
  };
  struct Found {
    Handler* handler = nullptr;
    std::uint64_t offset = 0, left = 0;
  };
  Found find(std::uint64_t address) const;
  void remove(std::uint64_t base, const Handler* handler);

  std::multimap<std::uint64_t, Range> ranges_;
};

}  // namespace bus
