#pragma once

#include <cstdint>
#include <functional>

#include "vmm/bus/handler.h"

/// The ways a PC's software resets it.
namespace platform {

/// Port 0xcf9, the reset control register (ICH9 datasheet §13.7.5).
class ResetControl : public bus::Handler {
 public:
  explicit ResetControl(std::function<void()> reset) : reset_(std::move(reset)) {}
  void read(std::uint64_t offset, std::span<std::uint8_t> value) override;
  void write(std::uint64_t offset, std::span<const std::uint8_t> value) override;

 private:
  std::function<void()> reset_;
  std::uint8_t value_ = 0;
};

/// Ports 0x60 and 0x64, an 8042 keyboard controller with nothing plugged in; what is left of it is the reset line that
/// its command 0xfe pulses.
class KeyboardController : public bus::Handler {
 public:
  static constexpr std::uint64_t size = 5;  ///< ports from 0x60; those between are nobody's
  explicit KeyboardController(std::function<void()> reset) : reset_(std::move(reset)) {}
  void read(std::uint64_t offset, std::span<std::uint8_t> value) override;
  void write(std::uint64_t offset, std::span<const std::uint8_t> value) override;

 private:
  void answer(std::uint8_t byte);
  void command(std::uint8_t code);

  std::function<void()> reset_;
  std::uint8_t output_ = 0, control_ = 0, pending_ = 0;
  bool full_ = false;
};

}  // namespace platform
