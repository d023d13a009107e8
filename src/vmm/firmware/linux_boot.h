#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/firmware/image.h"
#include "vmm/memory/guest_memory.h"

namespace firmware {

/// One range of the map of memory that a kernel is given (E820, ACPI 6.4 §15).
struct MemoryRange {
  enum class Kind : std::uint32_t { ram = 1, reserved = 2, acpi = 3 };
  std::uint64_t address = 0, size = 0;
  Kind kind = Kind::ram;
};

/// What a kernel is booted with.
struct LinuxConfig {
  const Image& kernel;
  const Image* initrd = nullptr;
  std::string command_line;
  std::uint64_t acpi_rsdp = 0;  ///< where the tables begin
  std::vector<MemoryRange> map;
  bool memory_is_zero = false;  ///< nothing was ever in it: what is to be zero need not be written
};

/// Where the first vCPU is to begin.
struct LinuxEntry {
  enum class Kind { linux_64, pvh };
  Kind kind = Kind::linux_64;
  std::uint64_t instruction = 0, argument = 0, page_tables = 0, gdt = 0;
};

/// Puts a kernel and what it is given into memory: a bzImage by the 64-bit boot protocol (kernel documentation,
/// arch/x86/boot), an ELF kernel by PVH (Xen, misc/pvh) where it has the note for it. Again at each reset, since a
/// guest may have written over all of it. Throws std::runtime_error naming the file and what is wrong with it.
LinuxEntry load_linux(const LinuxConfig& config, const memory::GuestMemory& memory);

/// Where in low memory things are put; nothing else may be there.
namespace layout {
inline constexpr std::uint64_t gdt = 0x500, zero_page = 0x7000, start_info = 0x6000, page_tables = 0x9000,
                               command_line = 0x20000, command_line_size = 0x10000, ebda = 0x9fc00, tables = 0xe0000,
                               high_memory = 0x100000;
}

}  // namespace firmware
