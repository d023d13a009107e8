#pragma once

#include <array>
#include <cstdint>

#include "vmm/bus/register_map.h"

/// Virtio over PCI (Virtio 1.2 §4.1), as offsets and bits; shared by the transport and its tests.
namespace virtio::pci_layout {

inline constexpr std::uint16_t vendor = 0x1af4, first_device = 0x1040, first_subsystem = 0x0040;
inline constexpr unsigned msix_bar = 1, registers_bar = 2;
inline constexpr std::uint64_t msix_bar_size = 4096, registers_bar_size = 16384;

/// The parts of the registers' BAR.
inline constexpr std::uint32_t common_at = 0, isr_at = 0x1000, device_at = 0x2000, notify_at = 0x3000,
                               part_size = 0x1000;
inline constexpr std::uint32_t notify_multiplier = 4;

/// cfg_type of the capabilities (§4.1.4).
enum CfgType : std::uint8_t { common_cfg = 1, notify_cfg = 2, isr_cfg = 3, device_cfg = 4, pci_cfg = 5 };
/// Where each capability is.
inline constexpr std::uint8_t common_cap = 0x40, isr_cap = 0x50, device_cap = 0x60, notify_cap = 0x70, pci_cap = 0x84,
                              msix_cap = 0x98;

/// struct virtio_pci_common_cfg (§4.1.4.3).
enum class Common : std::uint8_t {
  device_feature_select,
  device_feature,
  driver_feature_select,
  driver_feature,
  config_msix_vector,
  num_queues,
  device_status,
  config_generation,
  queue_select,
  queue_size,
  queue_msix_vector,
  queue_enable,
  queue_notify_off,
  queue_desc,
  queue_driver,
  queue_device,
};

inline constexpr std::array<bus::Register<Common>, 16> common_registers{{
    {0x00, 4, Common::device_feature_select, bus::Access::read_write, "device_feature_select"},
    {0x04, 4, Common::device_feature, bus::Access::read_only, "device_feature"},
    {0x08, 4, Common::driver_feature_select, bus::Access::read_write, "driver_feature_select"},
    {0x0c, 4, Common::driver_feature, bus::Access::read_write, "driver_feature"},
    {0x10, 2, Common::config_msix_vector, bus::Access::read_write, "config_msix_vector"},
    {0x12, 2, Common::num_queues, bus::Access::read_only, "num_queues"},
    {0x14, 1, Common::device_status, bus::Access::read_write, "device_status"},
    {0x15, 1, Common::config_generation, bus::Access::read_only, "config_generation"},
    {0x16, 2, Common::queue_select, bus::Access::read_write, "queue_select"},
    {0x18, 2, Common::queue_size, bus::Access::read_write, "queue_size"},
    {0x1a, 2, Common::queue_msix_vector, bus::Access::read_write, "queue_msix_vector"},
    {0x1c, 2, Common::queue_enable, bus::Access::read_write, "queue_enable"},
    {0x1e, 2, Common::queue_notify_off, bus::Access::read_only, "queue_notify_off"},
    {0x20, 8, Common::queue_desc, bus::Access::read_write, "queue_desc"},
    {0x28, 8, Common::queue_driver, bus::Access::read_write, "queue_driver"},
    {0x30, 8, Common::queue_device, bus::Access::read_write, "queue_device"},
}};
inline constexpr std::size_t common_size = 0x38;
static_assert(bus::well_formed(common_registers, common_size));

/// device_status (§2.1).
namespace status {
inline constexpr std::uint8_t acknowledge = 1, driver = 2, driver_ok = 4, features_ok = 8, needs_reset = 64,
                              failed = 128;
}
/// ISR (§4.1.4.5).
inline constexpr std::uint8_t isr_queue = 1, isr_config = 2;
inline constexpr std::uint16_t no_vector = 0xffff;

}  // namespace virtio::pci_layout
