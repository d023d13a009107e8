#include "driver/emulator/dialect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "driver/core/error.h"
#include "driver/emulator/command.h"
#include "driver/emulator/example_for_test.h"

namespace emulator {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const Capabilities qemu = assumed(Kind::qemu, domain::Arch::x86_64);
const Capabilities stratovirt = assumed(Kind::stratovirt, domain::Arch::x86_64);

Json throttle(std::uint64_t iops) {
  return {{"id", "/machine/peripheral/virtio-disk0/virtio-backend"},
          {"bps", 0},
          {"bps_rd", 0},
          {"bps_wr", 0},
          {"iops", iops},
          {"iops_rd", 0},
          {"iops_wr", 0}};
}

TEST(InitialRequests, SayWhatTheCommandLineCannot) {
  auto domain = test::example(domain::Type::qemu);
  domain.interfaces[0].link = domain::Interface::Link::down;
  domain.memballoon->stats_period = 5;
  domain.current_memory_kib = 256 * 1024;
  EXPECT_THAT(initial_requests(domain, qemu), ElementsAre(Request{"block_set_io_throttle", throttle(1000)},
                                                          Request{"set_link", {{"name", "net0"}, {"up", false}}},
                                                          Request{"qom-set",
                                                                  {{"path", "/machine/peripheral/balloon0"},
                                                                   {"property", "guest-stats-polling-interval"},
                                                                   {"value", 5}}},
                                                          Request{"balloon", {{"value", 268435456}}}));
  EXPECT_THAT(initial_requests(domain, stratovirt), ElementsAre(Request{"netlink_set", {{"id", "net0"}, {"up", false}}},
                                                                Request{"balloon", {{"value", 268435456}}}));
  EXPECT_THAT(initial_requests(test::example(domain::Type::kvm), stratovirt), IsEmpty());
  domain.memballoon->model = domain::Memballoon::Model::none;
  EXPECT_EQ(initial_requests(domain, qemu).size(), 2U);
}

TEST(Requests, AreNamedInEachDialect) {
  EXPECT_EQ(query_vcpus(qemu).command, "query-cpus-fast");
  EXPECT_EQ(query_vcpus(stratovirt).command, "query-cpus");
  const auto domain = test::example(domain::Type::qemu);
  EXPECT_TRUE(query_guest_memory(domain, qemu));
  EXPECT_FALSE(query_guest_memory(domain, stratovirt));
  EXPECT_THROW(set_iotune(domain.disks[0], {}, stratovirt), core::Error) << "the original";
  Capabilities own = stratovirt;
  own.commands = std::set<std::string>{"block_set_io_throttle"};
  domain::IoTune limits;
  limits.total_iops_sec = 10;
  EXPECT_TRUE(query_devices(qemu));
  EXPECT_FALSE(query_devices(own)) << "the original";
  own.commands = std::set<std::string>{"block_set_io_throttle", "closefd"};
  EXPECT_TRUE(query_devices(own));
  EXPECT_EQ(set_iotune(domain.disks[0], limits, own),
            (Request{"block_set_io_throttle", {{"id", "virtio-disk0"}, {"iops", 10}}}));
  limits.total_iops_sec_max = 20;
  EXPECT_THROW(set_iotune(domain.disks[0], limits, own), core::Error);
  limits.total_iops_sec_max = 20;
  Json expected = throttle(10);
  expected["iops_max"] = 20;
  EXPECT_EQ(set_iotune(domain.disks[0], limits, qemu).arguments, expected);
  Capabilities without = stratovirt;
  without.commands = std::set<std::string>{"quit"};
  EXPECT_THROW(system_powerdown(without), core::Error);
}

TEST(Attach, MakesADiskInQemu) {
  const auto domain = test::example(domain::Type::qemu);
  const auto steps = attach(domain, domain.disks[0], test::resources(), qemu);
  ASSERT_EQ(steps.size(), 3U);
  EXPECT_EQ(steps[0].request, (Request{"blockdev-add",
                                       {{"driver", "raw"},
                                        {"node-name", "drive-vda"},
                                        {"read-only", false},
                                        {"file", {{"driver", "file"}, {"filename", "/images/root.img"}}}}}));
  EXPECT_EQ(steps[0].undo, (Request{"blockdev-del", {{"node-name", "drive-vda"}}}));
  EXPECT_EQ(steps[1].request, (Request{"device_add",
                                       {{"driver", "virtio-blk-pci"},
                                        {"iothread", "iothread1"},
                                        {"bus", "pci.1"},
                                        {"addr", "0x0"},
                                        {"drive", "drive-vda"},
                                        {"id", "virtio-disk0"}}}));
  EXPECT_EQ(steps[1].undo, (Request{"device_del", {{"id", "virtio-disk0"}}}));
  EXPECT_EQ(steps[2].request, (Request{"block_set_io_throttle", throttle(1000)}));
  EXPECT_THAT(after_detach(domain.disks[0]), ElementsAre(Request{"blockdev-del", {{"node-name", "drive-vda"}}}));
}

TEST(Attach, MakesADiskInStratoVirt) {
  auto domain = test::example(domain::Type::kvm);
  domain.disks[0].cache = domain::Disk::Cache::none;
  domain.disks[0].io = domain::Disk::Io::native;
  domain.disks[0].info.boot_order = 1;
  const auto steps = attach(domain, domain.disks[0], test::resources(), stratovirt);
  ASSERT_EQ(steps.size(), 2U);
  EXPECT_EQ(steps[0].request,
            (Request{"blockdev-add",
                     {{"driver", "raw"},
                      {"node-name", "drive-vda"},
                      {"throttling.iops-total", 1000},
                      {"cache", {{"direct", true}}},
                      {"file", {{"driver", "file"}, {"filename", "/images/root.img"}, {"aio", "native"}}}}}));
  EXPECT_EQ(steps[1].request.arguments.at("boot_index"), 1);
  EXPECT_FALSE(steps[1].request.arguments.contains("bootindex"));
}

TEST(Attach, MakesAnInterface) {
  const auto domain = test::example(domain::Type::qemu);
  Resources resources;
  resources.taps["net0"] = {{"fd-net0"}, {}};
  const auto steps = attach(domain, domain.interfaces[0], resources, qemu);
  ASSERT_EQ(steps.size(), 2U);
  EXPECT_EQ(steps[0].request, (Request{"netdev_add", {{"type", "tap"}, {"fd", "fd-net0"}, {"id", "hostnet0"}}}));
  EXPECT_EQ(steps[0].undo, (Request{"netdev_del", {{"id", "hostnet0"}}}));
  EXPECT_EQ(detach(domain.interfaces[0]), (Request{"device_del", {{"id", "net0"}}}));
  EXPECT_THAT(after_detach(domain.interfaces[0]), ElementsAre(Request{"netdev_del", {{"id", "hostnet0"}}}));
}

TEST(Attach, RefusesWhatCannotComeAndGo) {
  const auto domain = test::example(domain::Type::kvm);
  EXPECT_THROW(attach(domain, *domain.memballoon, test::resources(), stratovirt), core::Error);
  EXPECT_THROW(attach(domain, domain.rngs[0], test::resources(), stratovirt), core::Error);
  EXPECT_THROW(attach(domain, domain.consoles[0], test::resources(), qemu), core::Error);
  EXPECT_EQ(attach(domain, domain.rngs[0], test::resources(), qemu).size(), 2U);
}

}  // namespace
}  // namespace emulator
