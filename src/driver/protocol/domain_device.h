#pragma once

#include "driver/protocol/types.h"

/// A domain's devices: changing them, and what reads and writes through them.
namespace protocol {

struct DomainAttachDeviceArgs {
  Domain dom;
  String<> xml;
};

template <>
struct Wire<Procedure::domain_attach_device> : Call<DomainAttachDeviceArgs, Void> {};

struct DomainAttachDeviceFlagsArgs {
  Domain dom;
  String<> xml;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_attach_device_flags> : Call<DomainAttachDeviceFlagsArgs, Void> {};

struct DomainDetachDeviceArgs {
  Domain dom;
  String<> xml;
};

template <>
struct Wire<Procedure::domain_detach_device> : Call<DomainDetachDeviceArgs, Void> {};

struct DomainDetachDeviceFlagsArgs {
  Domain dom;
  String<> xml;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_detach_device_flags> : Call<DomainDetachDeviceFlagsArgs, Void> {};

struct DomainDetachDeviceAliasArgs {
  Domain dom;
  String<> alias;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_detach_device_alias> : Call<DomainDetachDeviceAliasArgs, Void> {};

struct DomainUpdateDeviceFlagsArgs {
  Domain dom;
  String<> xml;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_update_device_flags> : Call<DomainUpdateDeviceFlagsArgs, Void> {};

struct DomainGetDiskErrorsArgs {
  Domain dom;
  std::uint32_t maxerrors;
  std::uint32_t flags;
};

struct DomainDiskError {
  String<> disk;
  std::int32_t error;
};

struct DomainGetDiskErrorsRet {
  Array<DomainDiskError, max::domain_disk_errors> errors;
  std::int32_t nerrors;
};

template <>
struct Wire<Procedure::domain_get_disk_errors> : Call<DomainGetDiskErrorsArgs, DomainGetDiskErrorsRet> {};

struct DomainInterfaceAddressesArgs {
  Domain dom;
  std::uint32_t source;
  std::uint32_t flags;
};

struct DomainIpAddr {
  std::int32_t type;
  String<> addr;
  std::uint32_t prefix;
};

struct DomainInterface {
  String<> name;
  std::optional<String<>> hwaddr;
  Array<DomainIpAddr, max::domain_ip_addr> addrs;
};

struct DomainInterfaceAddressesRet {
  Array<DomainInterface, max::domain_interface> ifaces;
};

template <>
struct Wire<Procedure::domain_interface_addresses> : Call<DomainInterfaceAddressesArgs, DomainInterfaceAddressesRet> {};

struct DomainOpenConsoleArgs {
  Domain dom;
  std::optional<String<>> dev_name;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_open_console> : StreamCall<DomainOpenConsoleArgs, Void> {};

}  // namespace protocol
