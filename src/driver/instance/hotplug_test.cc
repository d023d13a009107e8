#include <gmock/gmock.h>

#include <csignal>
#include <fstream>

#include "driver/domain/change.h"
#include "driver/instance/environment_for_test.h"
#include "driver/instance/instance.h"

namespace instance {
namespace {

using core::Error;
using core::ErrorCode;
using test::error_of;
using test::run;
using test::run_until;
using testing::ElementsAre;

/// A machine with room for one device more, on the emulator without a machine.
class HotplugTest : public testing::Test {
 protected:
  ~HotplugTest() override {
    if (subject->active()) kill(subject->running().process.pid, SIGKILL);
    run_until(around.loop, [&] { return !subject->active(); });
    around.loop.context().restart();
    around.loop.context().run_for(std::chrono::milliseconds(20));
  }

  /// With room for one more device.
  void start(const std::string& words = "") { run(around.loop, subject->start(around.machine(words), 1, false)); }
  domain::Device disk(const std::string& target = "vdb") {
    const std::string path = around.root.path + "/" + target;
    std::ofstream(path) << "image";
    return domain::parse_device("<disk type='file'><source file='" + path + "'/><target dev='" + target +
                                "' bus='virtio'/></disk>");
  }
  void attach(const domain::Device& device) { run(around.loop, subject->attach_device(device)); }
  const domain::Domain& live() { return subject->running().live; }

  test::Surroundings around;
  std::vector<std::string> told;
  Environment environment{around.loop,
                          around.layout,
                          around.settings,
                          around.prober,
                          [this](const Instance&, const Event& event) {
                            if (const auto* added = std::get_if<DeviceAdded>(&event))
                              told.push_back("+" + added->alias);
                            if (const auto* gone = std::get_if<DeviceRemoved>(&event))
                              told.push_back("-" + gone->alias);
                            if (const auto* kept = std::get_if<DeviceRemovalFailed>(&event))
                              told.push_back("=" + kept->alias);
                          },
                          [](Instance&) {},
                          [](const std::string&) {}};
  std::shared_ptr<Instance> subject = std::make_shared<Instance>(environment, core::Uuid{1, 2, 3, 4}, "x");
};

TEST_F(HotplugTest, ADiskComesAndGoesAndComesAgain) {
  start();
  for (int i = 0; i < 2; ++i) {
    attach(disk());
    ASSERT_EQ(live().disks.size(), 1u);
    EXPECT_EQ(live().disks[0].info.alias, "virtio-disk1");
    EXPECT_TRUE(live().disks[0].info.address.has_value());
    run(around.loop, subject->detach_device(live().disks[0], true));
    EXPECT_TRUE(live().disks.empty());
  }
  EXPECT_THAT(told, ElementsAre("+virtio-disk1", "-virtio-disk1", "+virtio-disk1", "-virtio-disk1"));
}

TEST_F(HotplugTest, ARefusalOfTheEmulatorLeavesNothing) {
  start("device_add");
  const Error refused = error_of([&] { attach(disk()); });
  EXPECT_EQ(refused.code(), ErrorCode::internal_error);
  EXPECT_EQ(refused.detail(), "unable to execute QEMU command 'device_add': it was told to refuse");
  EXPECT_TRUE(live().disks.empty());
  EXPECT_THAT(told, ElementsAre());
  // What was made before is taken back, the last first.
  EXPECT_EQ(run(around.loop, subject->running().connected()->execute({"x-taken-back", nullptr})),
            emulator::Json({"blockdev-del"}));
}

TEST_F(HotplugTest, WhatIsGoneIsGoneWhateverStandsOnIt) {
  start();
  const auto lose = [&](const std::string& alias) {
    for (int twice = 0; twice < 2; ++twice)
      run(around.loop, subject->running().connected()->execute(
                           {"tell", {{"event", "DEVICE_DELETED"}, {"data", {{"device", alias}}}}}));
    run_until(around.loop, [&] { return !domain::find_device(live(), alias); });
    EXPECT_EQ(domain::parse_live(domain::format(live(), {.id = 1, .live = true})), live()) << alias;
  };
  lose("virtio-serial0");
  EXPECT_EQ(live().consoles.size(), 1u) << "it stays until it goes by itself";
  attach(disk());
  lose("pci." + std::to_string(live().disks.at(0).info.address->bus));
  EXPECT_EQ(live().disks.size(), 1u);
  attach(disk("vdc"));  // on the bus that the serial one stood on, or the disk
  lose("console0");
  lose("virtio-disk1");
  EXPECT_TRUE(subject->active());
}

TEST_F(HotplugTest, ARefusalOfTheGuestIsTold) {
  start("keep-devices");
  attach(disk());
  const Error refused = error_of([&] { run(around.loop, subject->detach_device(live().disks[0], true)); });
  EXPECT_EQ(refused.code(), ErrorCode::operation_failed);
  EXPECT_EQ(refused.detail(), "unplug of device was rejected by the guest");
  EXPECT_EQ(live().disks.size(), 1u);
  EXPECT_THAT(told, ElementsAre("+virtio-disk1", "=virtio-disk1"));
}

TEST_F(HotplugTest, WhatHasNoPlaceIsRefused) {
  start();
  attach(disk());
  const Error full = error_of([&] { attach(disk("vdc")); });
  EXPECT_EQ(full.code(), ErrorCode::internal_error);
  EXPECT_EQ(full.detail(), "No more available PCI slots");
  EXPECT_EQ(error_of([&] { attach(disk()); }).code(), ErrorCode::xml_error);
}

TEST_F(HotplugTest, WhatStaysAsItIsIsRefused) {
  start();
  for (const auto& [element, attach_words, detach_words] :
       {std::tuple("<memballoon model='virtio'/>", "live attach of device 'memballoon' is not supported",
                   "live detach of device 'memballoon' is not supported"),
        std::tuple("<controller type='pci' index='9' model='pcie-root-port'/>",
                   "live attach of device 'controller' is not supported",
                   "'pci' controller cannot be hot unplugged.")}) {
    const domain::Device device = domain::parse_device(element);
    const Error attached = error_of([&] { attach(device); });
    EXPECT_EQ(attached.code(), ErrorCode::operation_unsupported);
    EXPECT_EQ(attached.detail(), attach_words);
    const Error detached = error_of([&] { run(around.loop, subject->detach_device(device, true)); });
    EXPECT_EQ(detached.code(), ErrorCode::operation_unsupported);
    EXPECT_EQ(detached.detail(), detach_words);
  }
}

TEST_F(HotplugTest, OfAMachineThatIsOffNothingIsChanged) {
  const Error off = error_of([&] { attach(disk()); });
  EXPECT_EQ(off.code(), ErrorCode::operation_invalid);
  EXPECT_EQ(off.detail(), "domain is not running");
}

}  // namespace
}  // namespace instance
