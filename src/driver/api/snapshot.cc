#include "driver/api/client.h"
#include "driver/protocol/objects.h"
#include "driver/protocol/procedures.h"

// Snapshots and checkpoints: no domain has any, which is an answer.
namespace api {
namespace {

using namespace protocol;

/// virDomainSnapshotListFlags and virDomainCheckpointListFlags: filters and orders, of which each leaves nothing.
enum : std::uint32_t { snapshot_list = 0x7ff, checkpoint_list = 0xf };

template <auto P, std::uint32_t known>
typename Wire<P>::Ret none(Client& client, const typename Wire<P>::Args& args) {
  require_flags(args.flags, known, rows(remote_program)[static_cast<std::size_t>(P) - 1].api);
  client.find(args.dom);
  return {};
}

}  // namespace

void add_snapshot(Handlers& handlers) {
  using enum Procedure;
  handlers.add<domain_snapshot_num>(none<domain_snapshot_num, snapshot_list>);
  handlers.add<domain_list_all_snapshots>(none<domain_list_all_snapshots, snapshot_list>);
  handlers.add<domain_has_current_snapshot>(none<domain_has_current_snapshot, 0>);
  handlers.add<domain_list_all_checkpoints>(none<domain_list_all_checkpoints, checkpoint_list>);
}

}  // namespace api
