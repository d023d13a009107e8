#include "driver/rpc/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <fstream>

#include "driver/rpc/test_client.h"

namespace rpc {
namespace {

using testing::call_header;
using testing::TestClient;
using Text = String<>;

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "rpcXXXXXX").string();
    folder = ::mkdtemp(pattern.data());
  }
  ~ServerTest() override { std::filesystem::remove_all(folder); }

  base::UniqueFd connect(const std::filesystem::path& path) {
    base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.string().copy(address.sun_path, sizeof address.sun_path - 1);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
    return fd;
  }
  TestClient client(const std::filesystem::path& path) { return {loop, connect(path)}; }
  bool served(TestClient& client, std::chrono::milliseconds most = std::chrono::seconds(20)) {
    client.send(call_header(1, 1), Text("x"));
    try {
      return client.receive(most).has_value();
    } catch (const std::runtime_error&) {
      return false;
    }
  }
  void start(Limits limits = {}) {
    server.emplace(loop, limits, [this](Connection& connection) {
      seen.push_back(connection.peer());
      readonly.push_back(connection.readonly());
      return std::make_unique<testing::TestSession>(
          connection, [](Connection& to, Call& call) { to.reply(call.header, decode<Text>(call.payload)); }, closings);
    });
  }
  static mode_t mode(const std::filesystem::path& path) {
    struct stat status{};
    ::stat(path.c_str(), &status);
    return status.st_mode & 07777;
  }

  std::filesystem::path folder;
  core::Loop loop{1};
  int closings = 0;
  std::vector<Peer> seen;
  std::vector<bool> readonly;
  std::optional<Server> server;
};

const Server::Admit everybody = [](const Peer&) { return true; };

TEST_F(ServerTest, UnixSocketHasItsModeAndKnowsItsPeers) {
  start();
  server->listen(listen_unix(folder / "sock", 0770, ::getgid(), 5), false, everybody);
  server->listen(listen_unix(folder / "sock-ro", 0777, std::nullopt, 5), true, everybody);
  EXPECT_EQ(mode(folder / "sock"), 0770u);
  EXPECT_EQ(mode(folder / "sock-ro"), 0777u);
  TestClient first = client(folder / "sock");
  TestClient second = client(folder / "sock-ro");
  EXPECT_TRUE(served(first));
  EXPECT_TRUE(served(second));
  EXPECT_THAT(readonly, ::testing::UnorderedElementsAre(false, true));
  for (const Peer& peer : seen) {
    EXPECT_TRUE(peer.local);
    EXPECT_EQ(peer.pid, ::getpid());
    EXPECT_EQ(peer.uid, ::getuid());
    EXPECT_EQ(peer.gid, ::getgid());
  }
}

TEST_F(ServerTest, AStaleSocketIsReplacedAndALiveOneIsNot) {
  listen_unix(folder / "sock", 0700, std::nullopt, 5);  // closed at once; the file stays
  ASSERT_TRUE(std::filesystem::is_socket(folder / "sock"));
  const base::UniqueFd live = listen_unix(folder / "sock", 0700, std::nullopt, 5);
  EXPECT_TRUE(connect(folder / "sock"));
  EXPECT_THROW(listen_unix(folder / "sock", 0700, std::nullopt, 5), core::Error);
  std::ofstream(folder / "file") << "precious";
  EXPECT_THROW(listen_unix(folder / "file", 0700, std::nullopt, 5), core::Error);
  EXPECT_EQ(std::filesystem::file_size(folder / "file"), 8u);
}

TEST_F(ServerTest, APathLongerThanAnAddressWillDo) {
  const auto deep = folder / std::string(100, 'a') / std::string(100, 'b');
  std::filesystem::create_directories(deep);
  const base::UniqueFd first = listen_unix(deep / "sock", 0700, std::nullopt, 5);
  EXPECT_TRUE(std::filesystem::is_socket(deep / "sock"));
  EXPECT_THROW(listen_unix(folder / "none" / "sock", 0700, std::nullopt, 5), core::Error);
  EXPECT_EQ(socket_path(connect(folder / "none").get()), "");
}

