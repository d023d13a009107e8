#pragma once

#include <array>
#include <cstdint>

#include "vmm/bus/register_map.h"

/// The console device's layouts (Virtio 1.2 §5.3), shared with its tests.
namespace virtio::console_layout {

inline constexpr std::uint64_t size_feature = 1 << 0, multiport_feature = 1 << 1;
inline constexpr std::uint16_t port_queue_size = 128, control_queue_size = 32;
inline constexpr unsigned control_receive = 2, control_transmit = 3;

/// Of a port (§5.3.2); the one after it transmits.
constexpr unsigned receive_queue(unsigned port) {
  return port == 0 ? 0 : 2 * port + 2;
}

/// struct virtio_console_config (§5.3.4).
enum class Config : std::uint8_t { cols, rows, max_nr_ports, emerg_wr };
inline constexpr std::array<bus::Register<Config>, 4> config_registers{{
    {0, 2, Config::cols, bus::Access::read_only, "cols"},
    {2, 2, Config::rows, bus::Access::read_only, "rows"},
    {4, 4, Config::max_nr_ports, bus::Access::read_only, "max_nr_ports"},
    {8, 4, Config::emerg_wr, bus::Access::reserved, "emerg_wr"},
}};
inline constexpr std::size_t config_size = 12;
static_assert(bus::well_formed(config_registers, config_size));

/// §5.3.6.2.
enum class Event : std::uint16_t {
  device_ready,
  device_add,
  device_remove,
  port_ready,
  console_port,
  resize,
  port_open,
  port_name
};
/// struct virtio_console_control.
struct Control {
  std::uint32_t port;
  Event event;
  std::uint16_t value;
};
static_assert(sizeof(Control) == 8);

}  // namespace virtio::console_layout
