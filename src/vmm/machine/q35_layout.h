#pragma once

#include <cstdint>

/// The q35 machine's addresses, ports and interrupts. acpi/dsdt.asl says the same to the guest.
namespace machine::q35 {

inline constexpr std::uint64_t gib = std::uint64_t{1} << 30;

inline constexpr std::uint64_t low_ram_end = 2 * gib;  ///< RAM beyond it begins at high_ram
inline constexpr std::uint64_t high_ram = 4 * gib;
inline constexpr std::uint64_t ecam = 0xb000'0000, ecam_size = 0x1000'0000;
inline constexpr std::uint64_t pci_memory = 0xc000'0000, pci_memory_size = 0x3000'0000;

inline constexpr std::uint16_t rtc_ports = 0x70, keyboard_ports = 0x60, serial_ports = 0x3f8, config_ports = 0xcf8,
                               reset_port = 0xcf9, panic_port = 0x505, power_ports = 0x600;

inline constexpr unsigned serial_gsi = 4, rtc_gsi = 8, sci_gsi = 9, first_pci_gsi = 16, pci_gsis = 4;

inline constexpr std::uint64_t tables = 0xe0000, tables_size = 0x10000, smbios = 0xf0000, smbios_size = 0x10000;

}  // namespace machine::q35
