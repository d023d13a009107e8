#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>

#include "vmm/bus/handler.h"
#include "vmm/chardev/chardev.h"

namespace platform {

/// A 16550A serial port at a character device (National Semiconductor PC16550D). Bytes go at once, whatever the
/// divisor says. Belongs to the main loop.
class Serial : public bus::Handler {
 public:
  /// `interrupt` is the level of its line.
  Serial(chardev::Chardev& chardev, std::function<void(bool)> interrupt);
  ~Serial() override;

  void reset();

  void read(std::uint64_t offset, std::span<std::uint8_t> value) override;
  void write(std::uint64_t offset, std::span<const std::uint8_t> value) override;

 private:
  static constexpr std::size_t fifo_size = 16;
  std::uint8_t load(std::uint64_t at);
  void store(std::uint64_t at, std::uint8_t value);
  void transmit(std::uint8_t byte);
  void receive(std::uint8_t byte);
  std::uint8_t interrupt_id() const;
  std::uint8_t modem_status() const;
  void update();

  chardev::Chardev& chardev_;
  std::function<void(bool)> interrupt_;
  std::deque<std::uint8_t> received_, unsent_;
  std::uint16_t divisor_ = 12;  ///< 9600 baud
  std::uint8_t interrupt_enable_ = 0, fifo_control_ = 0, line_control_ = 0, modem_control_ = 0, scratch_ = 0;
  bool transmit_event_ = false, overrun_ = false;
};

}  // namespace platform
