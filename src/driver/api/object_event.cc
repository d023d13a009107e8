#include "driver/api/client.h"
#include "driver/core/error.h"
#include "driver/protocol/objects.h"

// Registrations for events of other drivers' objects: accepted as libvirt does, and never called.
namespace api {
namespace {

using namespace protocol;
using core::Error;
using core::ErrorCode;

/// A kind of objects, and how many ids of events libvirt knows for it.
struct Kind {
  const char* name;
  int event_ids;
};
constexpr Kind kinds[] = {{"network", 2}, {"storage pool", 2}, {"node device", 2}, {"secret", 2}};

template <auto P, std::size_t kind>
typename Wire<P>::Ret register_any(Client& client, const typename Wire<P>::Args& args) {
  if (args.event_id < 0 || args.event_id >= kinds[kind].event_ids) {
    throw Error(ErrorCode::internal_error,
                std::string("unsupported ") + kinds[kind].name + " event ID " + std::to_string(args.event_id),
                core::ErrorDomain::rpc);
  }
  return {client.add(Client::ObjectCallback{kind})};
}

template <auto P, std::size_t kind>
void deregister_any(Client& client, const typename Wire<P>::Args& args) {
  if (client.remove_object_callback(args.callback_id, kind)) return;
  throw Error(ErrorCode::internal_error,
              std::string(kinds[kind].name) + " event callback " + std::to_string(args.callback_id) + " not registered",
              core::ErrorDomain::rpc);
}

}  // namespace

void add_object_event(Handlers& handlers) {
  using enum Procedure;
  handlers.add<connect_network_event_register_any>(register_any<connect_network_event_register_any, 0>);
  handlers.add<connect_network_event_deregister_any>(deregister_any<connect_network_event_deregister_any, 0>);
  handlers.add<connect_storage_pool_event_register_any>(register_any<connect_storage_pool_event_register_any, 1>);
  handlers.add<connect_storage_pool_event_deregister_any>(deregister_any<connect_storage_pool_event_deregister_any, 1>);
  handlers.add<connect_node_device_event_register_any>(register_any<connect_node_device_event_register_any, 2>);
  handlers.add<connect_node_device_event_deregister_any>(deregister_any<connect_node_device_event_deregister_any, 2>);
  handlers.add<connect_secret_event_register_any>(register_any<connect_secret_event_register_any, 3>);
  handlers.add<connect_secret_event_deregister_any>(deregister_any<connect_secret_event_deregister_any, 3>);
}

}  // namespace api
