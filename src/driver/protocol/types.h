#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "driver/protocol/procedures.h"
#include "driver/rpc/xdr.h"

/// libvirt's wire types: a struct for each call's arguments and for its result, a field a line, in the protocol's order
/// and under its names and bounds (libvirt src/remote/remote_protocol.x of 9.0).
namespace protocol {

using rpc::Array;
using rpc::Opaque;
using rpc::String;
using rpc::Void;
using Uuid = std::array<std::uint8_t, 16>;

/// The most items, or bytes, that a field may have.
namespace max {
inline constexpr std::uint32_t auth_type_list = 20;
inline constexpr std::uint32_t connect_cpu_models = 8192;
inline constexpr std::uint32_t connect_get_all_domain_stats = 262144;
inline constexpr std::uint32_t connect_identity_params = 20;
inline constexpr std::uint32_t cpu_baseline = 256;
inline constexpr std::uint32_t cpumap = 2048;
inline constexpr std::uint32_t cpumaps = 8388608;
inline constexpr std::uint32_t domain_blkio_parameters = 16;
inline constexpr std::uint32_t domain_block_io_tune_parameters = 32;
inline constexpr std::uint32_t domain_block_stats_parameters = 16;
inline constexpr std::uint32_t domain_disk_errors = 256;
inline constexpr std::uint32_t domain_event_graphics_identity = 20;
inline constexpr std::uint32_t domain_event_tunable = 2048;
inline constexpr std::uint32_t domain_fsinfo = 256;
inline constexpr std::uint32_t domain_fsinfo_disks = 256;
inline constexpr std::uint32_t domain_get_cpu_stats = 2048;
inline constexpr std::uint32_t domain_guest_info_params = 2048;
inline constexpr std::uint32_t domain_interface = 2048;
inline constexpr std::uint32_t domain_ip_addr = 2048;
inline constexpr std::uint32_t domain_job_stats = 64;
inline constexpr std::uint32_t domain_list = 16384;
inline constexpr std::uint32_t domain_memory_parameters = 16;
inline constexpr std::uint32_t domain_memory_stats = 1024;
inline constexpr std::uint32_t domain_messages = 2048;
inline constexpr std::uint32_t domain_numa_parameters = 16;
inline constexpr std::uint32_t domain_scheduler_parameters = 16;
inline constexpr std::uint32_t iothread_info = 16384;
inline constexpr std::uint32_t node_cells = 1024;
inline constexpr std::uint32_t node_cpu_stats = 16;
inline constexpr std::uint32_t node_memory_parameters = 64;
inline constexpr std::uint32_t node_memory_stats = 16;
inline constexpr std::uint32_t security_doi = 257;
inline constexpr std::uint32_t security_label = 4097;
inline constexpr std::uint32_t security_label_list = 64;
inline constexpr std::uint32_t security_model = 257;
inline constexpr std::uint32_t vcpuinfo = 16384;
}  // namespace max

struct Domain {
  String<> name;
  Uuid uuid;
  std::int32_t id;  ///< -1 where it does not run
};

struct Network {
  String<> name;
  Uuid uuid;
};

struct StoragePool {
  String<> name;
  Uuid uuid;
};

struct NodeDevice {
  String<> name;
};

struct Secret {
  Uuid uuid;
  std::int32_t usage_type;
  String<> usage_id;
};

/// virTypedParameter's INT, UINT, LLONG, ULLONG, DOUBLE, BOOLEAN and STRING, which are numbered 1 to 7.
using TypedParamValue = rpc::Union<1, std::int32_t, std::uint32_t, std::int64_t, std::uint64_t, double, bool, String<>>;

struct TypedParam {
  String<> field;
  TypedParamValue value;
};

/// One that is only sent: its texts stay another's.
struct TypedParamView {
  using Viewed = TypedParam;
  rpc::StringView<> field;
  rpc::Union<1, std::int32_t, std::uint32_t, std::int64_t, std::uint64_t, double, bool, rpc::StringView<>> value;
};

enum class AuthType : std::int32_t { none = 0, sasl = 1, polkit = 2 };

/// What travels under a procedure's number: Args and Ret of a call, or Event. Only procedures that somebody here speaks
/// have one.
template <auto P>
struct Wire;

template <class ArgsType, class RetType>
struct Call {
  using Args = ArgsType;
  using Ret = RetType;
  static constexpr bool stream = false;
};

/// A call whose success opens a stream.
template <class ArgsType, class RetType>
struct StreamCall : Call<ArgsType, RetType> {
  static constexpr bool stream = true;
};

}  // namespace protocol
