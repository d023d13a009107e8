#pragma once

#include <cstdint>

/// Configuration space by its specification's names (PCI 3.0 §6.1–6.2, PCI-to-PCI Bridge 1.2 §3.2, PCIe 5.0 §7.5).
namespace pci {

namespace reg {
inline constexpr std::size_t vendor = 0x00, device = 0x02, command = 0x04, status = 0x06, revision = 0x08,
                             class_code = 0x09, header_type = 0x0e, bar0 = 0x10, subsystem_vendor = 0x2c,
                             subsystem = 0x2e, capabilities = 0x34, interrupt_line = 0x3c, interrupt_pin = 0x3d;
// Of a bridge, header type 1.
inline constexpr std::size_t primary_bus = 0x18, secondary_bus = 0x19, subordinate_bus = 0x1a, io_base = 0x1c,
                             io_limit = 0x1d, secondary_status = 0x1e, memory_base = 0x20, memory_limit = 0x22,
                             prefetchable_base = 0x24, prefetchable_limit = 0x26, prefetchable_base_upper = 0x28,
                             prefetchable_limit_upper = 0x2c, io_base_upper = 0x30, bridge_control = 0x3e;
}  // namespace reg

namespace command {
inline constexpr std::uint16_t io = 1 << 0, memory = 1 << 1, bus_master = 1 << 2, parity = 1 << 6, serr = 1 << 8,
                               intx_disable = 1 << 10;
}
namespace status {
inline constexpr std::uint16_t interrupt = 1 << 3, capabilities = 1 << 4, errors = 0xf900;
}
namespace bridge_control {
inline constexpr std::uint16_t secondary_reset = 1 << 6;
}

namespace capability {
inline constexpr std::uint8_t vendor = 0x09, express = 0x10, msix = 0x11;
}

namespace msix {
inline constexpr std::uint16_t enable = 1 << 15, function_mask = 1 << 14;
inline constexpr std::size_t control = 2, table = 4, pending = 8, entry_size = 16;
inline constexpr std::uint32_t vector_masked = 1;
}  // namespace msix

}  // namespace pci
