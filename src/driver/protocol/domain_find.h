#pragma once

#include "driver/protocol/types.h"

/// Listing domains and finding one.
namespace protocol {

struct ConnectNumOfDomainsRet {
  std::int32_t num;
};

template <>
struct Wire<Procedure::connect_num_of_domains> : Call<Void, ConnectNumOfDomainsRet> {};

struct ConnectListDomainsArgs {
  std::int32_t maxids;
};

struct ConnectListDomainsRet {
  Array<std::int32_t, max::domain_list> ids;
};

template <>
struct Wire<Procedure::connect_list_domains> : Call<ConnectListDomainsArgs, ConnectListDomainsRet> {};

struct ConnectNumOfDefinedDomainsRet {
  std::int32_t num;
};

template <>
struct Wire<Procedure::connect_num_of_defined_domains> : Call<Void, ConnectNumOfDefinedDomainsRet> {};

struct ConnectListDefinedDomainsArgs {
  std::int32_t maxnames;
};

struct ConnectListDefinedDomainsRet {
  Array<String<>, max::domain_list> names;
};

template <>
struct Wire<Procedure::connect_list_defined_domains>
    : Call<ConnectListDefinedDomainsArgs, ConnectListDefinedDomainsRet> {};

struct ConnectListAllDomainsArgs {
  std::int32_t need_results;
  std::uint32_t flags;
};

struct ConnectListAllDomainsRet {
  Array<Domain, max::domain_list> domains;
  std::uint32_t ret;
};

template <>
struct Wire<Procedure::connect_list_all_domains> : Call<ConnectListAllDomainsArgs, ConnectListAllDomainsRet> {};

struct DomainLookupByIdArgs {
  std::int32_t id;
};

struct DomainLookupByIdRet {
  Domain dom;
};

template <>
struct Wire<Procedure::domain_lookup_by_id> : Call<DomainLookupByIdArgs, DomainLookupByIdRet> {};

struct DomainLookupByNameArgs {
  String<> name;
};

struct DomainLookupByNameRet {
  Domain dom;
};

template <>
struct Wire<Procedure::domain_lookup_by_name> : Call<DomainLookupByNameArgs, DomainLookupByNameRet> {};

struct DomainLookupByUuidArgs {
  Uuid uuid;
};

struct DomainLookupByUuidRet {
  Domain dom;
};

template <>
struct Wire<Procedure::domain_lookup_by_uuid> : Call<DomainLookupByUuidArgs, DomainLookupByUuidRet> {};

}  // namespace protocol
