#include "driver/api/figures.h"

#include <algorithm>

#include "driver/host/process_stats.h"

namespace api {

std::vector<MemoryFigure> memory_figures(const instance::Running& now, const instance::Figures& figures) {
  using emulator::GuestMemory;
  std::vector<MemoryFigure> result;
  const auto& balloon = now.live.memballoon;
  if (balloon && balloon->model == domain::Memballoon::Model::virtio) {
    result.push_back({6, nullptr, now.live.current_memory_kib});  // domstats has it as balloon.current
  }
  if (figures.memory) {
    const auto add = [&](std::int32_t tag, const char* name, const std::optional<std::uint64_t>& value) {
      if (value) result.push_back({tag, name, *value});
    };
    const GuestMemory& said = *figures.memory;
    add(0, "swap_in", said.swap_in);
    add(1, "swap_out", said.swap_out);
    add(2, "major_fault", said.major_fault);
    add(3, "minor_fault", said.minor_fault);
    add(4, "unused", said.unused);
    add(5, "available", said.available);
    add(8, "usable", said.usable);
    add(9, "last-update", said.last_update);
    add(10, "disk_caches", said.disk_caches);
    add(11, "hugetlb_pgalloc", said.hugetlb_pgalloc);
    add(12, "hugetlb_pgfail", said.hugetlb_pgfail);
  }
  if (const auto used = host::process_statistics(now.process.pid)) result.push_back({7, "rss", used->resident_kib});
  return result;
}

const emulator::BlockStats* find_block_stats(const instance::Figures& figures, const domain::Disk& disk) {
  if (!figures.blocks) return nullptr;
  const auto found = std::ranges::find(*figures.blocks, disk.info.alias, &emulator::BlockStats::device);
  return found == figures.blocks->end() ? nullptr : &*found;
}

}  // namespace api
