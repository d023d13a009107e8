#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>

#include "driver/rpc/server.h"

namespace rpc {
namespace {

/// An address of a path of any length: one that is too long is reached through a descriptor of its folder.
class UnixAddress {
 public:
  explicit UnixAddress(const std::filesystem::path& path) {
    std::string text = path.string();
    if (text.size() >= sizeof address_.sun_path) {
      folder_.reset(::open(path.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      if (!folder_) throw core::Error::system(errno, "Unable to open '" + path.parent_path().string() + "'");
      text = "/proc/self/fd/" + std::to_string(folder_.get()) + "/" + path.filename().string();
    }
    if (text.size() >= sizeof address_.sun_path) throw core::Error::system(ENAMETOOLONG, "Unable to listen at " + text);
    address_.sun_family = AF_UNIX;
    text.copy(address_.sun_path, sizeof address_.sun_path - 1);
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  static constexpr socklen_t size() { return sizeof(sockaddr_un); }

 private:
  base::UniqueFd folder_;
  sockaddr_un address_{};
};

base::UniqueFd make_socket(int family) {
  base::UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) throw core::Error::system(errno, "Unable to create socket");
  return fd;
}

/// Left behind by a process that has ended.
bool stale_socket(const std::filesystem::path& path, const UnixAddress& address) {
  if (!std::filesystem::is_socket(path)) return false;
  const base::UniqueFd fd = make_socket(AF_UNIX);
  return ::connect(fd.get(), address.get(), UnixAddress::size()) != 0 && errno == ECONNREFUSED;
}

}  // namespace

base::UniqueFd listen_unix(const std::filesystem::path& path, mode_t mode, std::optional<gid_t> group,
                           unsigned backlog) {
  const std::string place = "Unable to listen at '" + path.string() + "'";
  const UnixAddress address(path);
  base::UniqueFd fd = make_socket(AF_UNIX);
  int bound = ::bind(fd.get(), address.get(), UnixAddress::size());
  if (bound != 0 && errno == EADDRINUSE && stale_socket(path, address)) {
    ::unlink(path.c_str());
    bound = ::bind(fd.get(), address.get(), UnixAddress::size());
  }
  if (bound != 0) throw core::Error::system(errno, place);
  // All before listen(): until then nobody can connect.
  if (group && ::chown(path.c_str(), static_cast<uid_t>(-1), *group) != 0) {
    throw core::Error::system(errno, "Unable to give '" + path.string() + "' to group " + std::to_string(*group));
  }
  if (::chmod(path.c_str(), mode) != 0)
    throw core::Error::system(errno, "Unable to set the mode of '" + path.string() + "'");
  if (::listen(fd.get(), static_cast<int>(backlog)) != 0) throw core::Error::system(errno, place);
  return fd;
}

std::vector<base::UniqueFd> listen_tcp(const std::string& host, const std::string& port, unsigned backlog) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, ::freeaddrinfo);
  if (error != 0) {
    throw core::Error(core::ErrorCode::internal_error,
                      "Unable to resolve address '" + host + "' service '" + port + "': " + ::gai_strerror(error),
                      core::ErrorDomain::rpc);
  }
  std::vector<base::UniqueFd> sockets;
  for (const addrinfo* address = addresses.get(); address != nullptr; address = address->ai_next) {
    base::UniqueFd fd(::socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const bool others = address->ai_next != nullptr || !sockets.empty();
    if (!fd && errno == EAFNOSUPPORT && others) continue;  // a kernel without IPv6
    if (!fd) throw core::Error::system(errno, "Unable to create socket");
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // Without this the IPv6 socket would take IPv4's port too.
    if (address->ai_family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (::bind(fd.get(), address->ai_addr, address->ai_addrlen) != 0 ||
        ::listen(fd.get(), static_cast<int>(backlog)) != 0) {
      throw core::Error::system(errno, "Unable to listen at '" + host + "' port " + port);
    }
    sockets.push_back(std::move(fd));
  }
  return sockets;
}

std::vector<ActivatedSocket> activated_sockets() {
  char** names = nullptr;
  const int count = ::sd_listen_fds_with_names(1, &names);
  if (count < 0) throw core::Error::system(-count, "Unable to take the sockets that systemd passed");
  std::vector<ActivatedSocket> sockets;
  for (int i = 0; i < count; ++i) {
    ::fcntl(SD_LISTEN_FDS_START + i, F_SETFL, ::fcntl(SD_LISTEN_FDS_START + i, F_GETFL) | O_NONBLOCK);
    sockets.push_back({base::UniqueFd(SD_LISTEN_FDS_START + i), names[i]});
    std::free(names[i]);
  }
  std::free(static_cast<void*>(names));
  return sockets;
}

std::filesystem::path socket_path(int fd) {
  sockaddr_un address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0 || address.sun_family != AF_UNIX) return {};
  address.sun_path[sizeof address.sun_path - 1] = '\0';
  return address.sun_path;
}

}  // namespace rpc
