#pragma once

#include "driver/protocol/types.h"

/// What the other drivers of libvirt have, as far as a client that lists everything asks for it.
namespace protocol {

struct ConnectNumOfNetworksRet {
  std::int32_t num;
};

template <>
struct Wire<Procedure::connect_num_of_networks> : Call<Void, ConnectNumOfNetworksRet> {};

struct ConnectListNetworksArgs {
  std::int32_t maxnames;
};

struct ConnectListNetworksRet {
  Array<String<>, max::network_list> names;
};

template <>
struct Wire<Procedure::connect_list_networks> : Call<ConnectListNetworksArgs, ConnectListNetworksRet> {};

struct ConnectNumOfDefinedNetworksRet {
  std::int32_t num;
};

template <>
struct Wire<Procedure::connect_num_of_defined_networks> : Call<Void, ConnectNumOfDefinedNetworksRet> {};

struct ConnectListDefinedNetworksArgs {
  std::int32_t maxnames;
};

struct ConnectListDefinedNetworksRet {
  Array<String<>, max::network_list> names;
};

template <>
struct Wire<Procedure::connect_list_defined_networks>
    : Call<ConnectListDefinedNetworksArgs, ConnectListDefinedNetworksRet> {};

struct ConnectListAllNetworksArgs {
  std::int32_t need_results;
  std::uint32_t flags;
};

struct ConnectListAllNetworksRet {
  Array<Network, max::network_list> nets;
  std::uint32_t ret;
};

template <>
struct Wire<Procedure::connect_list_all_networks> : Call<ConnectListAllNetworksArgs, ConnectListAllNetworksRet> {};

struct NetworkLookupByNameArgs {
  String<> name;
};

struct NetworkLookupByNameRet {
  Network net;
};

template <>
struct Wire<Procedure::network_lookup_by_name> : Call<NetworkLookupByNameArgs, NetworkLookupByNameRet> {};

struct NetworkLookupByUuidArgs {
  Uuid uuid;
};

struct NetworkLookupByUuidRet {
  Network net;
};

template <>
struct Wire<Procedure::network_lookup_by_uuid> : Call<NetworkLookupByUuidArgs, NetworkLookupByUuidRet> {};

struct ConnectNumOfStoragePoolsRet {
  std::int32_t num;
};

template <>
struct Wire<Procedure::connect_num_of_storage_pools> : Call<Void, ConnectNumOfStoragePoolsRet> {};

struct ConnectListStoragePoolsArgs {
  std::int32_t maxnames;
};

struct ConnectListStoragePoolsRet {
  Array<String<>, max::storage_pool_list> names;
};

template <>
struct Wire<Procedure::connect_list_storage_pools> : Call<ConnectListStoragePoolsArgs, ConnectListStoragePoolsRet> {};

struct ConnectNumOfDefinedStoragePoolsRet {
  std::int32_t num;
};

template <>
struct Wire<Procedure::connect_num_of_defined_storage_pools> : Call<Void, ConnectNumOfDefinedStoragePoolsRet> {};

struct ConnectListDefinedStoragePoolsArgs {
  std::int32_t maxnames;
};

struct ConnectListDefinedStoragePoolsRet {
  Array<String<>, max::storage_pool_list> names;
};

template <>
struct Wire<Procedure::connect_list_defined_storage_pools>
    : Call<ConnectListDefinedStoragePoolsArgs, ConnectListDefinedStoragePoolsRet> {};

struct ConnectListAllStoragePoolsArgs {
  std::int32_t need_results;
  std::uint32_t flags;
};

struct ConnectListAllStoragePoolsRet {
  Array<StoragePool, max::storage_pool_list> pools;
  std::uint32_t ret;
};

template <>
struct Wire<Procedure::connect_list_all_storage_pools>
    : Call<ConnectListAllStoragePoolsArgs, ConnectListAllStoragePoolsRet> {};

struct StoragePoolLookupByNameArgs {
  String<> name;
};

struct StoragePoolLookupByNameRet {
  StoragePool pool;
};

template <>
struct Wire<Procedure::storage_pool_lookup_by_name> : Call<StoragePoolLookupByNameArgs, StoragePoolLookupByNameRet> {};

struct StorageVolLookupByPathArgs {
  String<> path;
};

struct StorageVolLookupByPathRet {
  StorageVol vol;
};

template <>
struct Wire<Procedure::storage_vol_lookup_by_path> : Call<StorageVolLookupByPathArgs, StorageVolLookupByPathRet> {};

struct ConnectListAllInterfacesArgs {
  std::int32_t need_results;
  std::uint32_t flags;
};

struct ConnectListAllInterfacesRet {
  Array<Interface, max::interface_list> ifaces;
  std::uint32_t ret;
};

template <>
struct Wire<Procedure::connect_list_all_interfaces> : Call<ConnectListAllInterfacesArgs, ConnectListAllInterfacesRet> {
};

struct NodeNumOfDevicesArgs {
  std::optional<String<>> cap;
  std::uint32_t flags;
};

struct NodeNumOfDevicesRet {
  std::int32_t num;
};

template <>
struct Wire<Procedure::node_num_of_devices> : Call<NodeNumOfDevicesArgs, NodeNumOfDevicesRet> {};

struct NodeListDevicesArgs {
  std::optional<String<>> cap;
  std::int32_t maxnames;
  std::uint32_t flags;
};

struct NodeListDevicesRet {
  Array<String<>, max::node_device_list> names;
};

template <>
struct Wire<Procedure::node_list_devices> : Call<NodeListDevicesArgs, NodeListDevicesRet> {};

struct ConnectListAllNodeDevicesArgs {
  std::int32_t need_results;
  std::uint32_t flags;
};

struct ConnectListAllNodeDevicesRet {
  Array<NodeDevice, max::node_device_list> devices;
  std::uint32_t ret;
};

template <>
struct Wire<Procedure::connect_list_all_node_devices>
    : Call<ConnectListAllNodeDevicesArgs, ConnectListAllNodeDevicesRet> {};

struct NodeDeviceLookupByNameArgs {
  String<> name;
};

struct NodeDeviceLookupByNameRet {
  NodeDevice dev;
};

template <>
struct Wire<Procedure::node_device_lookup_by_name> : Call<NodeDeviceLookupByNameArgs, NodeDeviceLookupByNameRet> {};

struct ConnectListAllNwfiltersArgs {
  std::int32_t need_results;
  std::uint32_t flags;
};

struct ConnectListAllNwfiltersRet {
  Array<Nwfilter, max::nwfilter_list> filters;
  std::uint32_t ret;
};

template <>
struct Wire<Procedure::connect_list_all_nwfilters> : Call<ConnectListAllNwfiltersArgs, ConnectListAllNwfiltersRet> {};

struct ConnectListAllSecretsArgs {
  std::int32_t need_results;
  std::uint32_t flags;
};

struct ConnectListAllSecretsRet {
  Array<Secret, max::secret_list> secrets;
  std::uint32_t ret;
};

template <>
struct Wire<Procedure::connect_list_all_secrets> : Call<ConnectListAllSecretsArgs, ConnectListAllSecretsRet> {};

struct DomainSnapshotNumArgs {
  Domain dom;
  std::uint32_t flags;
};

struct DomainSnapshotNumRet {
  std::int32_t num;
};

template <>
struct Wire<Procedure::domain_snapshot_num> : Call<DomainSnapshotNumArgs, DomainSnapshotNumRet> {};

struct DomainListAllSnapshotsArgs {
  Domain dom;
  std::int32_t need_results;
  std::uint32_t flags;
};

struct DomainListAllSnapshotsRet {
  Array<DomainSnapshot, max::domain_snapshot_list> snapshots;
  std::int32_t ret;
};

template <>
struct Wire<Procedure::domain_list_all_snapshots> : Call<DomainListAllSnapshotsArgs, DomainListAllSnapshotsRet> {};

struct DomainHasCurrentSnapshotArgs {
  Domain dom;
  std::uint32_t flags;
};

struct DomainHasCurrentSnapshotRet {
  std::int32_t result;
};

template <>
struct Wire<Procedure::domain_has_current_snapshot> : Call<DomainHasCurrentSnapshotArgs, DomainHasCurrentSnapshotRet> {
};

struct DomainListAllCheckpointsArgs {
  Domain dom;
  std::int32_t need_results;
  std::uint32_t flags;
};

struct DomainListAllCheckpointsRet {
  Array<DomainCheckpoint, max::domain_checkpoint_list> checkpoints;
  std::int32_t ret;
};

template <>
struct Wire<Procedure::domain_list_all_checkpoints> : Call<DomainListAllCheckpointsArgs, DomainListAllCheckpointsRet> {
};

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
