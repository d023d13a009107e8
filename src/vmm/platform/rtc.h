#pragma once

#include <array>
#include <cstdint>
#include <ctime>
#include <functional>
#include <optional>

#include "vmm/bus/handler.h"

namespace platform {

/// The clock and its battery-backed memory at ports 0x70 and 0x71 (Motorola MC146818, as PCs have it). Tells the host's
/// UTC; a guest that sets it moves its own time only. It raises no interrupts: alarms are there to be set and read.
class Rtc : public bus::Handler {
 public:
  /// `seconds` is the host's time since 1970. `low` and `high` are the bytes of RAM below and above 4 GiB, which
  /// firmware looks for here.
  Rtc(std::function<std::int64_t()> seconds, std::uint64_t low, std::uint64_t high);

  void read(std::uint64_t offset, std::span<std::uint8_t> value) override;
  void write(std::uint64_t offset, std::span<const std::uint8_t> value) override;

 private:
  std::tm shown() const;
  void set(std::tm date);
  void hold(bool yes);
  std::uint8_t load(std::uint8_t index) const;
  void store(std::uint8_t index, std::uint8_t value);
  std::uint8_t encoded(unsigned value) const;
  unsigned decoded(std::uint8_t value) const;

  std::function<std::int64_t()> seconds_;
  std::int64_t offset_ = 0;           ///< what the guest made of the time
  std::optional<std::tm> being_set_;  ///< while status B's bit 7 holds the clock
  std::uint8_t index_ = 0;
  std::array<std::uint8_t, 128> memory_{};
};

}  // namespace platform
