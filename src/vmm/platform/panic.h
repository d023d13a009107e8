#pragma once

#include <algorithm>
#include <functional>

#include "vmm/bus/handler.h"

namespace platform {

/// The port by which a guest tells that it has panicked (QEMU, docs/specs/pvpanic).
class Panic : public bus::Handler {
 public:
  enum Event : std::uint8_t { panicked = 1, crash_loaded = 2 };
  explicit Panic(std::function<void(Event)> told) : told_(std::move(told)) {}

  void read(std::uint64_t, std::span<std::uint8_t> value) override {
    std::ranges::fill(value, std::uint8_t{0});
    value[0] = panicked | crash_loaded;
  }
  void write(std::uint64_t, std::span<const std::uint8_t> value) override {
    if (value[0] & panicked) {
      told_(panicked);
    } else if (value[0] & crash_loaded) {
      told_(crash_loaded);
    }
  }

 private:
  std::function<void(Event)> told_;
};

}  // namespace platform
