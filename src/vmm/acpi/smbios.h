#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "vmm/memory/guest_memory.h"

namespace acpi {

/// What names the machine to a guest (DSP0134, SMBIOS 3.3): types 0, 1 and 3, and who says more.
struct SmbiosConfig {
  std::array<std::uint8_t, 16> uuid{};
  std::string bios_vendor = "StratoVirt", bios_version = STRATOVIRT_VERSION, bios_date = "01/01/2026";
  std::string manufacturer = "StratoVirt", product = "StratoVirt", version = STRATOVIRT_VERSION, serial, sku, family;
  std::string chassis_manufacturer = "StratoVirt", chassis_version, chassis_serial, chassis_asset, chassis_sku;
};

/// Puts the tables and their entry point at `address`. Throws std::length_error.
void write_smbios(const SmbiosConfig& config, const memory::GuestMemory& memory, std::uint64_t address,
                  std::uint64_t size);

}  // namespace acpi
