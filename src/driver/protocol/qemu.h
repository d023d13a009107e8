#pragma once

#include "driver/protocol/types.h"

/// The qemu program: the way past libvirt to a monitor.
namespace protocol {

struct QemuDomainMonitorCommandArgs {
  Domain dom;
  String<> cmd;
  std::uint32_t flags;
};

struct QemuDomainMonitorCommandRet {
  String<> result;
};

template <>
struct Wire<QemuProcedure::domain_monitor_command> : Call<QemuDomainMonitorCommandArgs, QemuDomainMonitorCommandRet> {};

struct QemuDomainAttachArgs {
  std::uint32_t pid_value;
  std::uint32_t flags;
};

struct QemuDomainAttachRet {
  Domain dom;
};

template <>
struct Wire<QemuProcedure::domain_attach> : Call<QemuDomainAttachArgs, QemuDomainAttachRet> {};

struct QemuDomainAgentCommandArgs {
  Domain dom;
  String<> cmd;
  std::int32_t timeout;
  std::uint32_t flags;
};

struct QemuDomainAgentCommandRet {
  std::optional<String<>> result;
};

template <>
struct Wire<QemuProcedure::domain_agent_command> : Call<QemuDomainAgentCommandArgs, QemuDomainAgentCommandRet> {};

struct QemuConnectDomainMonitorEventRegisterArgs {
  std::optional<Domain> dom;
  std::optional<String<>> event;
  std::uint32_t flags;
};

struct QemuConnectDomainMonitorEventRegisterRet {
  std::int32_t callback_id;
};

template <>
struct Wire<QemuProcedure::connect_domain_monitor_event_register>
    : Call<QemuConnectDomainMonitorEventRegisterArgs, QemuConnectDomainMonitorEventRegisterRet> {};

struct QemuConnectDomainMonitorEventDeregisterArgs {
  std::int32_t callback_id;
};

template <>
struct Wire<QemuProcedure::connect_domain_monitor_event_deregister>
    : Call<QemuConnectDomainMonitorEventDeregisterArgs, Void> {};

struct QemuDomainMonitorEventMsg {
  std::int32_t callback_id;
  Domain dom;
  String<> event;
  std::int64_t seconds;
  std::uint32_t micros;
  std::optional<String<>> details;
};

template <>
struct Wire<QemuProcedure::domain_monitor_event> {
  using Event = QemuDomainMonitorEventMsg;
};

struct QemuDomainMonitorCommandWithFilesArgs {
  Domain dom;
  String<> cmd;
  std::uint32_t flags;
};

struct QemuDomainMonitorCommandWithFilesRet {
  String<> result;
};

template <>
struct Wire<QemuProcedure::domain_monitor_command_with_files>
    : Call<QemuDomainMonitorCommandWithFilesArgs, QemuDomainMonitorCommandWithFilesRet> {};

}  // namespace protocol
