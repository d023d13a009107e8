#pragma once

#include "driver/protocol/types.h"

/// Registration for events of domains, and the events.
namespace protocol {

struct ConnectDomainEventCallbackRegisterAnyArgs {
  std::int32_t event_id;
  std::optional<Domain> dom;
};

struct ConnectDomainEventCallbackRegisterAnyRet {
  std::int32_t callback_id;
};

template <>
struct Wire<Procedure::connect_domain_event_callback_register_any>
    : Call<ConnectDomainEventCallbackRegisterAnyArgs, ConnectDomainEventCallbackRegisterAnyRet> {};

struct ConnectDomainEventCallbackDeregisterAnyArgs {
  std::int32_t callback_id;
};

template <>
struct Wire<Procedure::connect_domain_event_callback_deregister_any>
    : Call<ConnectDomainEventCallbackDeregisterAnyArgs, Void> {};

struct DomainEventLifecycleMsg {
  Domain dom;
  std::int32_t event;
  std::int32_t detail;
};

struct DomainEventCallbackLifecycleMsg {
  std::int32_t callback_id;
  DomainEventLifecycleMsg msg;
};

template <>
struct Wire<Procedure::domain_event_callback_lifecycle> {
  using Event = DomainEventCallbackLifecycleMsg;
};

struct DomainEventRebootMsg {
  Domain dom;
};

struct DomainEventCallbackRebootMsg {
  std::int32_t callback_id;
  DomainEventRebootMsg msg;
};

template <>
struct Wire<Procedure::domain_event_callback_reboot> {
  using Event = DomainEventCallbackRebootMsg;
};

struct DomainEventRtcChangeMsg {
  Domain dom;
  std::int64_t offset;
};

struct DomainEventCallbackRtcChangeMsg {
  std::int32_t callback_id;
  DomainEventRtcChangeMsg msg;
};

template <>
struct Wire<Procedure::domain_event_callback_rtc_change> {
  using Event = DomainEventCallbackRtcChangeMsg;
};

struct DomainEventWatchdogMsg {
  Domain dom;
  std::int32_t action;
};

struct DomainEventCallbackWatchdogMsg {
  std::int32_t callback_id;
  DomainEventWatchdogMsg msg;
};

template <>
struct Wire<Procedure::domain_event_callback_watchdog> {
  using Event = DomainEventCallbackWatchdogMsg;
};

struct DomainEventIoErrorMsg {
  Domain dom;
  String<> src_path;
  String<> dev_alias;
  std::int32_t action;
};

struct DomainEventCallbackIoErrorMsg {
  std::int32_t callback_id;
  DomainEventIoErrorMsg msg;
};

template <>
struct Wire<Procedure::domain_event_callback_io_error> {
  using Event = DomainEventCallbackIoErrorMsg;
};

struct DomainEventGraphicsAddress {
  std::int32_t family;
  String<> node;
  String<> service;
};

struct DomainEventGraphicsIdentity {
  String<> type;
  String<> name;
};

struct DomainEventGraphicsMsg {
  Domain dom;
  std::int32_t phase;
  DomainEventGraphicsAddress local;
  DomainEventGraphicsAddress remote;
  String<> auth_scheme;
  Array<DomainEventGraphicsIdentity, max::domain_event_graphics_identity> subject;
};

struct DomainEventCallbackGraphicsMsg {
  std::int32_t callback_id;
  DomainEventGraphicsMsg msg;
};

template <>
struct Wire<Procedure::domain_event_callback_graphics> {
  using Event = DomainEventCallbackGraphicsMsg;
};

struct DomainEventIoErrorReasonMsg {
  Domain dom;
  String<> src_path;
  String<> dev_alias;
  std::int32_t action;
  String<> reason;
};

struct DomainEventCallbackIoErrorReasonMsg {
  std::int32_t callback_id;
  DomainEventIoErrorReasonMsg msg;
};

template <>
struct Wire<Procedure::domain_event_callback_io_error_reason> {
  using Event = DomainEventCallbackIoErrorReasonMsg;
};

struct DomainEventControlErrorMsg {
  Domain dom;
};

struct DomainEventCallbackControlErrorMsg {
  std::int32_t callback_id;
  DomainEventControlErrorMsg msg;
};

template <>
struct Wire<Procedure::domain_event_callback_control_error> {
  using Event = DomainEventCallbackControlErrorMsg;
};

struct DomainEventBlockJobMsg {
  Domain dom;
  String<> path;
  std::int32_t type;
  std::int32_t status;
};

struct DomainEventCallbackBlockJobMsg {
  std::int32_t callback_id;
  DomainEventBlockJobMsg msg;
};

template <>
struct Wire<Procedure::domain_event_callback_block_job> {
  using Event = DomainEventCallbackBlockJobMsg;
};

struct DomainEventDiskChangeMsg {
  Domain dom;
  std::optional<String<>> old_src_path;
  std::optional<String<>> new_src_path;
  String<> dev_alias;
  std::int32_t reason;
};

struct DomainEventCallbackDiskChangeMsg {
  std::int32_t callback_id;
  DomainEventDiskChangeMsg msg;
};

template <>
struct Wire<Procedure::domain_event_callback_disk_change> {
  using Event = DomainEventCallbackDiskChangeMsg;
};

struct DomainEventTrayChangeMsg {
  Domain dom;
  String<> dev_alias;
  std::int32_t reason;
};

struct DomainEventCallbackTrayChangeMsg {
  std::int32_t callback_id;
  DomainEventTrayChangeMsg msg;
};

template <>
struct Wire<Procedure::domain_event_callback_tray_change> {
  using Event = DomainEventCallbackTrayChangeMsg;
};

struct DomainEventPmwakeupMsg {
  Domain dom;
};

struct DomainEventCallbackPmwakeupMsg {
  std::int32_t callback_id;
  std::int32_t reason;
  DomainEventPmwakeupMsg msg;
};

template <>
struct Wire<Procedure::domain_event_callback_pmwakeup> {
  using Event = DomainEventCallbackPmwakeupMsg;
};

struct DomainEventPmsuspendMsg {
  Domain dom;
};

struct DomainEventCallbackPmsuspendMsg {
  std::int32_t callback_id;
  std::int32_t reason;
  DomainEventPmsuspendMsg msg;
};

template <>
struct Wire<Procedure::domain_event_callback_pmsuspend> {
  using Event = DomainEventCallbackPmsuspendMsg;
};

struct DomainEventBalloonChangeMsg {
  Domain dom;
  std::uint64_t actual;
};

struct DomainEventCallbackBalloonChangeMsg {
  std::int32_t callback_id;
  DomainEventBalloonChangeMsg msg;
};

template <>
struct Wire<Procedure::domain_event_callback_balloon_change> {
  using Event = DomainEventCallbackBalloonChangeMsg;
};

struct DomainEventPmsuspendDiskMsg {
  Domain dom;
};

struct DomainEventCallbackPmsuspendDiskMsg {
  std::int32_t callback_id;
  std::int32_t reason;
  DomainEventPmsuspendDiskMsg msg;
};

template <>
struct Wire<Procedure::domain_event_callback_pmsuspend_disk> {
  using Event = DomainEventCallbackPmsuspendDiskMsg;
};

struct DomainEventDeviceRemovedMsg {
  Domain dom;
  String<> dev_alias;
};

struct DomainEventCallbackDeviceRemovedMsg {
  std::int32_t callback_id;
  DomainEventDeviceRemovedMsg msg;
};

template <>
struct Wire<Procedure::domain_event_callback_device_removed> {
  using Event = DomainEventCallbackDeviceRemovedMsg;
};

struct DomainEventBlockJob2Msg {
  std::int32_t callback_id;
  Domain dom;
  String<> dst;
  std::int32_t type;
  std::int32_t status;
};

template <>
struct Wire<Procedure::domain_event_block_job_2> {
  using Event = DomainEventBlockJob2Msg;
};

struct DomainEventCallbackTunableMsg {
  std::int32_t callback_id;
  Domain dom;
  Array<TypedParam, max::domain_event_tunable> params;
};

template <>
struct Wire<Procedure::domain_event_callback_tunable> {
  using Event = DomainEventCallbackTunableMsg;
};

struct DomainEventCallbackAgentLifecycleMsg {
  std::int32_t callback_id;
  Domain dom;
  std::int32_t state;
  std::int32_t reason;
};

template <>
struct Wire<Procedure::domain_event_callback_agent_lifecycle> {
  using Event = DomainEventCallbackAgentLifecycleMsg;
};

struct DomainEventCallbackDeviceAddedMsg {
  std::int32_t callback_id;
  Domain dom;
  String<> dev_alias;
};

template <>
struct Wire<Procedure::domain_event_callback_device_added> {
  using Event = DomainEventCallbackDeviceAddedMsg;
};

struct DomainEventCallbackMigrationIterationMsg {
  std::int32_t callback_id;
  Domain dom;
  std::int32_t iteration;
};

template <>
struct Wire<Procedure::domain_event_callback_migration_iteration> {
  using Event = DomainEventCallbackMigrationIterationMsg;
};

struct DomainEventCallbackJobCompletedMsg {
  std::int32_t callback_id;
  Domain dom;
  Array<TypedParam, max::domain_job_stats> params;
};

template <>
struct Wire<Procedure::domain_event_callback_job_completed> {
  using Event = DomainEventCallbackJobCompletedMsg;
};

struct DomainEventCallbackDeviceRemovalFailedMsg {
  std::int32_t callback_id;
  Domain dom;
  String<> dev_alias;
};

template <>
struct Wire<Procedure::domain_event_callback_device_removal_failed> {
  using Event = DomainEventCallbackDeviceRemovalFailedMsg;
};

struct DomainEventCallbackMetadataChangeMsg {
  std::int32_t callback_id;
  Domain dom;
  std::int32_t type;
  std::optional<String<>> nsuri;
};

template <>
struct Wire<Procedure::domain_event_callback_metadata_change> {
  using Event = DomainEventCallbackMetadataChangeMsg;
};

struct DomainEventBlockThresholdMsg {
  std::int32_t callback_id;
  Domain dom;
  String<> dev;
  std::optional<String<>> path;
  std::uint64_t threshold;
  std::uint64_t excess;
};

template <>
struct Wire<Procedure::domain_event_block_threshold> {
  using Event = DomainEventBlockThresholdMsg;
};

struct DomainEventMemoryFailureMsg {
  std::int32_t callback_id;
  Domain dom;
  std::int32_t recipient;
  std::int32_t action;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_event_memory_failure> {
  using Event = DomainEventMemoryFailureMsg;
};

struct DomainEventMemoryDeviceSizeChangeMsg {
  std::int32_t callback_id;
  Domain dom;
  String<> alias;
  std::uint64_t size;
};

template <>
struct Wire<Procedure::domain_event_memory_device_size_change> {
  using Event = DomainEventMemoryDeviceSizeChangeMsg;
};

}  // namespace protocol
