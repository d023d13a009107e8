#pragma once

#include "driver/protocol/types.h"

/// A domain's vCPUs, memory and I/O: how many, where, how fast.
namespace protocol {

struct DomainGetMaxVcpusArgs {
  Domain dom;
};

struct DomainGetMaxVcpusRet {
  std::int32_t num;
};

template <>
struct Wire<Procedure::domain_get_max_vcpus> : Call<DomainGetMaxVcpusArgs, DomainGetMaxVcpusRet> {};

struct DomainGetVcpusArgs {
  Domain dom;
  std::int32_t maxinfo;
  std::int32_t maplen;
};

struct VcpuInfo {
  std::uint32_t number;
  std::int32_t state;
  std::uint64_t cpu_time;
  std::int32_t cpu;
};

struct DomainGetVcpusRet {
  Array<VcpuInfo, max::vcpuinfo> info;
  Opaque<max::cpumaps> cpumaps;
};

template <>
struct Wire<Procedure::domain_get_vcpus> : Call<DomainGetVcpusArgs, DomainGetVcpusRet> {};

struct DomainSetVcpusArgs {
  Domain dom;
  std::uint32_t nvcpus;
};

template <>
struct Wire<Procedure::domain_set_vcpus> : Call<DomainSetVcpusArgs, Void> {};

struct DomainSetVcpusFlagsArgs {
  Domain dom;
  std::uint32_t nvcpus;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_set_vcpus_flags> : Call<DomainSetVcpusFlagsArgs, Void> {};

struct DomainGetVcpusFlagsArgs {
  Domain dom;
  std::uint32_t flags;
};

struct DomainGetVcpusFlagsRet {
  std::int32_t num;
};

template <>
struct Wire<Procedure::domain_get_vcpus_flags> : Call<DomainGetVcpusFlagsArgs, DomainGetVcpusFlagsRet> {};

struct DomainPinVcpuArgs {
  Domain dom;
  std::uint32_t vcpu;
  Opaque<max::cpumap> cpumap;
};

template <>
struct Wire<Procedure::domain_pin_vcpu> : Call<DomainPinVcpuArgs, Void> {};

struct DomainPinVcpuFlagsArgs {
  Domain dom;
  std::uint32_t vcpu;
  Opaque<max::cpumap> cpumap;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_pin_vcpu_flags> : Call<DomainPinVcpuFlagsArgs, Void> {};

struct DomainGetVcpuPinInfoArgs {
  Domain dom;
  std::int32_t ncpumaps;
  std::int32_t maplen;
  std::uint32_t flags;
};

struct DomainGetVcpuPinInfoRet {
  Opaque<max::cpumaps> cpumaps;
  std::int32_t num;
};

template <>
struct Wire<Procedure::domain_get_vcpu_pin_info> : Call<DomainGetVcpuPinInfoArgs, DomainGetVcpuPinInfoRet> {};

struct DomainPinEmulatorArgs {
  Domain dom;
  Opaque<max::cpumap> cpumap;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_pin_emulator> : Call<DomainPinEmulatorArgs, Void> {};

struct DomainGetEmulatorPinInfoArgs {
  Domain dom;
  std::int32_t maplen;
  std::uint32_t flags;
};

struct DomainGetEmulatorPinInfoRet {
  Opaque<max::cpumaps> cpumaps;
  std::int32_t ret;
};

template <>
struct Wire<Procedure::domain_get_emulator_pin_info> : Call<DomainGetEmulatorPinInfoArgs, DomainGetEmulatorPinInfoRet> {
};

struct DomainGetIothreadInfoArgs {
  Domain dom;
  std::uint32_t flags;
};

struct DomainIothreadInfo {
  std::uint32_t iothread_id;
  Opaque<max::cpumap> cpumap;
};

struct DomainGetIothreadInfoRet {
  Array<DomainIothreadInfo, max::iothread_info> info;
  std::uint32_t ret;
};

template <>
struct Wire<Procedure::domain_get_iothread_info> : Call<DomainGetIothreadInfoArgs, DomainGetIothreadInfoRet> {};

struct DomainPinIothreadArgs {
  Domain dom;
  std::uint32_t iothreads_id;
  Opaque<max::cpumap> cpumap;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_pin_iothread> : Call<DomainPinIothreadArgs, Void> {};

struct DomainAddIothreadArgs {
  Domain dom;
  std::uint32_t iothread_id;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_add_iothread> : Call<DomainAddIothreadArgs, Void> {};

struct DomainDelIothreadArgs {
  Domain dom;
  std::uint32_t iothread_id;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_del_iothread> : Call<DomainDelIothreadArgs, Void> {};

struct DomainGetMaxMemoryArgs {
  Domain dom;
};

struct DomainGetMaxMemoryRet {
  std::uint64_t memory;
};

template <>
struct Wire<Procedure::domain_get_max_memory> : Call<DomainGetMaxMemoryArgs, DomainGetMaxMemoryRet> {};

struct DomainSetMaxMemoryArgs {
  Domain dom;
  std::uint64_t memory;
};

template <>
struct Wire<Procedure::domain_set_max_memory> : Call<DomainSetMaxMemoryArgs, Void> {};

struct DomainSetMemoryArgs {
  Domain dom;
  std::uint64_t memory;
};

template <>
struct Wire<Procedure::domain_set_memory> : Call<DomainSetMemoryArgs, Void> {};

struct DomainSetMemoryFlagsArgs {
  Domain dom;
  std::uint64_t memory;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_set_memory_flags> : Call<DomainSetMemoryFlagsArgs, Void> {};

struct DomainSetMemoryStatsPeriodArgs {
  Domain dom;
  std::int32_t period;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_set_memory_stats_period> : Call<DomainSetMemoryStatsPeriodArgs, Void> {};

struct DomainGetMemoryParametersArgs {
  Domain dom;
  std::int32_t nparams;
  std::uint32_t flags;
};

struct DomainGetMemoryParametersRet {
  Array<TypedParam, max::domain_memory_parameters> params;
  std::int32_t nparams;
};

template <>
struct Wire<Procedure::domain_get_memory_parameters>
    : Call<DomainGetMemoryParametersArgs, DomainGetMemoryParametersRet> {};

struct DomainGetBlkioParametersArgs {
  Domain dom;
  std::int32_t nparams;
  std::uint32_t flags;
};

struct DomainGetBlkioParametersRet {
  Array<TypedParam, max::domain_blkio_parameters> params;
  std::int32_t nparams;
};

template <>
struct Wire<Procedure::domain_get_blkio_parameters> : Call<DomainGetBlkioParametersArgs, DomainGetBlkioParametersRet> {
};

struct DomainGetBlockIoTuneArgs {
  Domain dom;
  std::optional<String<>> disk;
  std::int32_t nparams;
  std::uint32_t flags;
};

struct DomainGetBlockIoTuneRet {
  Array<TypedParam, max::domain_block_io_tune_parameters> params;
  std::int32_t nparams;
};

template <>
struct Wire<Procedure::domain_get_block_io_tune> : Call<DomainGetBlockIoTuneArgs, DomainGetBlockIoTuneRet> {};

struct DomainSetBlockIoTuneArgs {
  Domain dom;
  String<> disk;
  Array<TypedParam, max::domain_block_io_tune_parameters> params;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_set_block_io_tune> : Call<DomainSetBlockIoTuneArgs, Void> {};

struct DomainGetNumaParametersArgs {
  Domain dom;
  std::int32_t nparams;
  std::uint32_t flags;
};

struct DomainGetNumaParametersRet {
  Array<TypedParam, max::domain_numa_parameters> params;
  std::int32_t nparams;
};

template <>
struct Wire<Procedure::domain_get_numa_parameters> : Call<DomainGetNumaParametersArgs, DomainGetNumaParametersRet> {};

struct DomainGetSchedulerTypeArgs {
  Domain dom;
};

struct DomainGetSchedulerTypeRet {
  String<> type;
  std::int32_t nparams;
};

template <>
struct Wire<Procedure::domain_get_scheduler_type> : Call<DomainGetSchedulerTypeArgs, DomainGetSchedulerTypeRet> {};

struct DomainGetSchedulerParametersArgs {
  Domain dom;
  std::int32_t nparams;
};

struct DomainGetSchedulerParametersRet {
  Array<TypedParam, max::domain_scheduler_parameters> params;
};

template <>
struct Wire<Procedure::domain_get_scheduler_parameters>
    : Call<DomainGetSchedulerParametersArgs, DomainGetSchedulerParametersRet> {};

struct DomainGetSchedulerParametersFlagsArgs {
  Domain dom;
  std::int32_t nparams;
  std::uint32_t flags;
};

struct DomainGetSchedulerParametersFlagsRet {
  Array<TypedParam, max::domain_scheduler_parameters> params;
};

template <>
struct Wire<Procedure::domain_get_scheduler_parameters_flags>
    : Call<DomainGetSchedulerParametersFlagsArgs, DomainGetSchedulerParametersFlagsRet> {};

struct DomainSetSchedulerParametersArgs {
  Domain dom;
  Array<TypedParam, max::domain_scheduler_parameters> params;
};

template <>
struct Wire<Procedure::domain_set_scheduler_parameters> : Call<DomainSetSchedulerParametersArgs, Void> {};

struct DomainSetSchedulerParametersFlagsArgs {
  Domain dom;
  Array<TypedParam, max::domain_scheduler_parameters> params;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_set_scheduler_parameters_flags> : Call<DomainSetSchedulerParametersFlagsArgs, Void> {};

struct DomainGetBlockJobInfoArgs {
  Domain dom;
  String<> path;
  std::uint32_t flags;
};

struct DomainGetBlockJobInfoRet {
  std::int32_t found;
  std::int32_t type;
  std::uint64_t bandwidth;
  std::uint64_t cur;
  std::uint64_t end;
};

template <>
struct Wire<Procedure::domain_get_block_job_info> : Call<DomainGetBlockJobInfoArgs, DomainGetBlockJobInfoRet> {};

}  // namespace protocol
