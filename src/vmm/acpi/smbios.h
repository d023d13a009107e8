#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "vmm/memory/guest_memory.h"

namespace acpi {

/// What names the machine and its parts to a guest (DSP0134, SMBIOS 3.3).
struct SmbiosConfig {
  std::array<std::uint8_t, 16> uuid{};
  /// What somebody says of a structure, by its type and the command line's key for the field. Numbers have been
  /// checked.
  std::map<std::pair<unsigned, std::string>, std::string> said = {};
  unsigned sockets = 1, cores = 1, threads = 1;  ///< processors: of a socket the cores, of all these the threads
};

/// Puts the tables and their entry point at `address`: the machine (types 0, 1 and 3; 2 where something is said of it),
/// its processors (4, one a socket) and its memory (16, 17, 19). Throws std::length_error.
void write_smbios(const SmbiosConfig& config, const memory::GuestMemory& memory, std::uint64_t address,
                  std::uint64_t size);

}  // namespace acpi
