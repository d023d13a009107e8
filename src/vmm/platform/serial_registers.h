#pragma once

#include <cstdint>

/// The 16550A's registers, a byte each (National Semiconductor PC16550D datasheet, §8).
namespace platform::uart {

inline constexpr std::uint64_t data = 0, interrupt_enable = 1, interrupt_id = 2, fifo_control = 2, line_control = 3,
                               modem_control = 4, line_status = 5, modem_status = 6, scratch = 7, ports = 8;
/// With line_control's top bit set the first two are the divisor.
inline constexpr std::uint8_t divisor_access = 0x80;

namespace ier {
inline constexpr std::uint8_t received = 1, transmit_empty = 2, line = 4, modem = 8, mask = 0x0f;
}
namespace iir {
inline constexpr std::uint8_t none = 1, modem = 0x0, transmit_empty = 0x2, received = 0x4, line = 0x6, timeout = 0xc,
                              fifos = 0xc0;
}
namespace fcr {
inline constexpr std::uint8_t enable = 1, clear_receive = 2, clear_transmit = 4;
}
namespace lsr {
inline constexpr std::uint8_t ready = 1, overrun = 2, transmit_holding_empty = 0x20, transmit_empty = 0x40;
}
namespace mcr {
inline constexpr std::uint8_t dtr = 1, rts = 2, out1 = 4, out2 = 8, loop = 0x10, mask = 0x1f;
}
namespace msr {
inline constexpr std::uint8_t cts = 0x10, dsr = 0x20, ring = 0x40, carrier = 0x80;
}

}  // namespace platform::uart
