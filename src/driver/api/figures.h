#pragma once

#include <cstdint>
#include <vector>

#include "driver/instance/statistics.h"

/// What several calls tell of a running domain, each in its own form.
namespace api {

/// A figure of the guest's memory, in virDomainMemoryStat's order; KiB, or a count.
struct MemoryFigure {
  std::int32_t tag;  ///< virDomainMemoryStatTags
  const char* name;  ///< after "balloon." in domstats; none: not there
  std::uint64_t value;
};
std::vector<MemoryFigure> memory_figures(const instance::Running& now, const instance::Figures& figures);

/// An image's capacity as a QEMU shows it to its guest: in whole sectors.
inline std::uint64_t in_sectors(std::uint64_t capacity) {
  constexpr std::uint64_t sector = 512;
  return capacity + (sector - capacity % sector) % sector;
}

/// What the emulator counted for a disk; nullptr for nothing.
const emulator::BlockStats* find_block_stats(const instance::Figures& figures, const domain::Disk& disk);

}  // namespace api
