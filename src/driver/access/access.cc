#include "driver/access/access.h"

namespace policy {

bool by_socket_file(const rpc::Peer& peer) {
  return peer.local;
}

bool only_owner(const rpc::Peer& peer, uid_t owner) {
  return peer.local && (peer.uid == owner || peer.uid == 0);
}

}  // namespace policy
