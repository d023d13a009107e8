#include "driver/protocol/domain.h"

#include <algorithm>

#include "driver/api/client.h"
#include "driver/core/error.h"
#include "driver/host/process_stats.h"
#include "driver/protocol/domain_find.h"

namespace api {

bool listed(const instance::Instance& one, std::uint32_t flags) {
  using instance::State;
  const State state = one.status().state;
  const auto in = [&](std::uint32_t group, std::uint32_t has) { return !(flags & group) || (flags & has); };
  const std::uint32_t shown = state == State::running   ? 16u
                              : state == State::paused  ? 32u
                              : state == State::shutoff ? 64u
                                                        : 128u;
  return in(1 | 2, one.active() ? 1 : 2) && in(4 | 8, one.persistent() ? 4 : 8) && in(16 | 32 | 64 | 128, shown) &&
         in(256 | 512, 512) && in(1024 | 2048, one.autostart() ? 1024 : 2048) && in(4096 | 8192, 8192) &&
         in(16384 | 32768, 32768);
}

namespace {

using namespace protocol;
using core::Error;
using core::ErrorCode;
using core::Task;

ConnectListAllDomainsRet list_all(Client& client, const ConnectListAllDomainsArgs& args) {
  require_flags(args.flags, 0xffff, "virConnectListAllDomains");
  ConnectListAllDomainsRet ret{};
  for (const auto& one : client.registry().all()) {
    if (!listed(*one, args.flags)) continue;
    ++ret.ret;
    if (args.need_results) ret.domains.push_back(wire(*one));
  }
  return ret;
}

ConnectNumOfDomainsRet num_of_domains(Client& client) {
  return {static_cast<std::int32_t>(client.registry().active_count())};
}

/// How many a client has room for.
void require_room(std::int32_t most, const char* name) {
  const auto refuse = [&](const char* why) {
    throw Error(ErrorCode::rpc, std::string(name) + why, core::ErrorDomain::rpc);
  };
  if (most < 0) refuse(" must be non-negative");
  if (std::cmp_greater(most, max::domain_list)) refuse(" > REMOTE_DOMAIN_LIST_MAX");
}

ConnectListDomainsRet list_domains(Client& client, const ConnectListDomainsArgs& args) {
  require_room(args.maxids, "maxids");
  ConnectListDomainsRet ret;
  for (const auto& one : client.registry().all()) {
    if (one->active() && std::cmp_less(ret.ids.size(), args.maxids)) ret.ids.push_back(one->id());
  }
  return ret;
}

ConnectNumOfDefinedDomainsRet num_of_defined(Client& client) {
  const auto all = client.registry().all();
  return {static_cast<std::int32_t>(std::ranges::count_if(all, [](const auto& one) { return !one->active(); }))};
}

ConnectListDefinedDomainsRet list_defined(Client& client, const ConnectListDefinedDomainsArgs& args) {
  require_room(args.maxnames, "maxnames");
  ConnectListDefinedDomainsRet ret;
  for (const auto& one : client.registry().all()) {
    if (!one->active() && std::cmp_less(ret.names.size(), args.maxnames)) ret.names.push_back(one->name());
  }
  return ret;
}

DomainLookupByNameRet lookup_by_name(Client& client, const DomainLookupByNameArgs& args) {
  return {wire(*client.registry().by_name(args.name))};
}
DomainLookupByUuidRet lookup_by_uuid(Client& client, const DomainLookupByUuidArgs& args) {
  return {wire(*client.registry().by_uuid(args.uuid, {}))};
}
DomainLookupByIdRet lookup_by_id(Client& client, const DomainLookupByIdArgs& args) {
  return {wire(*client.registry().by_id(args.id))};
}

DomainGetXmlDescRet get_xml(Client& client, const DomainGetXmlDescArgs& args) {
  enum { secure = 1, inactive = 2, update_cpu = 4, migratable = 8 };
  require_flags(args.flags, secure | inactive | update_cpu | migratable, "virDomainGetXMLDesc");
  const auto subject = client.find(args.dom);
  if (subject->active() && (!(args.flags & inactive) || !subject->persistent())) {
    if (args.flags & inactive) return {domain::format(subject->description())};
    return {domain::format(subject->description(), {.id = subject->id(), .live = true})};
  }
  return {domain::format(*subject->config())};
}

DomainGetInfoRet get_info(Client& client, const DomainGetInfoArgs& args) {
  const auto subject = client.find(args.dom);
  const domain::Domain& what = subject->description();
  std::uint64_t cpu_ns = 0;
  if (subject->active()) {
    const auto used = host::process_statistics(subject->running().process.pid);
    if (used) cpu_ns = used->user_ns + used->system_ns;
  }
  return {static_cast<std::uint8_t>(subject->status().state), what.memory_kib, what.current_memory_kib,
          static_cast<std::uint16_t>(what.current_vcpus), cpu_ns};
}

DomainGetStateRet get_state(Client& client, const DomainGetStateArgs& args) {
  require_flags(args.flags, 0, "virDomainGetState");
  const auto& status = client.find(args.dom)->status();
  return {static_cast<std::int32_t>(status.state), status.reason};
}

DomainGetOsTypeRet get_os_type(Client& client, const DomainGetOsTypeArgs& args) {
  client.find(args.dom);
  return {"hvm"};
}
DomainIsActiveRet is_active(Client& client, const DomainIsActiveArgs& args) {
  return {client.find(args.dom)->active()};
}
DomainIsPersistentRet is_persistent(Client& client, const DomainIsPersistentArgs& args) {
  return {client.find(args.dom)->persistent()};
}
DomainIsUpdatedRet is_updated(Client& client, const DomainIsUpdatedArgs& args) {
  client.find(args.dom);
  return {0};
}
DomainGetAutostartRet get_autostart(Client& client, const DomainGetAutostartArgs& args) {
  return {client.find(args.dom)->autostart()};
}
Task<void> set_autostart(Client* client, DomainSetAutostartArgs args) {
  const auto subject = client->find(args.dom);
  const auto job = co_await subject->job().acquire("remoteDispatchDomainSetAutostart");
  co_await client->registry().set_autostart(subject, args.autostart != 0);
}
DomainHasManagedSaveImageRet has_managed_save(Client& client, const DomainHasManagedSaveImageArgs& args) {
  client.find(args.dom);
  return {0};
}
DomainManagedSaveGetXmlDescRet managed_save_xml(Client& client, const DomainManagedSaveGetXmlDescArgs& args) {
  require_flags(args.flags, 1, "virDomainManagedSaveGetXMLDesc");
  client.find(args.dom);
  throw Error(ErrorCode::operation_invalid, "domain does not have managed save image");
}
DomainGetSecurityLabelListRet get_security_labels(Client& client, const DomainGetSecurityLabelListArgs& args) {
  client.find(args.dom);
  return {};
}

}  // namespace

void add_domain(Handlers& handlers) {
  using enum Procedure;
  handlers.add<connect_list_all_domains>(list_all);
  handlers.add<connect_num_of_domains>(num_of_domains);
  handlers.add<connect_list_domains>(list_domains);
  handlers.add<connect_num_of_defined_domains>(num_of_defined);
  handlers.add<connect_list_defined_domains>(list_defined);
  handlers.add<domain_lookup_by_name>(lookup_by_name);
  handlers.add<domain_lookup_by_uuid>(lookup_by_uuid);
  handlers.add<domain_lookup_by_id>(lookup_by_id);
  handlers.add<domain_get_xml_desc>(get_xml);
  handlers.add<domain_get_info>(get_info);
  handlers.add<domain_get_state>(get_state);
  handlers.add<domain_get_os_type>(get_os_type);
  handlers.add<domain_is_active>(is_active);
  handlers.add<domain_is_persistent>(is_persistent);
  handlers.add<domain_is_updated>(is_updated);
  handlers.add<domain_get_autostart>(get_autostart);
  handlers.add<domain_set_autostart>(set_autostart);
  handlers.add<domain_has_managed_save_image>(has_managed_save);
  handlers.add<domain_managed_save_get_xml_desc>(managed_save_xml);
  handlers.add<domain_get_security_label_list>(get_security_labels);
}

}  // namespace api
