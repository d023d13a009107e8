#pragma once

#include <asm/bootparam.h>
#include <elf.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
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

/// What a kernel is told.
struct LinuxConfig {
  std::string command_line;
  std::uint64_t acpi_rsdp = 0;  ///< where the tables begin
  std::vector<MemoryRange> map;
};

/// Where the first vCPU is to begin.
struct LinuxEntry {
  enum class Kind { linux_64, pvh };
  Kind kind = Kind::linux_64;
  std::uint64_t instruction = 0, argument = 0, page_tables = 0, gdt = 0;
};

/// A kernel and its initrd: a bzImage by the 64-bit boot protocol (kernel documentation, arch/x86/boot), an ELF kernel
/// by PVH (Xen, misc/pvh) where it has the note for it. Throws std::runtime_error naming the file and what is wrong
/// with it.
class Linux {
 public:
  Linux(Image kernel, std::optional<Image> initrd) : kernel_(std::move(kernel)), initrd_(std::move(initrd)) {}

  /// Puts both into memory, above the first megabyte; again at each reset, since a guest may have written over all of
  /// it, from files that are looked at anew: what somebody wrote into them meanwhile is what is booted. `blank`:
  /// nothing was ever in that memory, and what is to be zero need not be written.
  void load(const memory::GuestMemory& memory, bool blank);
  /// Writes what the kernel that is in memory is to know, below the first megabyte.
  LinuxEntry describe(const LinuxConfig& config, const memory::GuestMemory& memory) const;

 private:
  struct Place {
    std::uint64_t address = 0, size = 0;
  };
  Place load_initrd(const memory::GuestMemory& memory, std::uint64_t highest, std::uint64_t kernel_end) const;
  void load_bzimage(const setup_header& header, const memory::GuestMemory& memory);
  void check_segments(std::vector<Elf64_Phdr>& segments, std::uint64_t entry, const memory::GuestMemory& memory) const;
  void load_elf(const memory::GuestMemory& memory, bool blank);
  void describe_bzimage(const LinuxConfig& config, const memory::GuestMemory& memory) const;
  void describe_elf(const LinuxConfig& config, const memory::GuestMemory& memory) const;

  Image kernel_;
  std::optional<Image> initrd_;
  std::optional<setup_header> header_;  ///< of a bzImage
  std::uint64_t entry_ = 0;
  Place initrd_place_;
};

/// Where in low memory things are put; nothing else may be there.
namespace layout {
inline constexpr std::uint64_t gdt = 0x500, zero_page = 0x7000, start_info = 0x6000, page_tables = 0x9000,
                               command_line = 0x20000, command_line_size = 0x10000, ebda = 0x9fc00, tables = 0xe0000,
                               high_memory = 0x100000;
}

}  // namespace firmware
