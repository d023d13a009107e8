#include "driver/host/tap.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "driver/core/error.h"

namespace host {
namespace {

using core::ErrorCode;

/// Each test in a network namespace of its own, with a bridge br0.
class TapTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::unshare(CLONE_NEWNET) < 0) GTEST_SKIP() << "a network namespace of its own: " << std::strerror(errno);
    if (::access("/dev/net/tun", R_OK | W_OK) < 0) GTEST_SKIP() << "/dev/net/tun: " << std::strerror(errno);
    socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    char bridge[IFNAMSIZ] = "br0";
    if (::ioctl(socket_.get(), SIOCBRADDBR, bridge) < 0) GTEST_SKIP() << "making a bridge: " << std::strerror(errno);
    ifreq request = named("br0");
    request.ifr_mtu = 1400;
    ASSERT_EQ(::ioctl(socket_.get(), SIOCSIFMTU, &request), 0);
  }

  static ifreq named(const std::string& name) {
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    return request;
  }
  ifreq get(unsigned long number, const std::string& name) const {
    ifreq request = named(name);
    EXPECT_EQ(::ioctl(socket_.get(), number, &request), 0) << name << ": " << std::strerror(errno);
    return request;
  }
  std::vector<unsigned> ports() const {
    int indexes[16] = {};
    unsigned long arguments[4] = {BRCTL_GET_PORT_LIST, reinterpret_cast<unsigned long>(indexes), 16, 0};
    ifreq request = named("br0");
    request.ifr_data = reinterpret_cast<char*>(arguments);
    EXPECT_GE(::ioctl(socket_.get(), SIOCDEVPRIVATE, &request), 0) << std::strerror(errno);
    std::vector<unsigned> found;
    for (const int index : indexes)
      if (index != 0) found.push_back(static_cast<unsigned>(index));
    return found;
  }
  static constexpr unsigned long BRCTL_GET_PORT_LIST = 7;  // linux/if_bridge.h, which does not go with net/if.h

  base::UniqueFd socket_;
};

TapConfig on_bridge(std::string name = {}) {
  return {.name = std::move(name), .bridge = "br0", .mac = {0x52, 0x54, 0, 1, 2, 3}, .mtu = {}};
}

ErrorCode code_of(const TapConfig& config, std::string* message = nullptr) {
  try {
    Tap::open(config);
  } catch (const core::Error& error) {
    if (message != nullptr) *message = error.what();
    return error.code();
  }
  return ErrorCode::ok;
}

TEST_F(TapTest, IsOnTheBridgeUpAndGoneWithItsDescriptor) {
  unsigned index = 0;
  {
    const Tap tap = Tap::open(on_bridge());
    EXPECT_EQ(tap.name(), "vnet0");
    ASSERT_EQ(tap.queues().size(), 1u);
    EXPECT_NE(::fcntl(tap.queues()[0].get(), F_GETFD) & FD_CLOEXEC, 0);
    index = ::if_nametoindex("vnet0");
    EXPECT_THAT(ports(), testing::ElementsAre(index));
    EXPECT_NE(get(SIOCGIFFLAGS, "vnet0").ifr_flags & IFF_UP, 0);
    EXPECT_EQ(get(SIOCGIFMTU, "vnet0").ifr_mtu, 1400);  // the bridge's
    const ifreq mac = get(SIOCGIFHWADDR, "vnet0");
    EXPECT_EQ(std::memcmp(mac.ifr_hwaddr.sa_data, "\xfe\x54\x00\x01\x02\x03", 6), 0);
    ifreq flags{};
    EXPECT_EQ(::ioctl(tap.queues()[0].get(), TUNGETIFF, &flags), 0);
    EXPECT_EQ(flags.ifr_flags & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE),
              IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
  }
  EXPECT_EQ(::if_nametoindex("vnet0"), 0u);
  EXPECT_THAT(ports(), testing::ElementsAre());
}

TEST_F(TapTest, TakesTheFirstFreeNumberOrTheNameGiven) {
  const Tap first = Tap::open(on_bridge());
  std::optional<Tap> second = Tap::open(on_bridge());
  const Tap third = Tap::open(on_bridge());
  EXPECT_EQ(third.name(), "vnet2");
  second.reset();
  EXPECT_EQ(Tap::open(on_bridge()).name(), "vnet1");
  EXPECT_EQ(Tap::open(on_bridge("fifteen-bytes-x")).name(), "fifteen-bytes-x");
}

