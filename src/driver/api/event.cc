#include "driver/instance/event.h"

#include "driver/api/client.h"
#include "driver/core/error.h"
#include "driver/protocol/event.h"

namespace api {
namespace {

using namespace protocol;
using core::Error;
using core::ErrorCode;

/// virDomainEventID, one past the last: what a client may ask to be told.
constexpr int event_ids = 27;

ConnectDomainEventCallbackRegisterAnyRet register_any(Client& client,
                                                      const ConnectDomainEventCallbackRegisterAnyArgs& args) {
  if (args.event_id < 0 || args.event_id >= event_ids) {
    throw Error(ErrorCode::internal_error, "unsupported event ID " + std::to_string(args.event_id));
  }
  Client::Callback callback{args.event_id, {}};
  if (args.dom) callback.domain = client.find(*args.dom)->uuid();
  return {client.add(callback)};
}

void deregister_any(Client& client, const ConnectDomainEventCallbackDeregisterAnyArgs& args) {
  if (!client.remove_callback(args.callback_id)) {
    throw Error(ErrorCode::internal_error,
                "domain event callback " + std::to_string(args.callback_id) + " not registered");
  }
}

/// Sends one event to one registration; each overload knows the event's id and its message.
struct Sender {
  rpc::Connection& to;
  int callback;
  const protocol::Domain& dom;

  void operator()(const instance::Lifecycle& event) const {
    send_event<Procedure::domain_event_callback_lifecycle>(to, {callback, {dom, event.event, event.detail}});
  }
  void operator()(const instance::Rebooted&) const {
    send_event<Procedure::domain_event_callback_reboot>(to, {callback, {dom}});
  }
  void operator()(const instance::BalloonChanged& event) const {
    send_event<Procedure::domain_event_callback_balloon_change>(to, {callback, {dom, event.kib}});
  }
  void operator()(const instance::DeviceAdded& event) const {
    send_event<Procedure::domain_event_callback_device_added>(to, {callback, dom, event.alias});
  }
  void operator()(const instance::DeviceRemovalFailed& event) const {
    send_event<Procedure::domain_event_callback_device_removal_failed>(to, {callback, dom, event.alias});
  }
  void operator()(const instance::Tuned& event) const {
    DomainEventCallbackTunableMsg message{callback, dom, {}};
    for (const auto& [field, value] : event.values)
      message.params.push_back({field, std::visit(
                                           []<class T>(const T& one) {
                                             if constexpr (std::is_same_v<T, std::string>)
                                               return TypedParamValue(String<>(one));
                                             else
                                               return TypedParamValue(one);
                                           },
                                           value)});
    send_event<Procedure::domain_event_callback_tunable>(to, message);
  }
  void operator()(const instance::DeviceRemoved& event) const {
    send_event<Procedure::domain_event_callback_device_removed>(to, {callback, {dom, event.alias}});
  }
  void operator()(const instance::MonitorEvent&) const {}  // deliver_monitor_event sends it
  void operator()(const instance::MetadataChanged& event) const {
    send_event<Procedure::domain_event_callback_metadata_change>(to, {callback, dom, event.type, event.uri});
  }
};

/// virDomainEventID of each alternative of instance::Event but the last, MonitorEvent.
constexpr int ids[] = {0, 1, 13, 19, 15, 22, 17, 23};
static_assert(std::size(ids) == std::variant_size_v<instance::Event> - 1);

}  // namespace

void add_event(Handlers& handlers) {
  using enum Procedure;
  handlers.add<connect_domain_event_callback_register_any>(register_any);
  handlers.add<connect_domain_event_callback_deregister_any>(deregister_any);
}

void deliver(Driver& driver, const instance::Instance& from, const instance::Event& event) {
  if (const auto* raw = std::get_if<instance::MonitorEvent>(&event)) return deliver_monitor_event(driver, from, *raw);
  const protocol::Domain dom = wire(from);
  for (Client* client : driver.clients) {
    for (const auto& [id, callback] : client->callbacks()) {
      if (callback.event != ids[event.index()] || (callback.domain && *callback.domain != from.uuid())) continue;
      std::visit(Sender{client->connection(), id, dom}, event);
    }
  }
}

}  // namespace api