TEST_F(ServerTest, ARefusedPeerIsClosedWithoutASession) {
  start();
  server->listen(listen_unix(folder / "sock", 0700, std::nullopt, 5), false,
                 [](const Peer& peer) { return peer.uid != ::getuid(); });
  TestClient refused = client(folder / "sock");
  EXPECT_TRUE(refused.closed());
  EXPECT_TRUE(seen.empty());
}

TEST_F(ServerTest, AtMaxClientsTheNextOneWaitsUntilAnotherLeaves) {
  Limits limits;
  limits.max_clients = 2;
  start(limits);
  std::vector<std::size_t> counts;
  server->on_clients_changed([&](std::size_t count) { counts.push_back(count); });
  server->listen(listen_unix(folder / "sock", 0700, std::nullopt, 5), false, everybody);
  TestClient first = client(folder / "sock");
  TestClient second = client(folder / "sock");
  TestClient third = client(folder / "sock");
  EXPECT_TRUE(served(first));
  EXPECT_TRUE(served(second));
  EXPECT_FALSE(served(third, std::chrono::milliseconds(200)));
  EXPECT_EQ(server->clients(), 2u);
  first.hang_up();
  EXPECT_TRUE(third.receive());
  EXPECT_EQ(server->clients(), 2u);
  EXPECT_EQ(counts, (std::vector<std::size_t>{1, 2, 1, 2}));
}

TEST_F(ServerTest, AnArrivingCrowdIsServed) {
  start();
  server->listen(listen_unix(folder / "sock", 0700, std::nullopt, 200), false, everybody);
  std::vector<TestClient> crowd;
  crowd.reserve(100);
  for (int i = 0; i < 100; ++i) crowd.push_back(client(folder / "sock"));
  for (TestClient& one : crowd) EXPECT_TRUE(served(one));
  EXPECT_EQ(server->clients(), 100u);
  crowd.clear();
  EXPECT_TRUE(testing::run_until(loop, [&] { return server->clients() == 0; }));
  EXPECT_EQ(closings, 100);
}

TEST_F(ServerTest, TcpOnTheLoopback) {
  start();
  std::vector<base::UniqueFd> sockets = listen_tcp("127.0.0.1", "0", 5);
  ASSERT_EQ(sockets.size(), 1u);
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ASSERT_EQ(::getsockname(sockets[0].get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  server->listen(std::move(sockets[0]), false, everybody);
  base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  TestClient remote(loop, std::move(fd));
  EXPECT_TRUE(served(remote));
  EXPECT_FALSE(seen.at(0).local);
  EXPECT_THAT(seen.at(0).address, ::testing::StartsWith("127.0.0.1;"));
  EXPECT_THROW(listen_tcp("no.such.host.invalid", "1", 5), core::Error);
}

TEST_F(ServerTest, StopClosesEverything) {
  start();
  server->listen(listen_unix(folder / "sock", 0700, std::nullopt, 5), false, everybody);
  TestClient one = client(folder / "sock");
  EXPECT_TRUE(served(one));
  server->stop();
  EXPECT_TRUE(one.closed());
  EXPECT_FALSE(connect(folder / "sock"));
  EXPECT_TRUE(testing::run_until(loop, [&] { return closings == 1; }));
}

TEST(ActivatedSockets, AreTakenOnceWithTheirNames) {
  // In a process of its own, since the descriptors are counted from 3.
  ASSERT_EXIT(
      {
        int pair[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) std::exit(1);
        const int high = ::fcntl(pair[0], F_DUPFD, 100);
        ::dup2(high, 3);
        ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
        ::setenv("LISTEN_FDS", "1", 1);
        ::setenv("LISTEN_FDNAMES", "virtstratovirtd-ro.socket", 1);
        const auto sockets = activated_sockets();
        if (sockets.size() != 1 || sockets[0].fd.get() != 3) std::exit(2);
        if (sockets[0].name != "virtstratovirtd-ro.socket") std::exit(3);
        if (!activated_sockets().empty()) std::exit(4);
        std::exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace rpc
