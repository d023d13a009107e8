#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "driver/rpc/connection.h"

namespace rpc {

/// A listening UNIX socket at `path` with that mode and group, replacing a socket that nobody listens on any more. A
/// path of any length will do. Throws core::Error{system_error}, also where somebody listens there.
base::UniqueFd listen_unix(const std::filesystem::path& path, mode_t mode, std::optional<gid_t> group,
                           unsigned backlog);

/// Listening sockets for each address that `host` (a name, an address, or empty for all) and `port` stand for.
std::vector<base::UniqueFd> listen_tcp(const std::string& host, const std::string& port, unsigned backlog);

/// The listening sockets that systemd handed over (sd_listen_fds), with the names its unit gave them.
struct ActivatedSocket {
  base::UniqueFd fd;
  std::string name;
};
std::vector<ActivatedSocket> activated_sockets();

/// The path that a UNIX socket is bound to, empty where it has none.
std::filesystem::path socket_path(int fd);

/// Accepts clients and owns their connections. At max_clients it leaves newcomers in the kernel's queue. Readers get
/// three quarters of these places, each user of them one quarter; who wants more is closed without a word.
class Server {
 public:
  using MakeSession = std::function<std::unique_ptr<Session>(Connection&)>;
  /// Says whether this peer may use this socket; a refused one is closed without a word.
  using Admit = std::function<bool(const Peer&)>;

  Server(core::Loop& loop, Limits limits, MakeSession make_session);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  void listen(base::UniqueFd socket, bool readonly, Admit admit);
  /// Serves a socket that is already connected.
  std::shared_ptr<Connection> serve(base::UniqueFd socket, Peer peer, bool readonly);

  /// Of clients that come from now on. The length of the kernel's queue stays.
  void set_limits(const Limits& limits);

  std::size_t clients() const { return connections_.size(); }
  /// Called whenever clients() has changed.
  void on_clients_changed(std::function<void(std::size_t)> changed) { changed_ = std::move(changed); }
  /// Closes every socket and every connection.
  void stop();

 private:
  struct Listener {
    core::asio::posix::stream_descriptor socket;
    bool readonly;
    Admit admit;
  };
  void wait_client(const std::shared_ptr<Listener>& listener);
  void accept_clients(const std::shared_ptr<Listener>& listener);
  bool full(bool readonly) const;
  void gone(const std::shared_ptr<Connection>& connection);
  void listen_again();

  core::Loop& loop_;
  const std::shared_ptr<Users> users_;
  Limits limits_;
  MakeSession make_session_;
  std::function<void(std::size_t)> changed_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::vector<std::shared_ptr<Listener>> full_;  // those that wait for a client to leave
  std::unordered_set<std::shared_ptr<Connection>> connections_;
  std::size_t readers_ = 0;  // of them
};

}  // namespace rpc
