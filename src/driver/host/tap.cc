#include "driver/host/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "driver/core/error.h"

// After net/if.h, which it knows to follow.
#include <linux/sockios.h>

namespace host {
namespace {

using core::Error;
using core::ErrorCode;

constexpr unsigned max_queues = 256;  // the kernel's MAX_TAP_QUEUES

/// The ioctl calls on interfaces by name.
class Interfaces {
 public:
  Interfaces() : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    if (!socket_) throw Error::system(errno, "cannot open a socket for the interfaces");
  }

  void call(unsigned long number, ifreq& request, const std::string& name, const std::string& what) const {
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    if (::ioctl(socket_.get(), number, &request) < 0) throw Error::system(errno, what);
  }

  void set_mac(const std::string& name, const std::array<std::uint8_t, 6>& mac) const {
    ifreq request{};
    request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    std::memcpy(request.ifr_hwaddr.sa_data, mac.data(), mac.size());
    call(SIOCSIFHWADDR, request, name, "Cannot set interface MAC on '" + name + "'");
  }

  unsigned mtu(const std::string& name) const {
    ifreq request{};
    call(SIOCGIFMTU, request, name, "Cannot get interface MTU on '" + name + "'");
    return static_cast<unsigned>(request.ifr_mtu);
  }

  void set_mtu(const std::string& name, unsigned mtu) const {
    ifreq request{};
    request.ifr_mtu = static_cast<int>(mtu);
    call(SIOCSIFMTU, request, name, "Cannot set interface MTU on '" + name + "'");
  }

  void add_to_bridge(const std::string& bridge, const std::string& port) const {
    ifreq request{};
    request.ifr_ifindex = static_cast<int>(::if_nametoindex(port.c_str()));
    call(SIOCBRADDIF, request, bridge, "Unable to add bridge " + bridge + " port " + port);
  }

  void set_up(const std::string& name) const {
    const std::string what = "Cannot set interface flags on '" + name + "'";
    ifreq request{};
    call(SIOCGIFFLAGS, request, name, what);
    request.ifr_flags |= IFF_UP;
    call(SIOCSIFFLAGS, request, name, what);
  }

 private:
  base::UniqueFd socket_;
};

void check_name(const std::string& name, const char* what) {
  if (name.size() >= IFNAMSIZ || name.find_first_of(std::string_view("/% \t\n\0", 6)) != name.npos || name == "." ||
      name == "..")
    throw Error(ErrorCode::invalid_arg, std::string("'") + name + "' cannot be the name of " + what);
}

}  // namespace

Tap Tap::open(const TapConfig& config) {
  check_name(config.name, "a tap");
  check_name(config.bridge, "a bridge");
  if (config.queues < 1 || config.queues > max_queues)
    throw Error(ErrorCode::config_unsupported,
                "a tap has 1 to " + std::to_string(max_queues) + " queues, not " + std::to_string(config.queues));
  // TUNSETIFF would make one that is not there.
  if (!config.managed && (config.name.empty() || ::if_nametoindex(config.name.c_str()) == 0))
    throw Error(ErrorCode::operation_failed,
                "target managed='no' but the specified device doesn't exist: '" + config.name + "'");

  Tap tap;
  tap.name_ = config.name.empty() ? "vnet%d" : config.name;  // the kernel puts its first free number in
  for (unsigned queue = 0; queue < config.queues; ++queue) {
    base::UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
    if (!fd) throw Error::system(errno, "Unable to open /dev/net/tun, is tun module loaded?");
    ifreq request{};
    request.ifr_flags =
        static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (config.queues > 1 ? IFF_MULTI_QUEUE : 0));
    tap.name_.copy(request.ifr_name, IFNAMSIZ - 1);
    if (::ioctl(fd.get(), TUNSETIFF, &request) < 0)
      throw Error::system(errno, "Unable to create tap device " + tap.name_);
    tap.name_ = request.ifr_name;
    tap.queues_.push_back(std::move(fd));
  }
  if (!config.managed) return tap;

  const Interfaces interfaces;
  auto mac = config.mac;
  // A bridge takes its ports' lowest as its own, which must not change with guests: the highest there is, or, as
  // libvirt, the next below where the guest itself has that one.
  mac[0] = config.mac[0] == 0xfe ? 0xfa : 0xfe;
  interfaces.set_mac(tap.name_, mac);
  if (config.mtu || !config.bridge.empty())
    interfaces.set_mtu(tap.name_, config.mtu ? *config.mtu : interfaces.mtu(config.bridge));
  if (!config.bridge.empty()) interfaces.add_to_bridge(config.bridge, tap.name_);
  interfaces.set_up(tap.name_);
  return tap;
}

std::vector<base::UniqueFd> open_vhost_net(unsigned queues) {
  std::vector<base::UniqueFd> fds;
  for (unsigned queue = 0; queue < queues; ++queue) {
    base::UniqueFd fd(::open("/dev/vhost-net", O_RDWR | O_CLOEXEC));
    if (!fd) return {};
    fds.push_back(std::move(fd));
  }
  return fds;
}

std::optional<InterfaceStatistics> tap_statistics(const std::string& name) {
  const std::unique_ptr<nl_sock, decltype(&nl_socket_free)> socket(nl_socket_alloc(), nl_socket_free);
  if (!socket || nl_connect(socket.get(), NETLINK_ROUTE) < 0)
    throw Error(ErrorCode::system_error, "cannot open a netlink socket");
  rtnl_link* found = nullptr;
  if (name.empty() || rtnl_link_get_kernel(socket.get(), 0, name.c_str(), &found) < 0) return std::nullopt;
  const std::unique_ptr<rtnl_link, decltype(&rtnl_link_put)> link(found, rtnl_link_put);
  const auto count = [&](rtnl_link_stat_id_t id) { return rtnl_link_get_stat(link.get(), id); };
  return InterfaceStatistics{
      .rx_bytes = count(RTNL_LINK_TX_BYTES),
      .rx_packets = count(RTNL_LINK_TX_PACKETS),
      .rx_errors = count(RTNL_LINK_TX_ERRORS),
      .rx_dropped = count(RTNL_LINK_TX_DROPPED),
      .tx_bytes = count(RTNL_LINK_RX_BYTES),
      .tx_packets = count(RTNL_LINK_RX_PACKETS),
      .tx_errors = count(RTNL_LINK_RX_ERRORS),
      .tx_dropped = count(RTNL_LINK_RX_DROPPED),
  };
}

}  // namespace host
