#pragma once

#include "driver/protocol/types.h"

/// Registrations for events of what the other drivers of libvirt have.
namespace protocol {

struct ConnectNetworkEventRegisterAnyArgs {
  std::int32_t event_id;
  std::optional<Network> net;
};

struct ConnectNetworkEventRegisterAnyRet {
  std::int32_t callback_id;
};

template <>
struct Wire<Procedure::connect_network_event_register_any>
    : Call<ConnectNetworkEventRegisterAnyArgs, ConnectNetworkEventRegisterAnyRet> {};

struct ConnectNetworkEventDeregisterAnyArgs {
  std::int32_t callback_id;
};

template <>
struct Wire<Procedure::connect_network_event_deregister_any> : Call<ConnectNetworkEventDeregisterAnyArgs, Void> {};

struct ConnectStoragePoolEventRegisterAnyArgs {
  std::int32_t event_id;
  std::optional<StoragePool> pool;
};

struct ConnectStoragePoolEventRegisterAnyRet {
  std::int32_t callback_id;
};

template <>
struct Wire<Procedure::connect_storage_pool_event_register_any>
    : Call<ConnectStoragePoolEventRegisterAnyArgs, ConnectStoragePoolEventRegisterAnyRet> {};

struct ConnectStoragePoolEventDeregisterAnyArgs {
  std::int32_t callback_id;
};

template <>
struct Wire<Procedure::connect_storage_pool_event_deregister_any>
    : Call<ConnectStoragePoolEventDeregisterAnyArgs, Void> {};

struct ConnectNodeDeviceEventRegisterAnyArgs {
  std::int32_t event_id;
  std::optional<NodeDevice> dev;
};

struct ConnectNodeDeviceEventRegisterAnyRet {
  std::int32_t callback_id;
};

template <>
struct Wire<Procedure::connect_node_device_event_register_any>
    : Call<ConnectNodeDeviceEventRegisterAnyArgs, ConnectNodeDeviceEventRegisterAnyRet> {};

struct ConnectNodeDeviceEventDeregisterAnyArgs {
  std::int32_t callback_id;
};

template <>
struct Wire<Procedure::connect_node_device_event_deregister_any> : Call<ConnectNodeDeviceEventDeregisterAnyArgs, Void> {
};

struct ConnectSecretEventRegisterAnyArgs {
  std::int32_t event_id;
  std::optional<Secret> secret;
};

struct ConnectSecretEventRegisterAnyRet {
  std::int32_t callback_id;
};

template <>
struct Wire<Procedure::connect_secret_event_register_any>
    : Call<ConnectSecretEventRegisterAnyArgs, ConnectSecretEventRegisterAnyRet> {};

struct ConnectSecretEventDeregisterAnyArgs {
  std::int32_t callback_id;
};

template <>
struct Wire<Procedure::connect_secret_event_deregister_any> : Call<ConnectSecretEventDeregisterAnyArgs, Void> {};

}  // namespace protocol
