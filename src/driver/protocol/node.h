#pragma once

#include "driver/protocol/types.h"

/// The host.
namespace protocol {

struct NodeGetInfoRet {
  std::array<std::int8_t, 32> model;
  std::uint64_t memory;
  std::int32_t cpus;
  std::int32_t mhz;
  std::int32_t nodes;
  std::int32_t sockets;
  std::int32_t cores;
  std::int32_t threads;
};

template <>
struct Wire<Procedure::node_get_info> : Call<Void, NodeGetInfoRet> {};

struct NodeGetCpuMapArgs {
  std::int32_t need_map;
  std::int32_t need_online;
  std::uint32_t flags;
};

struct NodeGetCpuMapRet {
  Opaque<max::cpumap> cpumap;
  std::uint32_t online;
  std::int32_t ret;
};

template <>
struct Wire<Procedure::node_get_cpu_map> : Call<NodeGetCpuMapArgs, NodeGetCpuMapRet> {};

struct NodeGetCpuStatsArgs {
  std::int32_t cpu_num;
  std::int32_t nparams;
  std::uint32_t flags;
};

struct NodeGetCpuStats {
  String<> field;
  std::uint64_t value;
};

struct NodeGetCpuStatsRet {
  Array<NodeGetCpuStats, max::node_cpu_stats> params;
  std::int32_t nparams;
};

template <>
struct Wire<Procedure::node_get_cpu_stats> : Call<NodeGetCpuStatsArgs, NodeGetCpuStatsRet> {};

struct NodeGetMemoryStatsArgs {
  std::int32_t nparams;
  std::int32_t cell_num;
  std::uint32_t flags;
};

struct NodeGetMemoryStats {
  String<> field;
  std::uint64_t value;
};

struct NodeGetMemoryStatsRet {
  Array<NodeGetMemoryStats, max::node_memory_stats> params;
  std::int32_t nparams;
};

template <>
struct Wire<Procedure::node_get_memory_stats> : Call<NodeGetMemoryStatsArgs, NodeGetMemoryStatsRet> {};

struct NodeGetCellsFreeMemoryArgs {
  std::int32_t start_cell;
  std::int32_t maxcells;
};

struct NodeGetCellsFreeMemoryRet {
  Array<std::uint64_t, max::node_cells> cells;
};

template <>
struct Wire<Procedure::node_get_cells_free_memory> : Call<NodeGetCellsFreeMemoryArgs, NodeGetCellsFreeMemoryRet> {};

struct NodeGetFreeMemoryRet {
  std::uint64_t free_mem;
};

template <>
struct Wire<Procedure::node_get_free_memory> : Call<Void, NodeGetFreeMemoryRet> {};

struct NodeGetFreePagesArgs {
  Array<std::uint32_t, max::node_cells> pages;
  std::int32_t start_cell;
  std::uint32_t cell_count;
  std::uint32_t flags;
};

struct NodeGetFreePagesRet {
  Array<std::uint64_t, max::node_cells> counts;
};

template <>
struct Wire<Procedure::node_get_free_pages> : Call<NodeGetFreePagesArgs, NodeGetFreePagesRet> {};

struct NodeGetSecurityModelRet {
  Array<std::int8_t, max::security_model> model;
  Array<std::int8_t, max::security_doi> doi;
};

template <>
struct Wire<Procedure::node_get_security_model> : Call<Void, NodeGetSecurityModelRet> {};

struct NodeGetMemoryParametersArgs {
  std::int32_t nparams;
  std::uint32_t flags;
};

struct NodeGetMemoryParametersRet {
  Array<TypedParam, max::node_memory_parameters> params;
  std::int32_t nparams;
};

template <>
struct Wire<Procedure::node_get_memory_parameters> : Call<NodeGetMemoryParametersArgs, NodeGetMemoryParametersRet> {};

}  // namespace protocol
