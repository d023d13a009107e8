#pragma once

#include "driver/protocol/types.h"

/// What a client asks of the connection itself.
namespace protocol {

struct AuthListRet {
  Array<AuthType, max::auth_type_list> types;
};

template <>
struct Wire<Procedure::auth_list> : Call<Void, AuthListRet> {};

struct ConnectOpenArgs {
  std::optional<String<>> name;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::connect_open> : Call<ConnectOpenArgs, Void> {};

template <>
struct Wire<Procedure::connect_close> : Call<Void, Void> {};

struct ConnectGetTypeRet {
  String<> type;
};

template <>
struct Wire<Procedure::connect_get_type> : Call<Void, ConnectGetTypeRet> {};

struct ConnectGetVersionRet {
  std::uint64_t hv_ver;
};

template <>
struct Wire<Procedure::connect_get_version> : Call<Void, ConnectGetVersionRet> {};

struct ConnectGetLibVersionRet {
  std::uint64_t lib_ver;
};

template <>
struct Wire<Procedure::connect_get_lib_version> : Call<Void, ConnectGetLibVersionRet> {};

struct ConnectGetHostnameRet {
  String<> hostname;
};

template <>
struct Wire<Procedure::connect_get_hostname> : Call<Void, ConnectGetHostnameRet> {};

struct ConnectGetUriRet {
  String<> uri;
};

template <>
struct Wire<Procedure::connect_get_uri> : Call<Void, ConnectGetUriRet> {};

struct ConnectIsSecureRet {
  std::int32_t secure;
};

template <>
struct Wire<Procedure::connect_is_secure> : Call<Void, ConnectIsSecureRet> {};

struct ConnectSupportsFeatureArgs {
  std::int32_t feature;
};

struct ConnectSupportsFeatureRet {
  std::int32_t supported;
};

template <>
struct Wire<Procedure::connect_supports_feature> : Call<ConnectSupportsFeatureArgs, ConnectSupportsFeatureRet> {};

struct ConnectSetIdentityArgs {
  Array<TypedParam, max::connect_identity_params> params;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::connect_set_identity> : Call<ConnectSetIdentityArgs, Void> {};

struct ConnectGetMaxVcpusArgs {
  std::optional<String<>> type;
};

struct ConnectGetMaxVcpusRet {
  std::int32_t max_vcpus;
};

template <>
struct Wire<Procedure::connect_get_max_vcpus> : Call<ConnectGetMaxVcpusArgs, ConnectGetMaxVcpusRet> {};

struct ConnectGetSysinfoArgs {
  std::uint32_t flags;
};

struct ConnectGetSysinfoRet {
  String<> sysinfo;
};

template <>
struct Wire<Procedure::connect_get_sysinfo> : Call<ConnectGetSysinfoArgs, ConnectGetSysinfoRet> {};

struct ConnectGetCapabilitiesRet {
  String<> capabilities;
};

template <>
struct Wire<Procedure::connect_get_capabilities> : Call<Void, ConnectGetCapabilitiesRet> {};

struct ConnectGetDomainCapabilitiesArgs {
  std::optional<String<>> emulatorbin;
  std::optional<String<>> arch;
  std::optional<String<>> machine;
  std::optional<String<>> virt_type;
  std::uint32_t flags;
};

struct ConnectGetDomainCapabilitiesRet {
  String<> capabilities;
};

template <>
struct Wire<Procedure::connect_get_domain_capabilities>
    : Call<ConnectGetDomainCapabilitiesArgs, ConnectGetDomainCapabilitiesRet> {};

struct ConnectGetCpuModelNamesArgs {
  String<> arch;
  std::int32_t need_results;
  std::uint32_t flags;
};

struct ConnectGetCpuModelNamesRet {
  Array<String<>, max::connect_cpu_models> models;
  std::int32_t ret;
};

template <>
struct Wire<Procedure::connect_get_cpu_model_names> : Call<ConnectGetCpuModelNamesArgs, ConnectGetCpuModelNamesRet> {};

struct ConnectCompareCpuArgs {
  String<> xml;
  std::uint32_t flags;
};

struct ConnectCompareCpuRet {
  std::int32_t result;
};

template <>
struct Wire<Procedure::connect_compare_cpu> : Call<ConnectCompareCpuArgs, ConnectCompareCpuRet> {};

struct ConnectBaselineCpuArgs {
  Array<String<>, max::cpu_baseline> xml_cp_us;
  std::uint32_t flags;
};

struct ConnectBaselineCpuRet {
  String<> cpu;
};

template <>
struct Wire<Procedure::connect_baseline_cpu> : Call<ConnectBaselineCpuArgs, ConnectBaselineCpuRet> {};

struct ConnectCompareHypervisorCpuArgs {
  std::optional<String<>> emulator;
  std::optional<String<>> arch;
  std::optional<String<>> machine;
  std::optional<String<>> virt_type;
  String<> xml_cpu;
  std::uint32_t flags;
};

struct ConnectCompareHypervisorCpuRet {
  std::int32_t result;
};

template <>
struct Wire<Procedure::connect_compare_hypervisor_cpu>
    : Call<ConnectCompareHypervisorCpuArgs, ConnectCompareHypervisorCpuRet> {};

struct ConnectBaselineHypervisorCpuArgs {
  std::optional<String<>> emulator;
  std::optional<String<>> arch;
  std::optional<String<>> machine;
  std::optional<String<>> virt_type;
  Array<String<>, max::cpu_baseline> xml_cp_us;
  std::uint32_t flags;
};

struct ConnectBaselineHypervisorCpuRet {
  String<> cpu;
};

template <>
struct Wire<Procedure::connect_baseline_hypervisor_cpu>
    : Call<ConnectBaselineHypervisorCpuArgs, ConnectBaselineHypervisorCpuRet> {};

struct ConnectDomainXmlFromNativeArgs {
  String<> native_format;
  String<> native_config;
  std::uint32_t flags;
};

struct ConnectDomainXmlFromNativeRet {
  String<> domain_xml;
};

template <>
struct Wire<Procedure::connect_domain_xml_from_native>
    : Call<ConnectDomainXmlFromNativeArgs, ConnectDomainXmlFromNativeRet> {};

struct ConnectDomainXmlToNativeArgs {
  String<> native_format;
  String<> domain_xml;
  std::uint32_t flags;
};

struct ConnectDomainXmlToNativeRet {
  String<> native_config;
};

template <>
struct Wire<Procedure::connect_domain_xml_to_native> : Call<ConnectDomainXmlToNativeArgs, ConnectDomainXmlToNativeRet> {
};

template <>
struct Wire<Procedure::connect_register_close_callback> : Call<Void, Void> {};

template <>
struct Wire<Procedure::connect_unregister_close_callback> : Call<Void, Void> {};

struct ConnectEventConnectionClosedMsg {
  std::int32_t reason;
};

template <>
struct Wire<Procedure::connect_event_connection_closed> {
  using Event = ConnectEventConnectionClosedMsg;
};

}  // namespace protocol
