#pragma once

#include <cstdint>
#include <functional>

#include "vmm/bus/handler.h"
#include "vmm/loop/loop.h"

namespace platform {

/// ACPI's fixed power management (ACPI 6.4 §4.8.3): the power button, soft off, and the timer of 3.579545 MHz.
class Power : public bus::Handler {
 public:
  static constexpr std::uint64_t size = 16;                          ///< ports
  static constexpr std::uint16_t event = 0, control = 4, timer = 8;  ///< the blocks within them

  /// `sci` is the level of the system control interrupt; `off` is called when the guest turns the machine off.
  Power(loop::Loop& loop, std::function<void(bool)> sci, std::function<void()> off);

  void press_button();
  void reset();

  void read(std::uint64_t offset, std::span<std::uint8_t> value) override;
  void write(std::uint64_t offset, std::span<const std::uint8_t> value) override;

 private:
  std::uint32_t ticks() const;
  void update();

  loop::Loop& loop_;
  std::function<void(bool)> sci_;
  std::function<void()> off_;
  loop::Timer carry_;  ///< when the timer's top bit turns, while the guest wants to be told
  std::uint16_t status_ = 0, enable_ = 0, control_ = 0;
};

}  // namespace platform
