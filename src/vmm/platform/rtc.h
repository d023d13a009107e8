#pragma once

#include <array>
#include <cstdint>
#include <ctime>
#include <functional>
#include <optional>

#include "vmm/bus/handler.h"
#include "vmm/loop/loop.h"

namespace platform {

/// The clock and its battery-backed memory at ports 0x70 and 0x71 (Motorola MC146818, as PCs have it). Begins at the
/// host's UTC; a guest that sets it moves its own time only. What its interrupts tell of is looked up when somebody
/// asks: a timer runs only for an interrupt that is enabled and has not come.
class Rtc : public bus::Handler {
 public:
  struct Board {
    std::function<std::int64_t()> time;   ///< ns since 1970, as fast as the loop's clock
    std::function<void(bool)> interrupt;  ///< the level of the line
  };
  /// `low` and `high` are the bytes of RAM below and above 4 GiB, which firmware looks for here.
  Rtc(loop::Loop& loop, Board board, std::uint64_t low, std::uint64_t high);

  /// As the chip's RESET# pin: no interrupts; the time and the memory stay.
  void reset();

  void read(std::uint64_t offset, std::span<std::uint8_t> value) override;
  void write(std::uint64_t offset, std::span<const std::uint8_t> value) override;

 private:
  std::uint8_t load(std::uint8_t index);
  void store(std::uint8_t index, std::uint8_t value);
  void store_control(std::uint8_t index, std::uint8_t value);

  bool divides() const;
  bool runs() const;
  std::int64_t chain() const;
  std::int64_t now() const;
  std::uint8_t encoded(unsigned value) const;
  std::uint8_t encoded_hour(unsigned hour) const;
  unsigned decoded(std::uint8_t value) const;
  void show();
  void set();

  std::int64_t ticks() const;
  std::int64_t period() const;
  std::optional<std::int64_t> next_alarm() const;
  void look();
  void update();

  loop::Loop& loop_;
  Board board_;
  loop::Timer timer_;             ///< for the next interrupt that is waited for
  std::int64_t phase_ = 0;        ///< of the divider chain against the board's time, ns
  std::int64_t base_ = 0;         ///< of the clock against the chain, seconds
  std::int64_t seen_second_ = 0;  ///< of the chain, up to which updates have been looked for
  std::int64_t last_period_ = 0;  ///< in ticks; a change of the rate counts from there
  std::uint8_t index_ = 0;
  std::array<std::uint8_t, 128> memory_{};  ///< the time's cells only while the clock is held
};

}  // namespace platform
