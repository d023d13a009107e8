#include "vmm/platform/rtc.h"

#include <algorithm>
#include <ctime>
#include <utility>

namespace platform {
namespace {

enum Index : std::uint8_t {
  seconds = 0,
  minutes = 2,
  hours = 4,
  weekday = 6,
  day = 7,
  month = 8,
  year = 9,
  status_a = 10,
  status_b = 11,
  status_c = 12,
  status_d = 13,
  century = 0x32,
};
constexpr std::uint8_t divider_32768 = 0x26;
constexpr std::uint8_t hours_24 = 1 << 1, binary = 1 << 2, stands = 1 << 7;  // of status B
constexpr std::uint8_t valid = 1 << 7;                                       // of status D

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

}  // namespace

Rtc::Rtc(std::function<std::int64_t()> seconds_now, std::uint64_t low, std::uint64_t high)
    : seconds_(std::move(seconds_now)) {
  utc(0);  // the C library looks for the time zone when it is first asked, which a vCPU's thread may not
  memory_[status_a] = divider_32768;
  memory_[status_b] = hours_24;
  memory_[status_d] = valid;
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
}

std::uint8_t Rtc::encoded(unsigned value) const {
  return static_cast<std::uint8_t>(memory_[status_b] & binary ? value : value / 10 * 16 + value % 10);
}

unsigned Rtc::decoded(std::uint8_t value) const {
  return memory_[status_b] & binary ? value : value / 16U * 10 + value % 16U;
}

std::uint8_t Rtc::load(std::uint8_t index) const {
  if (!is_time(index)) return memory_[index];
  const std::tm now = shown();
  switch (index) {
    case seconds: return encoded(static_cast<unsigned>(now.tm_sec));
    case minutes: return encoded(static_cast<unsigned>(now.tm_min));
    case hours: {
      const auto hour = static_cast<unsigned>(now.tm_hour);
      if (memory_[status_b] & hours_24) return encoded(hour);
      constexpr std::uint8_t afternoon = 0x80;
      return static_cast<std::uint8_t>(encoded((hour + 11) % 12 + 1) | (hour >= 12 ? afternoon : 0));
    }
    case weekday: return encoded(static_cast<unsigned>(now.tm_wday + 1));
    case day: return encoded(static_cast<unsigned>(now.tm_mday));
    case month: return encoded(static_cast<unsigned>(now.tm_mon + 1));
    case year: return encoded(static_cast<unsigned>(now.tm_year) % 100);
    default: return encoded(static_cast<unsigned>(now.tm_year + 1900) / 100);
  }
}

/// While the clock is held its parts may be any; they become one date when it goes on.
void Rtc::hold(bool yes) {
  if (yes && !being_set_) being_set_ = shown();
  if (!yes && being_set_) set(*std::exchange(being_set_, {}));
}

void Rtc::store(std::uint8_t index, std::uint8_t value) {
  if (index == status_c || index == status_d) return;
  if (!is_time(index)) {
    if (index == status_b) hold(value & stands);
    memory_[index] = value;
    return;
  }
  std::tm now = shown();
  const auto number = static_cast<int>(decoded(value));
  switch (index) {
    case seconds: now.tm_sec = number; break;
    case minutes: now.tm_min = number; break;
    case hours:
      now.tm_hour = memory_[status_b] & hours_24
                        ? number
                        : static_cast<int>(decoded(value & 0x7f)) % 12 + (value & 0x80 ? 12 : 0);
      break;
    case day: now.tm_mday = number; break;
    case month: now.tm_mon = number - 1; break;
    case year: now.tm_year = now.tm_year / 100 * 100 + number; break;
    case century: now.tm_year = number * 100 - 1900 + now.tm_year % 100; break;
    default: return;
  }
  if (being_set_) {
    being_set_ = now;
  } else {
    set(now);
  }
}

/// The date that the registers show: of a clock that stands while it is being set, as its parts were written.
std::tm Rtc::shown() const {
  return being_set_ ? *being_set_ : utc(seconds_() + offset_);
}

void Rtc::set(std::tm date) {
  offset_ = ::timegm(&date) - seconds_();
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
