#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/memory/guest_memory.h"

/// The tables a guest's kernel finds its hardware by (ACPI 6.4 §5.2), and those that name the machine (SMBIOS 3.3).
namespace acpi {

struct Processor {
  std::uint32_t apic_id = 0;
  bool enabled = true;  ///< else it can be added later
};

/// What differs from one machine to the next.
struct Config {
  std::vector<Processor> processors;
  std::uint64_t ecam = 0;         ///< address of configuration space
  std::uint8_t last_bus = 255;    ///< of PCI; Linux looks at every place of each bus up to it
  std::uint16_t power_ports = 0;  ///< of the power management block
  std::uint8_t sci = 9;           ///< its interrupt
  std::uint16_t reset_port = 0xcf9;
  std::uint8_t reset_value = 6;
};

/// Builds all tables for a place at `address` and puts them there; `size` bytes are free. Returns the address of the
/// root pointer. Throws std::length_error.
std::uint64_t write_tables(const Config& config, const memory::GuestMemory& memory, std::uint64_t address,
                           std::uint64_t size);

}  // namespace acpi
