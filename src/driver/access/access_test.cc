#include "driver/access/access.h"

#include <gtest/gtest.h>

namespace policy {
namespace {

rpc::Peer local(uid_t uid) {
  rpc::Peer peer;
  peer.local = true;
  peer.uid = uid;
  return peer;
}

TEST(Access, SocketFileDecidesForWhoeverTheKernelLetIn) {
  EXPECT_TRUE(by_socket_file(local(0)));
  EXPECT_TRUE(by_socket_file(local(1000)));
}

TEST(Access, PeerWithoutCredentialsIsRefused) {
  EXPECT_FALSE(by_socket_file(rpc::Peer{}));
  EXPECT_FALSE(only_owner(rpc::Peer{}, static_cast<uid_t>(-1)));
}

TEST(Access, SessionDaemonServesItsOwnUserAndRoot) {
  EXPECT_TRUE(only_owner(local(1000), 1000));
  EXPECT_TRUE(only_owner(local(0), 1000));
  EXPECT_FALSE(only_owner(local(1001), 1000));
}

}  // namespace
}  // namespace policy
