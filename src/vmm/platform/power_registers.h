#pragma once

#include <array>

#include "vmm/bus/register_map.h"

namespace platform {

enum class PowerRegister : std::uint8_t { status, enable, control, timer };

inline constexpr std::array<bus::Register<PowerRegister>, 4> power_registers{{
    {0, 2, PowerRegister::status, bus::Access::read_write, "PM1_STS"},
    {2, 2, PowerRegister::enable, bus::Access::read_write, "PM1_EN"},
    {4, 2, PowerRegister::control, bus::Access::read_write, "PM1_CNT"},
    {8, 4, PowerRegister::timer, bus::Access::read_only, "PM_TMR"},
}};
static_assert(bus::well_formed(power_registers, 16));

namespace pm1 {
inline constexpr std::uint16_t timer_carry = 1 << 0, global_lock = 1 << 5, power_button = 1 << 8,
                               clock_alarm = 1 << 10;  ///< status, enable
inline constexpr std::uint16_t sci_enable = 1 << 0, sleep_enable = 1 << 13, sleep_type_mask = 7 << 10;
inline constexpr std::uint16_t soft_off = 5 << 10;  ///< what the DSDT's _S5 says
}  // namespace pm1

}  // namespace platform
