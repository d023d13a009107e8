#include "driver/protocol/node.h"

#include <algorithm>

#include "driver/api/client.h"
#include "driver/core/error.h"
#include "driver/host/facts.h"
#include "driver/host/proc.h"

// The host. What is only asked for when somebody looks is read from /proc and /sys at each call.
namespace api {
namespace {

using namespace protocol;
using core::Error;
using core::ErrorCode;

NodeGetInfoRet get_info(Client&) {
  const host::NodeInfo info = host::node_info();
  NodeGetInfoRet ret{};
  for (std::size_t i = 0; i < info.model.size() && i + 1 < ret.model.size(); ++i)
    ret.model[i] = static_cast<std::int8_t>(info.model[i]);
  ret.memory = info.memory_kib;
  ret.cpus = static_cast<std::int32_t>(info.cpus);
  ret.mhz = static_cast<std::int32_t>(info.mhz);
  ret.nodes = static_cast<std::int32_t>(info.nodes);
  ret.sockets = static_cast<std::int32_t>(info.sockets);
  ret.cores = static_cast<std::int32_t>(info.cores);
  ret.threads = static_cast<std::int32_t>(info.threads);
  return ret;
}

/// A bit a processor, the lowest first.
NodeGetCpuMapRet get_cpu_map(Client&, const NodeGetCpuMapArgs& args) {
  require_flags(args.flags, 0, "virNodeGetCPUMap");
  const host::CpuMap map = host::cpu_map();
  NodeGetCpuMapRet ret{{}, static_cast<std::uint32_t>(map.online.size()), static_cast<std::int32_t>(map.present)};
  if (args.need_map) {
    ret.cpumap.resize((map.present + 7) / 8);
    for (const unsigned cpu : map.online) ret.cpumap[cpu / 8] |= static_cast<std::uint8_t>(1u << cpu % 8);
  }
  if (!args.need_online) ret.online = 0;
  return ret;
}

/// libvirt's way of asking: no parameters is how many there are; any other number must be that one.
bool count_only(std::int32_t nparams, std::size_t there_are, const char* function) {
  if (nparams == 0) return true;
  if (std::cmp_equal(nparams, there_are)) return false;
  throw Error(ErrorCode::invalid_arg,
              std::string("nparams in ") + function + " must be equal to " + std::to_string(there_are));
}

NodeGetCpuStatsRet get_cpu_stats(Client&, const NodeGetCpuStatsArgs& args) {
  require_flags(args.flags, 0, "virNodeGetCPUStats");
  constexpr std::size_t fields = 4;
  if (count_only(args.nparams, fields, "virNodeGetCPUStats")) return {{}, fields};
  const host::CpuTimes times = host::cpu_times();
  const host::CpuTime* found = &times.total;
  if (args.cpu_num != -1) {
    const auto one = times.cpus.find(static_cast<unsigned>(args.cpu_num));
    if (args.cpu_num < 0 || one == times.cpus.end()) {
      throw Error(ErrorCode::invalid_arg,
                  "Invalid cpuNum in virNodeGetCPUStats: there is no processor " + std::to_string(args.cpu_num));
    }
    found = &one->second;
  }
  NodeGetCpuStatsRet ret{{}, fields};
  ret.params.push_back({"kernel", found->kernel});
  ret.params.push_back({"user", found->user});
  ret.params.push_back({"idle", found->idle});
  ret.params.push_back({"iowait", found->iowait});
  return ret;
}

NodeGetMemoryStatsRet get_memory_stats(Client&, const NodeGetMemoryStatsArgs& args) {
  require_flags(args.flags, 0, "virNodeGetMemoryStats");
  const bool whole = args.cell_num == -1;
  const std::size_t fields = whole ? 4 : 2;
  if (count_only(args.nparams, fields, "virNodeGetMemoryStats")) return {{}, static_cast<std::int32_t>(fields)};
  const auto memory =
      whole ? host::memory_statistics() : host::cell_memory_statistics(static_cast<unsigned>(args.cell_num));
  if (!memory) throw Error(ErrorCode::invalid_arg, "there is no cell " + std::to_string(args.cell_num));
  NodeGetMemoryStatsRet ret{};
  ret.params.push_back({"total", memory->total});
  ret.params.push_back({"free", memory->free});
  if (memory->buffers) ret.params.push_back({"buffers", *memory->buffers});
  if (memory->cached) ret.params.push_back({"cached", *memory->cached});
  ret.nparams = static_cast<std::int32_t>(ret.params.size());
  return ret;
}

/// The numbers of the host's cells; they do not change while it runs.
const std::vector<unsigned>& cell_numbers() {
  static const std::vector<unsigned> numbers = [] {
    std::vector<unsigned> all;
    for (const host::Cell& cell : host::cells()) all.push_back(cell.id);
    return all;
  }();
  return numbers;
}

/// The cells from number `start`, at most `count`.
std::vector<unsigned> cells_from(std::int32_t start, std::uint32_t count) {
  const unsigned last = cell_numbers().back();
  if (start < 0 || std::cmp_greater(start, last)) {
    throw Error(ErrorCode::internal_error,
                "start cell " + std::to_string(start) + " out of range (0-" + std::to_string(last) + ")");
  }
  std::vector<unsigned> chosen;
  for (const unsigned cell : cell_numbers()) {
    if (std::cmp_greater_equal(cell, start) && chosen.size() < count) chosen.push_back(cell);
  }
  return chosen;
}

constexpr std::uint64_t kib = 1024;

std::uint64_t free_bytes(unsigned cell) {
  const auto memory = host::cell_memory_statistics(cell);
  return memory ? memory->free * kib : 0;
}

NodeGetCellsFreeMemoryRet get_cells_free_memory(Client&, const NodeGetCellsFreeMemoryArgs& args) {
  NodeGetCellsFreeMemoryRet ret;
  for (const unsigned cell : cells_from(args.start_cell, static_cast<std::uint32_t>(std::max(args.maxcells, 0)))) {
    ret.cells.push_back(free_bytes(cell));
  }
  return ret;
}

NodeGetFreeMemoryRet get_free_memory(Client&) {
  std::uint64_t sum = 0;
  for (const unsigned cell : cell_numbers()) sum += free_bytes(cell);
  return {sum};
}

/// Start -1 is the whole host.
NodeGetFreePagesRet get_free_pages(Client&, const NodeGetFreePagesArgs& args) {
  require_flags(args.flags, 0, "virNodeGetFreePages");
  NodeGetFreePagesRet ret;
  const auto add = [&](std::optional<unsigned> cell) {
    for (const std::uint32_t size : args.pages) {
      const auto count = host::free_pages(cell, size);
      if (!count) {
        throw Error(ErrorCode::operation_failed, "page size " + std::to_string(size) + " is not available" +
                                                     (cell ? " on node " + std::to_string(*cell) : std::string()));
      }
      ret.counts.push_back(*count);
    }
  };
  if (args.start_cell == -1) {
    add({});
  } else {
    for (const unsigned cell : cells_from(args.start_cell, args.cell_count)) add(cell);
  }
  return ret;
}

/// virSecurityModel of a host without one.
NodeGetSecurityModelRet get_security_model(Client&) {
  NodeGetSecurityModelRet ret;
  const auto put = [](auto& into, std::string_view text) {
    into.assign(text.begin(), text.end());
    into.push_back('\0');
  };
  put(ret.model, "none");
  put(ret.doi, "0");
  return ret;
}

/// Kernel same-page merging (the kernel's admin-guide/mm/ksm), where the kernel has it.
NodeGetMemoryParametersRet get_memory_parameters(Client&, const NodeGetMemoryParametersArgs& args) {
  enum : std::uint32_t { typed_param_string_okay = 4 };
  require_flags(args.flags, typed_param_string_okay, "virNodeGetMemoryParameters");
  struct Row {
    const char* field;
    const char* file;
    bool is_unsigned_int;  // else an unsigned long long
  };
  constexpr Row rows[] = {
      {"shm_pages_to_scan", "pages_to_scan", true},    {"shm_sleep_millisecs", "sleep_millisecs", true},
      {"shm_pages_shared", "pages_shared", false},     {"shm_pages_sharing", "pages_sharing", false},
      {"shm_pages_unshared", "pages_unshared", false}, {"shm_pages_volatile", "pages_volatile", false},
      {"shm_full_scans", "full_scans", false},         {"shm_merge_across_nodes", "merge_across_nodes", true},
  };
  NodeGetMemoryParametersRet ret{};
  for (const Row& row : rows) {
    const auto value = host::proc::number_in(std::string("/sys/kernel/mm/ksm/") + row.file);
    if (!value) continue;
    ret.params.push_back({row.field, row.is_unsigned_int ? TypedParamValue(static_cast<std::uint32_t>(*value))
                                                         : TypedParamValue(*value)});
  }
  ret.nparams = static_cast<std::int32_t>(ret.params.size());
  if (args.nparams == 0) ret.params.clear();
  if (std::cmp_less(args.nparams, ret.params.size())) ret.params.resize(static_cast<std::size_t>(args.nparams));
  return ret;
}

}  // namespace

void add_node(Handlers& handlers) {
  using enum Procedure;
  handlers.add<node_get_info>(get_info);
  handlers.add<node_get_cpu_map>(get_cpu_map);
  handlers.add<node_get_cpu_stats>(get_cpu_stats);
  handlers.add<node_get_memory_stats>(get_memory_stats);
  handlers.add<node_get_cells_free_memory>(get_cells_free_memory);
  handlers.add<node_get_free_memory>(get_free_memory);
  handlers.add<node_get_free_pages>(get_free_pages);
  handlers.add<node_get_security_model>(get_security_model);
  handlers.add<node_get_memory_parameters>(get_memory_parameters);
}

}  // namespace api
