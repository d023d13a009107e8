#include "driver/service/sockets.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"
#include "driver/core/error.h"

namespace service {
namespace {

using core::Error;
using core::ErrorCode;

bool anybody(const rpc::Peer&) {
  return true;
}
bool same_user(const rpc::Peer& peer) {
  return peer.uid == 0 || peer.uid == getuid();
}

SocketFiles listen_unix(rpc::Server& server, const core::Layout& layout, const Config& config) {
  const std::string folder = config.socket_folder.value_or(layout.sockets);
  const unsigned backlog = config.limits.max_queued_clients;
  std::vector<std::string> names = {"virtstratovirtd-sock"};
  if (!config.uri_aliases.empty()) names.emplace_back("libvirt-sock");  // where clients of an alias look
  SocketFiles files;
  for (const std::string& name : names) {
    const std::string path = folder + "/" + name;
    if (layout.session) {
      server.listen(rpc::listen_unix(path, 0700, {}, backlog), false, same_user);
      files.add(path);
      continue;
    }
    server.listen(rpc::listen_unix(path, config.writing_mode, config.socket_group, backlog), false, anybody);
    files.add(path);
    server.listen(rpc::listen_unix(path + "-ro", config.reading_mode, config.socket_group, backlog), true, anybody);
    files.add(path + "-ro");
  }
  return files;
}

}  // namespace

SocketFiles::~SocketFiles() {
  for (const std::string& path : paths_) unlink(path.c_str());
}

SocketFiles listen(rpc::Server& server, const core::Layout& layout, const Config& config) {
  auto activated = rpc::activated_sockets();
  bool tcp = false;
  SocketFiles files = activated.empty() ? listen_unix(server, layout, config) : SocketFiles();
  for (auto& socket : activated) {
    const std::string path = rpc::socket_path(socket.fd.get());
    if (path.empty() && !config.tcp_without_auth) {
      throw Error(ErrorCode::config_unsupported, "systemd handed over the socket '" + socket.name +
                                                     "', whose clients cannot be authenticated; to serve whoever can "
                                                     "connect, write auth_tcp = \"none\"");
    }
    tcp = tcp || path.empty();
    server.listen(std::move(socket.fd), path.ends_with("-ro"), layout.session ? same_user : anybody);
  }
  if (!config.tcp || tcp) return files;
  for (base::UniqueFd& socket :
       rpc::listen_tcp(config.tcp->address, config.tcp->port, config.limits.max_queued_clients)) {
    server.listen(std::move(socket), false, anybody);
  }
  return files;
}

base::UniqueFd lock(const core::Layout& layout) {
  const std::string path = layout.state + "/driver.lock";
  base::UniqueFd fd = base::open_file(path, O_RDWR | O_CREAT, 0600);
  struct flock whole{};
  whole.l_type = F_WRLCK;
  if (::fcntl(fd.get(), F_SETLK, &whole) < 0) {
    throw Error(ErrorCode::operation_failed, "another virtstratovirtd serves here: '" + path + "' is locked");
  }
  return fd;
}

}  // namespace service
