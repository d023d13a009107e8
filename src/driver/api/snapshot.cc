#include "driver/api/client.h"
#include "driver/protocol/objects.h"

// Snapshots and checkpoints: no domain has any, which is an answer.
namespace api {
namespace {

using namespace protocol;

/// Every flag of a call is a filter or an order of a list, and nothing is what each of them leaves.
template <auto P>
typename Wire<P>::Ret none(Client& client, const typename Wire<P>::Args& args) {
  client.find(args.dom);
  return {};
}

}  // namespace

void add_snapshot(Handlers& handlers) {
  using enum Procedure;
  handlers.add<domain_snapshot_num>(none<domain_snapshot_num>);
  handlers.add<domain_list_all_snapshots>(none<domain_list_all_snapshots>);
  handlers.add<domain_has_current_snapshot>(none<domain_has_current_snapshot>);
  handlers.add<domain_list_all_checkpoints>(none<domain_list_all_checkpoints>);
}

}  // namespace api