TEST_F(TapTest, HasAnotherAddressThanItsGuest) {
  TapConfig config = on_bridge("tap0");
  config.mac[0] = 0xfe;
  const Tap tap = Tap::open(config);
  EXPECT_EQ(std::memcmp(get(SIOCGIFHWADDR, "tap0").ifr_hwaddr.sa_data, "\xfa\x54\x00\x01\x02\x03", 6), 0);
}

TEST_F(TapTest, HasQueuesAndAnMtuOfItsOwn) {
  TapConfig config = on_bridge("tap0");
  config.bridge.clear();
  config.queues = 4;
  config.mtu = 9000;
  const Tap tap = Tap::open(config);
  EXPECT_EQ(tap.queues().size(), 4u);
  EXPECT_EQ(get(SIOCGIFMTU, "tap0").ifr_mtu, 9000);
}

TEST_F(TapTest, CountsAsTheGuestSeesIt) {
  const Tap tap = Tap::open(on_bridge());
  // An empty virtio header of 10 bytes and a frame of 60: what the guest sends.
  std::string frame(70, '\0');
  frame.replace(10, 6, 6, '\xff');
  ASSERT_EQ(::write(tap.queues()[0].get(), frame.data(), frame.size()), 70);
  const std::optional<InterfaceStatistics> statistics = tap_statistics(tap.name());
  ASSERT_TRUE(statistics);
  EXPECT_EQ(statistics->tx_packets, 1u);
  EXPECT_GE(statistics->tx_bytes, 46u);
  EXPECT_EQ(tap_statistics("no-such"), std::nullopt);
  EXPECT_EQ(tap_statistics(""), std::nullopt);
}

TEST_F(TapTest, RefusesAndLeavesNothing) {
  std::string message;
  TapConfig config = on_bridge("tap0");
  config.bridge = "nobr";
  EXPECT_EQ(code_of(config, &message), ErrorCode::system_error);
  EXPECT_EQ(message, "Cannot get interface MTU on 'nobr': No such device");
  EXPECT_EQ(::if_nametoindex("tap0"), 0u);

  config = on_bridge("tap0");
  config.mtu = 1;
  EXPECT_EQ(code_of(config, &message), ErrorCode::system_error);
  EXPECT_THAT(message, testing::StartsWith("Cannot set interface MTU on 'tap0'"));
  EXPECT_EQ(::if_nametoindex("tap0"), 0u);
  config = on_bridge("tap0");
  config.queues = 257;
  EXPECT_EQ(code_of(config), ErrorCode::config_unsupported);
  for (const char* name : {"sixteen-bytes-xx", "a/b", "a b", "tap%d", ".."})
    EXPECT_EQ(code_of(on_bridge(name)), ErrorCode::invalid_arg) << name;
  EXPECT_EQ(code_of(on_bridge("br0")), ErrorCode::system_error);  // taken, and no tap
  const Tap tap = Tap::open(on_bridge("tap0"));
  EXPECT_EQ(code_of(on_bridge("tap0"), &message), ErrorCode::system_error);
  EXPECT_EQ(message, "Unable to create tap device tap0: Device or resource busy");
}

TEST_F(TapTest, LeavesOneThatIsNotManagedAsItIs) {
  TapConfig config{.name = "own0", .bridge = {}, .mac = {0x52, 0x54, 0, 1, 2, 3}, .mtu = {}, .managed = false};
  EXPECT_EQ(code_of(config), ErrorCode::operation_failed);
  EXPECT_EQ(::if_nametoindex("own0"), 0u);
  {
    const base::UniqueFd maker(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    ifreq request = named("own0");
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    ASSERT_EQ(::ioctl(maker.get(), TUNSETIFF, &request), 0);
    ASSERT_EQ(::ioctl(maker.get(), TUNSETPERSIST, 1), 0);
  }
  const ifreq before = get(SIOCGIFHWADDR, "own0");
  {
    const Tap tap = Tap::open(config);
    EXPECT_EQ(tap.name(), "own0");
    const ifreq mac = get(SIOCGIFHWADDR, "own0");
    EXPECT_EQ(std::memcmp(&mac.ifr_hwaddr, &before.ifr_hwaddr, sizeof(sockaddr)), 0);
    EXPECT_EQ(get(SIOCGIFFLAGS, "own0").ifr_flags & IFF_UP, 0);
  }
  EXPECT_NE(::if_nametoindex("own0"), 0u);
}

TEST(VhostNet, IsADescriptorAQueueOrNone) {
  const bool there = ::access("/dev/vhost-net", R_OK | W_OK) == 0;
  EXPECT_EQ(open_vhost_net(3).size(), there ? 3u : 0u);
}

}  // namespace
}  // namespace host
