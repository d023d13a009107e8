#include "vmm/platform/rtc.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "vmm/platform/rtc_registers.h"

namespace platform {
namespace {

using namespace rtc;

constexpr std::int64_t second = 1'000'000'000, day_seconds = 86'400;
constexpr std::int64_t oscillator = 32'768;
constexpr std::int64_t announced = 8 * second / oscillator;  ///< from UIP to the update

bool is_time(std::uint8_t index) {
  return index == seconds || index == minutes || index == hours || (index >= weekday && index <= year) ||
         index == century;
}

std::tm utc(std::int64_t time) {
  const auto whole = static_cast<std::time_t>(time);
  std::tm parts{};
  ::gmtime_r(&whole, &parts);
  return parts;
}

std::int64_t whole_seconds(std::int64_t ns) {
  return ns / second - (ns % second < 0 ? 1 : 0);
}

}  // namespace

Rtc::Rtc(loop::Loop& loop, Board board, std::uint64_t low, std::uint64_t high)
    : loop_(loop), board_(std::move(board)), timer_(loop, [this] { update(); }) {
  utc(0);  // the C library looks for the time zone when it is first asked, which a vCPU's thread may not
  memory_[register_a] = divider_32768 | rate_1024;
  memory_[register_b] = hours_24;
  memory_[register_d] = valid;
  const auto put = [&](std::uint8_t at, std::uint64_t value) {
    memory_[at] = static_cast<std::uint8_t>(value);
    memory_[at + 1U] = static_cast<std::uint8_t>(value >> 8);
  };
  constexpr std::uint64_t kib = 1024, mib = kib * kib, unit = 64 * kib;
  put(0x15, 640);
  const std::uint64_t extended = std::min<std::uint64_t>((low - mib) / kib, 0xffff);
  put(0x17, extended);
  put(0x30, extended);
  put(0x34, std::min<std::uint64_t>(low > 16 * mib ? (low - 16 * mib) / unit : 0, 0xffff));
  put(0x5b, high / unit);
  memory_[0x5d] = static_cast<std::uint8_t>(high / unit >> 16);
  seen_second_ = whole_seconds(chain());
  last_period_ = ticks();
}

void Rtc::reset() {
  look();
  memory_[register_b] &= static_cast<std::uint8_t>(~(causes | square_wave));
  memory_[register_c] = 0;
  update();
}

// --- time

/// Whether the chain is not held in reset.
bool Rtc::divides() const {
  return (memory_[register_a] & divider) <= divider_32768;
}

bool Rtc::runs() const {
  return divides() && !(memory_[register_b] & stands);
}

/// Where the divider chain is, ns; a second of it is a second of the clock.
std::int64_t Rtc::chain() const {
  return board_.time() + phase_;
}

/// What the clock shows, or would show if it were not held; seconds since 1970.
std::int64_t Rtc::now() const {
  return whole_seconds(chain()) + base_;
}

std::uint8_t Rtc::encoded(unsigned value) const {
  return static_cast<std::uint8_t>(memory_[register_b] & binary ? value : value / 10 * 16 + value % 10);
}

std::uint8_t Rtc::encoded_hour(unsigned hour) const {
  if (memory_[register_b] & hours_24) return encoded(hour);
  return static_cast<std::uint8_t>(encoded((hour + 11) % 12 + 1) | (hour >= 12 ? afternoon : 0));
}

unsigned Rtc::decoded(std::uint8_t value) const {
  return memory_[register_b] & binary ? value : value / 16U * 10 + value % 16U;
}

/// Fills the time's cells.
void Rtc::show() {
  const std::tm date = utc(now());
  const auto put = [this](Index index, int value) { memory_[index] = encoded(static_cast<unsigned>(value)); };
  put(seconds, date.tm_sec);
  put(minutes, date.tm_min);
  memory_[hours] = encoded_hour(static_cast<unsigned>(date.tm_hour));
  put(weekday, date.tm_wday + 1);
  put(day, date.tm_mday);
  put(month, date.tm_mon + 1);
  const int number = std::max(date.tm_year + 1900, 0);
  put(year, number % 100);
  put(century, number / 100);
}

/// Makes one date of the time's cells, whatever they are.
void Rtc::set() {
  const auto cell = [this](Index index) { return static_cast<int>(decoded(memory_[index])); };
  std::tm date{};
  date.tm_sec = cell(seconds);
  date.tm_min = cell(minutes);
  date.tm_hour = memory_[register_b] & hours_24 ? cell(hours)
                                                : static_cast<int>(decoded(memory_[hours] & ~afternoon)) % 12 +
                                                      (memory_[hours] & afternoon ? 12 : 0);
  date.tm_mday = cell(day);
  date.tm_mon = cell(month) - 1;
  date.tm_year = cell(century) * 100 + cell(year) - 1900;
  base_ = ::timegm(&date) - whole_seconds(chain());
}

// --- interrupts

/// Of the oscillator, since the chain's zero.
std::int64_t Rtc::ticks() const {
  const std::int64_t ns = chain(), whole = whole_seconds(ns);
  return whole * oscillator + (ns - whole * second) * oscillator / second;
}

/// Of the periodic interrupt, in ticks; 0 for none. With an oscillator of 32768 Hz the two fastest rates are others.
std::int64_t Rtc::period() const {
  unsigned select = memory_[register_a] & rate;
  if (select == 0 || !divides()) return 0;
  if (select <= 2 && (memory_[register_a] & divider) == divider_32768) select += 7;
  return std::int64_t{1} << (select - 1);
}

/// The first second of the chain after seen_second_ at which the alarm matches.
std::optional<std::int64_t> Rtc::next_alarm() const {
  const auto matches = [this](Index index, std::uint8_t value) {
    return (memory_[index] & any) == any || memory_[index] == value;
  };
  std::array<bool, 60> at_second{}, at_minute{};
  std::array<bool, 24> at_hour{};
  for (unsigned i = 0; i < 60; ++i) {
    at_second[i] = matches(seconds_alarm, encoded(i));
    at_minute[i] = matches(minutes_alarm, encoded(i));
  }
  for (unsigned i = 0; i < 24; ++i) at_hour[i] = matches(hours_alarm, encoded_hour(i));
  const auto none = [](const auto& all) { return std::ranges::find(all, true) == all.end(); };
  if (none(at_second) || none(at_minute) || none(at_hour)) return {};
  const std::int64_t from = seen_second_ + base_;
  std::int64_t time = from + 1;
  for (;;) {
    const auto of_day = static_cast<unsigned>((time % day_seconds + day_seconds) % day_seconds);
    if (!at_hour[of_day / 3600]) {
      time += 3600 - of_day % 3600;
    } else if (!at_minute[of_day / 60 % 60]) {
      time += 60 - of_day % 60;
    } else if (!at_second[of_day % 60]) {
      ++time;
    } else {
      return time - base_;
    }
  }
}

/// Sets the flags of what has happened since it was looked last.
void Rtc::look() {
  const std::int64_t at_second = whole_seconds(chain()), at_tick = ticks();
  if (runs() && at_second > seen_second_) {
    memory_[register_c] |= update_ended;
    if (const auto time = next_alarm(); time && *time <= at_second) memory_[register_c] |= alarm;
  }
  const std::int64_t length = period();
  if (length == 0 || at_tick < last_period_) {
    last_period_ = at_tick;
  } else if (const std::int64_t periods = (at_tick - last_period_) / length; periods > 0) {
    memory_[register_c] |= periodic;
    last_period_ += periods * length;
  }
  seen_second_ = at_second;
}

/// Brings the line and the timer in accord with the registers.
void Rtc::update() {
  look();
  const auto enabled = static_cast<std::uint8_t>(memory_[register_b] & causes);
  std::uint8_t& flags = memory_[register_c];
  flags = static_cast<std::uint8_t>((flags & causes) | (flags & enabled ? requested : 0));
  board_.interrupt(flags & requested);

  std::optional<std::int64_t> next;  // ns of the chain
  const auto wait_for = [&next](std::int64_t time) { next = next ? std::min(*next, time) : time; };
  if (!(flags & requested)) {
    if (runs() && (enabled & update_ended)) wait_for((seen_second_ + 1) * second);
    if (runs() && (enabled & alarm)) {
      if (const auto time = next_alarm()) wait_for(*time * second);
    }
    if (const std::int64_t length = period(); length > 0 && (enabled & periodic)) {
      const std::int64_t tick = last_period_ + length;
      wait_for(tick / oscillator * second + (tick % oscillator * second + oscillator - 1) / oscillator);
    }
  }
  if (!next) return timer_.cancel();
  std::int64_t wait = *next - chain();
  // The host's time of day may be set, or go on while the host sleeps; the loop's clock would not tell.
  if (!loop_.clock().simulated()) wait = std::min(wait, 60 * second);
  timer_.set(loop_.clock().now() + wait);
}

// --- registers

std::uint8_t Rtc::load(std::uint8_t index) {
  if (is_time(index)) {
    if (runs()) show();
    return memory_[index];
  }
  if (index == register_a) {
    const std::int64_t into = chain() - whole_seconds(chain()) * second;
    const bool soon = runs() && into >= second - announced;
    return static_cast<std::uint8_t>(memory_[register_a] | (soon ? update_in_progress : 0));
  }
  if (index != register_c) return memory_[index];
  look();
  update();
  const std::uint8_t flags = std::exchange(memory_[register_c], std::uint8_t{0});
  update();
  return flags;
}

void Rtc::store(std::uint8_t index, std::uint8_t value) {
  if (index == register_c || index == register_d) return;
  look();
  if (index == register_a || index == register_b) {
    store_control(index, value);
  } else if (is_time(index)) {
    if (runs()) show();
    memory_[index] = value;
    if (runs()) set();
  } else {
    memory_[index] = value;
  }
  update();
}

/// While the clock is held each part of the time is a cell of its own. They become one date when it goes on.
void Rtc::store_control(std::uint8_t index, std::uint8_t value) {
  const bool ran = runs(), divided = divides();
  if (ran) show();
  const std::uint8_t mode = memory_[register_b];
  if (index == register_a) {
    memory_[register_a] = static_cast<std::uint8_t>(value & ~update_in_progress);
    // The chain begins anew with half a second done.
    if (divides() && !divided) {
      phase_ += second / 2 - (chain() - whole_seconds(chain()) * second);
      seen_second_ = whole_seconds(chain());
      last_period_ = ticks();
    }
  } else {
    memory_[register_b] = static_cast<std::uint8_t>(value & stands ? value & ~update_ended : value);
  }
  if (runs() && !ran) {
    const std::uint8_t written = std::exchange(memory_[register_b], mode);  // the cells are in the mode of before
    set();
    memory_[register_b] = written;
  }
}

void Rtc::read(std::uint64_t offset, std::span<std::uint8_t> value) {
  std::ranges::fill(value, std::uint8_t{0xff});
  if (offset == 1) value[0] = load(index_);
}

void Rtc::write(std::uint64_t offset, std::span<const std::uint8_t> value) {
  if (offset == 0) {
    index_ = value[0] & 0x7f;  // the top bit masks an NMI that is not there
  } else {
    store(index_, value[0]);
  }
}

}  // namespace platform
