#pragma once

#include <sys/types.h>

#include "driver/rpc/connection.h"

/// Who may use which socket. The kernel has checked the socket file's mode and group before these are asked. (Not named
/// `access`: that is a function of POSIX.)
namespace policy {

/// A socket whose file's mode and group decide alone: the system daemon's, read-write and read-only.
bool by_socket_file(const rpc::Peer& peer);

/// A socket of one user's own daemon: that user, and root.
bool only_owner(const rpc::Peer& peer, uid_t owner);

}  // namespace policy
