#include "vmm/acpi/dsdt.h"

#include "dsdt.hex"  // what iasl makes of dsdt.asl

namespace acpi {

std::span<const std::uint8_t> dsdt() {
  return dsdt_aml_code;
}

}  // namespace acpi
