#pragma once

#include <cstdint>

/// The MC146818's cells and bits.
namespace platform::rtc {

enum Index : std::uint8_t {
  seconds = 0,
  seconds_alarm = 1,
  minutes = 2,
  minutes_alarm = 3,
  hours = 4,
  hours_alarm = 5,
  weekday = 6,
  day = 7,
  month = 8,
  year = 9,
  register_a = 10,
  register_b = 11,
  register_c = 12,
  register_d = 13,
  century = 0x32,
};

/// Of register A.
inline constexpr std::uint8_t update_in_progress = 1 << 7, divider = 7 << 4, divider_32768 = 2 << 4, rate = 0xf;
inline constexpr std::uint8_t rate_1024 = 6;
/// Of register B.
inline constexpr std::uint8_t stands = 1 << 7, square_wave = 1 << 3, binary = 1 << 2, hours_24 = 1 << 1;
/// Of register C what has happened; of register B the same bits enable its interrupt.
inline constexpr std::uint8_t periodic = 1 << 6, alarm = 1 << 5, update_ended = 1 << 4;
inline constexpr std::uint8_t causes = periodic | alarm | update_ended;
/// Of register C: the interrupt.
inline constexpr std::uint8_t requested = 1 << 7;
/// Of register D: the battery is good.
inline constexpr std::uint8_t valid = 1 << 7;
/// Of the afternoon's hours by twelve, and of an alarm that does not care.
inline constexpr std::uint8_t afternoon = 1 << 7, any = 3 << 6;

}  // namespace platform::rtc
