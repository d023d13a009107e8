#pragma once

#include "driver/protocol/types.h"

/// What running domains use.
namespace protocol {

struct ConnectGetAllDomainStatsArgs {
  Array<Domain, max::domain_list> doms;
  std::uint32_t stats;
  std::uint32_t flags;
};

struct DomainStatsRecord {
  Domain dom;
  rpc::EncodedArray<TypedParam, max::connect_get_all_domain_stats> params;
};

struct ConnectGetAllDomainStatsRet {
  rpc::EncodedArray<DomainStatsRecord, max::domain_list> ret_stats;
};

template <>
struct Wire<Procedure::connect_get_all_domain_stats> : Call<ConnectGetAllDomainStatsArgs, ConnectGetAllDomainStatsRet> {
};

struct DomainBlockStatsArgs {
  Domain dom;
  String<> path;
};

struct DomainBlockStatsRet {
  std::int64_t rd_req;
  std::int64_t rd_bytes;
  std::int64_t wr_req;
  std::int64_t wr_bytes;
  std::int64_t errs;
};

template <>
struct Wire<Procedure::domain_block_stats> : Call<DomainBlockStatsArgs, DomainBlockStatsRet> {};

struct DomainBlockStatsFlagsArgs {
  Domain dom;
  String<> path;
  std::int32_t nparams;
  std::uint32_t flags;
};

struct DomainBlockStatsFlagsRet {
  Array<TypedParam, max::domain_block_stats_parameters> params;
  std::int32_t nparams;
};

template <>
struct Wire<Procedure::domain_block_stats_flags> : Call<DomainBlockStatsFlagsArgs, DomainBlockStatsFlagsRet> {};

struct DomainGetBlockInfoArgs {
  Domain dom;
  String<> path;
  std::uint32_t flags;
};

struct DomainGetBlockInfoRet {
  std::uint64_t allocation;
  std::uint64_t capacity;
  std::uint64_t physical;
};

template <>
struct Wire<Procedure::domain_get_block_info> : Call<DomainGetBlockInfoArgs, DomainGetBlockInfoRet> {};

struct DomainInterfaceStatsArgs {
  Domain dom;
  String<> device;
};

struct DomainInterfaceStatsRet {
  std::int64_t rx_bytes;
  std::int64_t rx_packets;
  std::int64_t rx_errs;
  std::int64_t rx_drop;
  std::int64_t tx_bytes;
  std::int64_t tx_packets;
  std::int64_t tx_errs;
  std::int64_t tx_drop;
};

template <>
struct Wire<Procedure::domain_interface_stats> : Call<DomainInterfaceStatsArgs, DomainInterfaceStatsRet> {};

struct DomainMemoryStatsArgs {
  Domain dom;
  std::uint32_t max_stats;
  std::uint32_t flags;
};

struct DomainMemoryStat {
  std::int32_t tag;
  std::uint64_t val;
};

struct DomainMemoryStatsRet {
  Array<DomainMemoryStat, max::domain_memory_stats> stats;
};

template <>
struct Wire<Procedure::domain_memory_stats> : Call<DomainMemoryStatsArgs, DomainMemoryStatsRet> {};

struct DomainGetCpuStatsArgs {
  Domain dom;
  std::uint32_t nparams;
  std::int32_t start_cpu;
  std::uint32_t ncpus;
  std::uint32_t flags;
};

struct DomainGetCpuStatsRet {
  Array<TypedParam, max::domain_get_cpu_stats> params;
  std::int32_t nparams;
};

template <>
struct Wire<Procedure::domain_get_cpu_stats> : Call<DomainGetCpuStatsArgs, DomainGetCpuStatsRet> {};

}  // namespace protocol
