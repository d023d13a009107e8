#pragma once

#include <algorithm>
#include <functional>

#include "vmm/bus/handler.h"

namespace platform {

/// The port by which a guest tells that it has panicked, or that it shuts down (QEMU, docs/specs/pvpanic).
class Panic : public bus::Handler {
 public:
  enum Event : std::uint8_t { panicked = 1, crash_loaded = 2, shut_down = 4 };
  explicit Panic(std::function<void(Event)> told) : told_(std::move(told)) {}

  void read(std::uint64_t, std::span<std::uint8_t> value) override {
    std::ranges::fill(value, std::uint8_t{0});
    value[0] = panicked | crash_loaded | shut_down;
  }
  /// Of several events the first one counts.
  void write(std::uint64_t, std::span<const std::uint8_t> value) override {
    for (const Event event : {panicked, crash_loaded, shut_down}) {
      if (value[0] & event) return told_(event);
    }
  }

 private:
  std::function<void(Event)> told_;
};

}  // namespace platform
