#pragma once

#include <cstdint>
#include <span>

namespace acpi {

/// dsdt.asl, compiled.
std::span<const std::uint8_t> dsdt();

}  // namespace acpi
