#include "driver/rpc/server.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>
#include <utility>

namespace rpc {
namespace {

/// How long accepting rests when the process or the host is out of descriptors or memory.
constexpr std::chrono::milliseconds rest{200};
/// Newcomers taken at once, before those who are there get their turn.
constexpr int accepted_at_once = 16;

Peer peer_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  Peer peer;
  if (address.ss_family == AF_UNIX) {
    ucred credentials{};
    socklen_t length = sizeof credentials;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return {};
    peer.local = true;
    peer.pid = credentials.pid;
    peer.uid = credentials.uid;
    peer.gid = credentials.gid;
    return peer;
  }
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host.data(), host.size(), port.data(),
                    port.size(), NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
    peer.address = std::string(host.data()) + ";" + port.data();
  }
  return peer;
}

void tune_tcp(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

}  // namespace

Server::Server(core::Loop& loop, Limits limits, MakeSession make_session)
    : loop_(loop), users_(std::make_shared<Users>(loop)), limits_(limits), make_session_(std::move(make_session)) {}

Server::~Server() {
  stop();
}

void Server::listen(base::UniqueFd socket, bool readonly, Admit admit) {
  auto listener = std::make_shared<Listener>(core::asio::posix::stream_descriptor(loop_.context(), socket.release()),
                                             readonly, std::move(admit));
  listeners_.push_back(listener);
  wait_client(listener);
}

void Server::wait_client(const std::shared_ptr<Listener>& listener) {
  listener->socket.async_wait(core::asio::posix::descriptor_base::wait_read,
                              [this, listener](const boost::system::error_code& error) {
                                if (!error && listener->socket.is_open()) accept_clients(listener);
                              });
}

void Server::accept_clients(const std::shared_ptr<Listener>& listener) {
  for (int i = 0; i < accepted_at_once; ++i) {
    if (full(listener->readonly)) {
      full_.push_back(listener);
      return;
    }
    base::UniqueFd socket(::accept4(listener->socket.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) break;
      auto timer = std::make_shared<core::asio::steady_timer>(loop_.context(), rest);
      timer->async_wait([this, listener, timer](const boost::system::error_code& error) {
        if (!error && listener->socket.is_open()) wait_client(listener);
      });
      return;
    }
    Peer peer = peer_of(socket.get());
    if (!peer.local) tune_tcp(socket.get());
    if (listener->readonly && users_->clients({peer.uid, true}) >= (limits_.max_clients + 3) / 4) continue;
    if (listener->admit(peer)) serve(std::move(socket), std::move(peer), listener->readonly);
  }
  wait_client(listener);
}

bool Server::full(bool readonly) const {
  return connections_.size() >= limits_.max_clients ||
         (readonly && readers_ >= limits_.max_clients - limits_.max_clients / 4);
}

std::shared_ptr<Connection> Server::serve(base::UniqueFd socket, Peer peer, bool readonly) {
  auto connection = std::make_shared<Connection>(loop_, users_, std::move(socket), std::move(peer), readonly, limits_);
  connections_.insert(connection);
  readers_ += readonly;
  // The connection outlives the server where a call is still in progress, so it may only point at it until stop().
  connection->start(make_session_(*connection), [this, weak = std::weak_ptr(connection)] {
    if (const auto ended = weak.lock()) gone(ended);
  });
  if (changed_) changed_(connections_.size());
  return connection;
}

void Server::gone(const std::shared_ptr<Connection>& connection) {
  if (connections_.erase(connection) && connection->readonly()) --readers_;
  listen_again();
  if (changed_) changed_(connections_.size());
}

void Server::listen_again() {
  for (const auto& listener : std::exchange(full_, {})) wait_client(listener);
}

void Server::set_limits(const Limits& limits) {
  limits_ = limits;
  listen_again();
}

void Server::stop() {
  boost::system::error_code ignored;
  for (const auto& listener : std::exchange(listeners_, {})) listener->socket.close(ignored);
  full_.clear();
  for (const auto& connection : std::exchange(connections_, {})) {
    connection->forget_owner();
    connection->close();
  }
}

}  // namespace rpc
