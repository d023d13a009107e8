#include "vmm/monitor/commands.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "qmp/message.h"
#include "vmm/monitor/command_table.h"
#include "vmm/monitor/fake_machine_for_test.h"

namespace monitor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Commands : public testing::Test {
 protected:
  Json ask(const std::string& request) { return Json::parse(answer(request, machine, client)); }
  Json execute(const std::string& command, const Json& arguments = nullptr) {
    Json request = {{"execute", command}, {"id", "libvirt-7"}};
    if (!arguments.is_null()) request["arguments"] = arguments;
    Json reply = ask(request.dump());
    EXPECT_EQ(reply.value("id", ""), "libvirt-7");
    return reply;
  }
  Json result(const std::string& command, const Json& arguments = nullptr) {
    Json reply = execute(command, arguments);
    EXPECT_TRUE(reply.contains("return")) << reply;
    return reply["return"];
  }
  /// "GenericError: why"
  std::string refusal(const std::string& command, const Json& arguments = nullptr) {
    const Json reply = execute(command, arguments);
    if (!reply.contains("error")) return "accepted";
    return reply["error"]["class"].get<std::string>() + ": " + reply["error"]["desc"].get<std::string>();
  }
  /// Hands over an open descriptor under a name; its number.
  int give(const std::string& name) {
    std::vector<base::UniqueFd> one;
    one.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const int fd = one[0].get();
    descriptors.came(std::move(one));
    EXPECT_EQ(result("getfd", {{"fdname", name}}), Json::object());
    return fd;
  }

  FakeMachine machine;
  Client client;
  Descriptors& descriptors = client.descriptors;
};

TEST_F(Commands, GreetAsTheOriginal) {
  EXPECT_EQ(greeting(),
            R"({"QMP":{"version":{"qemu":{"micro":1,"minor":0,"major":5},"package":"StratoVirt-)" STRATOVIRT_VERSION
            R"("},"capabilities":[]}})");
}

TEST_F(Commands, RefuseWhatIsNoRequest) {
  const std::pair<const char*, const char*> rows[] = {
      {R"({})", "lacks member 'execute'"},
      {R"({"execute":7})", "member 'execute' must be a string"},
      {R"({"execute":"stop","arguments":[]})", "member 'arguments' must be an object"},
      {R"({"execute":"stop","colour":"red"})", "member 'colour' is unexpected"},
      {R"({"execute":"stop","arguments":{"x":1}})", "Parameter 'x' is unexpected"},
      {R"({"execute":"balloon"})", "Parameter 'value' is missing"},
      {R"({"execute":"balloon","arguments":{"value":"1"}})", "Invalid parameter type for 'value', expected: integer"},
      {R"({"execute":"balloon","arguments":{"value":-1}})", "Invalid parameter type for 'value'"},
      {R"({"execute":"balloon","arguments":{"value":1.5}})", "Invalid parameter type for 'value'"},
      {R"({"execute")", "JSON object without an end"},
      {R"({"execute":})", "parse error"},
      {"{\"execute\":\"\xff\"}", "stray byte 0xff"},
  };
  for (const auto& [text, why] : rows) {
    const Json reply = ask(text);
    EXPECT_EQ(reply["error"]["class"], "GenericError") << text;
    EXPECT_THAT(reply["error"]["desc"].get<std::string>(), HasSubstr(why)) << text;
  }
  EXPECT_EQ(machine.state, "running");
  EXPECT_EQ(refusal("frob"), "CommandNotFound: The command frob has not been found");
  EXPECT_EQ(refusal("frob", {{"x", 1}}), "CommandNotFound: The command frob has not been found");
  EXPECT_EQ(refusal("frob", Json::array()), "GenericError: QMP input member 'arguments' must be an object");
}

TEST_F(Commands, NegotiateAsQemu) {
  constexpr const char* expecting = "CommandNotFound: Expecting capabilities negotiation with 'qmp_capabilities'";
  EXPECT_EQ(refusal("qmp_capabilities", {{"enable", "oob"}}),
            "GenericError: Invalid parameter type for 'enable', expected: array");
  for (const char* command : {"query-version", "stop", "frob"}) EXPECT_EQ(refusal(command), expecting);
  EXPECT_THAT(refusal("stop", Json::array()), HasSubstr("must be an object"));
  EXPECT_EQ(refusal("qmp_capabilities", {{"x", 1}}), "GenericError: Parameter 'x' is unexpected");
  EXPECT_THAT(refusal("qmp_capabilities", {{"enable", {5}}}), HasSubstr("Invalid parameter type for 'enable'"));
  EXPECT_EQ(refusal("qmp_capabilities", {{"enable", {"oob"}}}), "GenericError: Capability oob not available");
  EXPECT_FALSE(client.begun());
  EXPECT_EQ(result("qmp_capabilities", {{"enable", Json::array()}}), Json::object());
  EXPECT_TRUE(client.begun());
  EXPECT_EQ(refusal("qmp_capabilities"),
            "CommandNotFound: Capabilities negotiation is already complete, command ignored");
  EXPECT_EQ(result("query-version")["qemu"]["major"], 5);
  EXPECT_EQ(machine.state, "running");
}

TEST_F(Commands, ServeAClientOfStratoVirts) {
  EXPECT_THAT(ask("{}").dump(), HasSubstr("lacks member"));
  EXPECT_FALSE(client.begun()) << "it has named no command";
  EXPECT_EQ(refusal("frob"), "CommandNotFound: The command frob has not been found");
  EXPECT_FALSE(client.begun()) << "QEMU's may begin so";
  EXPECT_EQ(refusal("query-version", {{"x", 1}}), "GenericError: Parameter 'x' is unexpected");
  EXPECT_TRUE(client.begun());
  result("query-version");
  result("qmp_capabilities");
  EXPECT_THAT(refusal("qmp_capabilities"), HasSubstr("already complete"));
  result("query-version");
}

TEST_F(Commands, ReadQemusStrings) {
  const Json reply = ask(R"({'execute':'query-name', 'id':'it\'s "me"'})");
  EXPECT_EQ(reply["id"], "it's \"me\"");
  EXPECT_TRUE(reply.contains("return"));
}

TEST_F(Commands, EchoAnyId) {
  for (const char* id : {"1", "\"a\"", "{\"a\":[1,2]}", "18446744073709551615", "null"}) {
    const Json reply = ask(std::string(R"({"execute":"query-status","id":)") + id + "}");
    EXPECT_EQ(reply["id"], Json::parse(id));
    EXPECT_EQ(ask(std::string(R"({"execute":"frob","id":)") + id + "}")["id"], Json::parse(id));
  }
  EXPECT_FALSE(ask(R"({"execute":"qmp_capabilities"})").contains("id"));
}

TEST_F(Commands, TellTheState) {
  EXPECT_EQ(result("query-status"), Json({{"status", "running"}, {"running", true}, {"singlestep", false}}));
  result("stop");
  EXPECT_EQ(result("query-status")["status"], "paused");
  result("cont");
  EXPECT_EQ(result("query-status")["running"], true);
}

TEST_F(Commands, ReachTheMachine) {
  result("system_reset");
  result("system_powerdown");
  result("quit");
  machine.balloon_bytes = 1 << 28;
  result("balloon", {{"value", 134217728}});
  result("netlink_set", {{"id", "net0"}, {"up", false}});
  result("set_link", {{"name", "net0"}, {"up", true}});
  result("block_set_io_throttle",
         {{"id", "/machine/peripheral/virtio-disk0/virtio-backend"}, {"iops", 500}, {"bps", 0}});
  EXPECT_THAT(machine.calls, ElementsAre("reset", "powerdown", "quit", "balloon 134217728", "link net0 down",
                                         "link net0 up", "iops virtio-disk0 500"));
  EXPECT_THAT(refusal("block_set_io_throttle", {{"id", "a"}, {"iops", 0}, {"bps", 1}}), HasSubstr("'bps' is not"));
  EXPECT_THAT(refusal("block_set_io_throttle", {{"id", "a"}, {"iops", 1000001}}), HasSubstr("0 to 1000000"));
  EXPECT_THAT(refusal("block_set_io_throttle", {{"iops", 1}}), HasSubstr("Parameter 'id' is missing"));
}

TEST_F(Commands, TheBalloonMayBeMissing) {
  EXPECT_EQ(refusal("query-balloon"), "DeviceNotActive: No balloon device has been activated");
  EXPECT_EQ(refusal("balloon", {{"value", 1}}), "DeviceNotActive: No balloon device has been activated");
  machine.balloon_bytes = 12345;
  EXPECT_EQ(result("query-balloon"), Json({{"actual", 12345}}));
  EXPECT_THAT(refusal("balloon", {{"value", 0}}), HasSubstr("above 0"));
}

TEST_F(Commands, TellOfThreadsInBothWays) {
  machine.plan.smp = {.cpus = 2, .max_cpus = 4, .sockets = 2, .cores = 2};
  const Json old = result("query-cpus"), fast = result("query-cpus-fast");
  EXPECT_EQ(old[1]["CPU"], 1);
  EXPECT_EQ(old[1]["thread_id"], 101);
  EXPECT_EQ(old[1]["halted"], true);
  EXPECT_EQ(fast[0]["cpu-index"], 0);
  EXPECT_EQ(fast[0]["thread-id"], 100);
  const Json all = result("query-hotpluggable-cpus");
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[3]["props"], Json({{"thread-id", 0}, {"core-id", 1}, {"die-id", 0}, {"socket-id", 1}}));
  EXPECT_TRUE(all[1].contains("qom-path"));
  EXPECT_FALSE(all[2].contains("qom-path"));
  EXPECT_EQ(result("query-iothreads")[0]["thread-id"], 200);
}

TEST_F(Commands, TellOfDisks) {
  Block used, alone;
  used.device = "virtio-disk0";
  used.drive = "drive-vda";
  used.no_space = true;
  used.read_bytes = 7;
  alone.drive = "alone";
  machine.disks = {used, alone};
  const Json stats = result("query-blockstats"), blocks = result("query-block");
  EXPECT_EQ(stats[0]["qdev"], "/machine/peripheral/virtio-disk0/virtio-backend");
  EXPECT_EQ(stats[0]["stats"]["rd_bytes"], 7);
  ASSERT_EQ(blocks.size(), 1U);
  EXPECT_EQ(blocks[0]["io-status"], "nospace");
  EXPECT_EQ(result("query-named-block-nodes").size(), 2U);
}

TEST_F(Commands, TellWhatThereIs) {
  machine.plan.name = "a\xff";  // a command line may hold any bytes
  machine.plan.uuid = "12345678-1234-1234-1234-123456789abc";
  EXPECT_EQ(result("query-uuid")["UUID"], machine.plan.uuid);
  EXPECT_EQ(result("query-name")["name"], "a\xef\xbf\xbd");
  EXPECT_EQ(result("query-chardev"),
            Json::parse(R"([{"label":"charconsole0","filename":"pty:/dev/pts/3","frontend-open":true}])"));
  EXPECT_EQ(result("query-version")["package"], "StratoVirt-" STRATOVIRT_VERSION);
  EXPECT_EQ(result("query-target")["arch"], "x86_64");
  EXPECT_EQ(result("query-kvm"), Json({{"enabled", true}, {"present", true}}));
  EXPECT_EQ(result("query-machines")[1]["name"], "q35");
  EXPECT_EQ(result("query-events").size(), 9U);
  const Json commands = result("query-commands");
  EXPECT_THAT(commands, testing::Contains(Json({{"name", "query-commands"}})));
  EXPECT_THAT(commands, testing::Contains(Json({{"name", "device_add"}})));
  EXPECT_THAT(result("qom-list-types").dump(), HasSubstr("virtio-rng-pci"));
  EXPECT_EQ(result("qom-list", {{"path", "/machine/peripheral"}}),
            Json::parse(R"([{"name":"disk0","type":"child<device>"},{"name":"port0","type":"child<device>"}])"));
  EXPECT_EQ(result("qom-list", {{"path", "/machine"}}), Json::array());
  EXPECT_THAT(result("device-list-properties", {{"typename", "virtio-balloon-pci"}}).dump(),
              HasSubstr("deflate-on-oom"));
  EXPECT_EQ(refusal("device-list-properties", {{"typename", "vfio-pci"}}),
            "DeviceNotFound: Device 'vfio-pci' not found");
  EXPECT_EQ(result("query-command-line-options", {{"option", "overcommit"}})[0]["parameters"][0]["name"], "mem-lock");
  EXPECT_THAT(refusal("query-command-line-options", {{"option", "frob"}}), HasSubstr("invalid option name"));
  EXPECT_EQ(result("query-memory-size-summary")["base-memory"], 256 << 20);
  for (const char* none : {"query-qmp-schema", "query-tpm-models", "query-tpm-types", "query-migrate-capabilities",
                           "query-gic-capabilities", "query-block-jobs"}) {
    EXPECT_EQ(result(none), Json::array());
  }
}

// What the driver sends for a disk and a card, as its own tests have it.
TEST_F(Commands, TakeADisk) {
  result("blockdev-add", Json::parse(R"({"node-name":"drive-vdb","file":{"driver":"file","filename":"/images/b.img",
      "aio":"io_uring"},"driver":"raw","cache":{"direct":true},"read-only":true,"throttling.iops-total":100})"));
  ASSERT_EQ(machine.drives.size(), 1U);
  EXPECT_EQ(machine.drives[0].id, "drive-vdb");
  EXPECT_EQ(machine.drives[0].file, "/images/b.img");
  EXPECT_EQ(machine.drives[0].aio, cmdline::Drive::Aio::io_uring);
  EXPECT_TRUE(machine.drives[0].read_only);
  EXPECT_EQ(machine.drives[0].iops_total, 100U);
  result("device_add", Json::parse(R"({"driver":"virtio-blk-pci","id":"virtio-disk1","drive":"drive-vdb","bus":"pci.2",
      "addr":"0x0","boot_index":3,"multifunction":false})"));
  const auto& blk = std::get<cmdline::VirtioBlk>(machine.devices.at(0));
  EXPECT_EQ(blk.drive, "drive-vdb");
  EXPECT_EQ(blk.bootindex, 3U);
  EXPECT_EQ(blk.place.bus, "pci.2");
  result("device_del", {{"id", "virtio-disk1"}});
  result("blockdev-del", {{"node-name", "drive-vdb"}});
  EXPECT_THAT(machine.calls, ElementsAre("remove device virtio-disk1", "remove drive drive-vdb"));
  EXPECT_EQ(refusal("device_del", {{"id", "frob"}}), "DeviceNotFound: Device 'frob' not found");
}

TEST_F(Commands, TakeACardByItsDescriptors) {
  const int fd = give("fd-net1-0"), vhost = give("vhostfd-net1-0");
  result("netdev_add",
         {{"type", "tap"}, {"id", "hostnet1"}, {"fd", "fd-net1-0"}, {"vhost", true}, {"vhostfd", "vhostfd-net1-0"}});
  ASSERT_EQ(machine.netdevs.size(), 1U);
  EXPECT_THAT(machine.netdevs[0].fds, ElementsAre(fd));
  EXPECT_THAT(machine.netdevs[0].vhost_fds, ElementsAre(vhost));
  EXPECT_THAT(refusal("closefd", {{"fdname", "fd-net1-0"}}), HasSubstr("not found"));  // it is the machine's now
  EXPECT_EQ(::fcntl(fd, F_GETFD), FD_CLOEXEC);
  ::close(fd);
  ::close(vhost);

  const int first = give("a"), second = give("b");
  result("netdev_add", {{"id", "n"}, {"fds", "a:b"}});
  EXPECT_THAT(machine.netdevs[1].fds, ElementsAre(first, second));
  EXPECT_EQ(machine.netdevs[1].queues, 2U);
  ::close(first);
  ::close(second);
}

TEST_F(Commands, KeepADescriptorThatTheMachineRefused) {
  const int fd = give("a");
  machine.refusal = "no more room";
  EXPECT_EQ(refusal("netdev_add", {{"id", "n"}, {"fd", "a"}}), "GenericError: no more room");
  EXPECT_GE(::fcntl(fd, F_GETFD), 0);
  result("closefd", {{"fdname", "a"}});
  EXPECT_LT(::fcntl(fd, F_GETFD), 0);
}

TEST_F(Commands, TakeAnOpenFileByItsName) {
  const int fd = give("image");
  result("blockdev-add", {{"node-name", "d"}, {"file", {{"driver", "file"}, {"filename", "/dev/fd/image"}}}});
  EXPECT_EQ(machine.drives.at(0).fd, fd);
  ::close(fd);
  EXPECT_THAT(refusal("blockdev-add", {{"node-name", "d"}, {"file", {{"filename", "/dev/fd/3"}}}}),
              HasSubstr("File descriptor named '3' has not been found"));
}

TEST_F(Commands, NameDescriptorsWithinBounds) {
  EXPECT_THAT(refusal("getfd", {{"fdname", "a"}}), HasSubstr("No file descriptor supplied"));
  const auto hand_over = [this] {
    std::vector<base::UniqueFd> one;
    one.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    descriptors.came(std::move(one));
  };
  for (const char* name : {"", "7", "a:b"}) {
    hand_over();
    EXPECT_THAT(refusal("getfd", {{"fdname", name}}), HasSubstr("expects a name")) << name;
  }
  for (std::size_t i = 0; i < 3 * Descriptors::most_waiting; ++i) hand_over();
  for (std::size_t i = 0; i < Descriptors::most_waiting; ++i) result("getfd", {{"fdname", "same"}});
  EXPECT_THAT(refusal("getfd", {{"fdname", "same"}}), HasSubstr("No file descriptor supplied"));
}

TEST_F(Commands, AddCharacterDevicesAndObjects) {
  EXPECT_EQ(result("chardev-add", Json::parse(R"({"id":"c","backend":{"type":"pty","data":{}}})"))["pty"],
            "/dev/pts/9");
  result("chardev-add", Json::parse(R"({"id":"s","backend":{"type":"socket","data":{"addr":{"type":"unix",
      "data":{"path":"/run/s"}},"server":true}}})"));
  EXPECT_EQ(machine.added_chardevs[1].path, "/run/s");
  EXPECT_TRUE(machine.added_chardevs[1].server);
  EXPECT_FALSE(machine.added_chardevs[1].wait);
  result("chardev-remove", {{"id", "c"}});
  result("object-add", {{"qom-type", "rng-random"}, {"id", "objrng1"}, {"filename", "/dev/urandom"}});
  result("object-add", {{"qom-type", "iothread"}, {"id", "iothread2"}});
  result("object-del", {{"id", "objrng1"}});
  EXPECT_THAT(machine.calls, ElementsAre("remove chardev c", "add objrng1", "add iothread2", "remove object objrng1"));
  result("netdev_del", {{"id", "n"}});
}

TEST_F(Commands, RefuseWhatCannotBeAdded) {
  const std::tuple<const char*, const char*, const char*> rows[] = {
      {"device_add", R"({"driver":"vfio-pci","id":"a"})", "device_add: driver='vfio-pci', allowed: pcie-root-port"},
      {"device_add", R"({"driver":"virtio-blk-pci","id":"a","bus":"b","addr":"0"})", "'drive=' is missing"},
      {"device_add", R"({"driver":"virtio-blk-pci","id":"a","drive":"d","bus":"b","addr":"0","x":1})",
       "x='1', allowed"},
      {"device_add", R"({"driver":"virtio-blk-pci","id":"a","drive":[1]})", "Invalid parameter type for 'drive'"},
      {"device_add", R"({"driver":"virtio-blk-pci","id":"a","drive":{"id":"b"}})", "'drive=' is missing"},
      {"device_add", R"({"driver":"virtio-blk-pci"})", "Parameter 'id' is missing"},
      {"netdev_add", R"({"id":"n","fd":"5"})", "File descriptor named '5' has not been found"},
      {"netdev_add", R"({"id":"n","fds":"x:"})", "File descriptor named 'x' has not been found"},
      {"netdev_add", R"({"id":"n","type":"user"})", "netdev_add: type='user', allowed: tap"},
      {"blockdev-add", R"({"node-name":"d","file":{"driver":"nbd","filename":"/f"}})", "'file.driver' expects file"},
      {"blockdev-add", R"({"node-name":"d","file":{"filename":"/f"},"driver":"qcow2"})",
       "format='qcow2', allowed: raw"},
      {"blockdev-add", R"({"node-name":"d","file":"other"})", "Invalid parameter type for 'file'"},
      {"blockdev-add", R"({"node-name":"d","file":{"filename":"/f"},"if":"pflash"})", "'unit=' is missing"},
      {"chardev-add", R"({"id":"c","backend":{"type":"stdio"}})", "stdio cannot be added"},
      {"chardev-add", R"({"id":"c","backend":{"type":"socket","data":{"addr":{"type":"vsock","data":{}}}}})",
       "'addr.type'"},
      {"object-add", R"({"qom-type":"memory-backend-ram","id":"m","size":1})", "memory cannot be added"},
      {"human-monitor-command", R"({"command-line":"quit"})", "unknown command: 'quit'"},
      {"human-monitor-command", R"({"command-line":"drive_add dummy id=d,file=/dev/fd/3"})", "is no file"},
      {"human-monitor-command", R"({"command-line":"drive_add"})", "'id=' is missing"},
  };
  for (const auto& [command, arguments, why] : rows) {
    EXPECT_THAT(refusal(command, Json::parse(arguments)), HasSubstr(why)) << command << ' ' << arguments;
  }
  EXPECT_TRUE(machine.devices.empty() && machine.drives.empty() && machine.netdevs.empty());
}

TEST_F(Commands, HoldMembersToTheirTypes) {
  const std::tuple<const char*, const char*, const char*> rows[] = {
      {"object-add", R"({"qom-type":"rng-random","id":"r","filename":7})", "'filename', expected: string"},
      {"object-add", R"({"qom-type":"rng-random","id":"r","filename":true})", "'filename', expected: string"},
      {"object-add", R"({"qom-type":"rng-random","id":"r","props":{"filename":7}})", "expected: string"},
      {"object-add", R"({"qom-type":7,"id":"r","filename":"/f"})", "'qom-type', expected: string"},
      {"object-add", R"({"qom-type":"iothread","id":7})", "'id', expected: string"},
      {"blockdev-add", R"({"node-name":"d","file":{"filename":7}})", "'file.filename', expected: string"},
      {"blockdev-add", R"({"node-name":"d","file":{"filename":"/f"},"read-only":"on"})", "'readonly', expected: bool"},
      {"blockdev-add", R"({"node-name":"d","file":{"filename":"/f"},"read-only":1})", "'readonly', expected: bool"},
      {"blockdev-add", R"({"node-name":"d","file":{"filename":"/f"},"cache":{"direct":"on"}})", "'direct', expected"},
      {"blockdev-add", R"({"node-name":"d","file":{"filename":"/f"},"discard":true})", "'discard', expected: string"},
      {"blockdev-add", R"({"node-name":"d","file":{"filename":"/f"},"driver":1})", "'format', expected: string"},
      {"blockdev-add", R"({"node-name":"d","file":{"filename":"/f","driver":1}})", "'file.driver' expects"},
      {"blockdev-add", R"({"node-name":"d","file":{"filename":"/f"},"id":1})", "'id', expected: string"},
      {"blockdev-add", R"({"node-name":"d","file":{"filename":"/f"},"throttling.iops-total":"9"})",
       "expected: integer"},
      {"netdev_add", R"({"id":"n","fd":7})", "'fd', expected: string"},
      {"netdev_add", R"({"id":"n","ifname":7})", "'ifname', expected: string"},
      {"netdev_add", R"({"id":"n","ifname":"t","vhost":"on"})", "'vhost', expected: boolean"},
      {"netdev_add", R"({"id":"n","ifname":"t","queues":"2"})", "'queues', expected: integer"},
      {"netdev_add", R"({"id":"n","ifname":"t","script":false})", "'script', expected: string"},
      {"netdev_add", R"({"id":"n","ifname":"t","queues":-1})", "'queues', expected"},
      {"chardev-add", R"({"id":"c","backend":{"type":"file","data":{"out":7}}})", "'path', expected: string"},
      {"chardev-add",
       R"({"id":"c","backend":{"type":"socket","data":{"addr":{"type":"inet","data":{"host":"h","port":7}}}}})",
       "'port', expected: string"},
      {"chardev-add",
       R"({"id":"c","backend":{"type":"socket","data":{"addr":{"type":"unix","data":{"path":"/s"}},"server":"on"}}})",
       "'server', expected: boolean"},
      {"device_add", R"({"driver":"virtio-blk-pci","id":"a","drive":7,"bus":"b","addr":"0"})",
       "'drive', expected: str"},
      {"device_add", R"({"driver":"virtio-blk-pci","id":"a","drive":"d","bus":"b","addr":0})", "'addr', expected: str"},
      {"device_add", R"({"driver":"virtio-blk-pci","id":"a","drive":"d","bus":"b","addr":"0","serial":1})", "'serial'"},
      {"device_add", R"({"driver":"virtio-blk-pci","id":"a","drive":"d","bus":"b","addr":"0","num-queues":true})",
       "'num-queues', expected: integer"},
      {"device_add", R"({"driver":"virtio-blk-pci","id":"a","drive":"d","bus":"b","addr":"0","multifunction":1})",
       "'multifunction', expected: boolean"},
      {"qom-list-types", R"({"implements":7})", "'implements', expected: string"},
      {"qom-list-types", R"({"abstract":"yes"})", "'abstract', expected: boolean"},
  };
  for (const auto& [command, arguments, why] : rows) {
    EXPECT_THAT(refusal(command, Json::parse(arguments)), HasSubstr(why)) << command << ' ' << arguments;
  }
  EXPECT_TRUE(machine.calls.empty() && machine.devices.empty() && machine.drives.empty() && machine.netdevs.empty());
  // As with QEMU up to 9.1, and as StratoVirt's clients write it.
  result("device_add", Json::parse(R"({"driver":"virtio-blk-pci","id":"a","drive":"d","bus":"b","addr":"0x0",
      "num-queues":"2","boot_index":3,"multifunction":"off"})"));
}

TEST_F(Commands, ListTypesByWhatTheyImplement) {
  const auto names = [this](const Json& arguments) {
    std::vector<std::string> list;
    for (const Json& one : result("qom-list-types", arguments)) list.push_back(one["name"]);
    return list;
  };
  EXPECT_THAT(names({{"implements", "rng-backend"}}), ElementsAre("rng-random"));
  EXPECT_THAT(names({{"implements", "rng-backend"}, {"abstract", true}}), ElementsAre("rng-backend", "rng-random"));
  EXPECT_THAT(names({{"implements", "virtio-rng-pci"}}), ElementsAre("virtio-rng-pci"));
  EXPECT_THAT(names({{"implements", "nothing"}}), ElementsAre());
  EXPECT_THAT(names({{"implements", ""}}), ElementsAre());
  const auto devices = names({{"implements", "device"}}), all = names(Json::object());
  EXPECT_THAT(devices, testing::IsSupersetOf({"virtio-blk-pci", "pcie-root-port", "virtconsole", "virtio-rng-device"}));
  EXPECT_THAT(devices, testing::Not(testing::Contains(testing::AnyOf("iothread", "device", "virtio-device"))));
  EXPECT_THAT(all, testing::IsSupersetOf({"iothread", "memory-backend-ram", "virtio-blk-pci"}));
  EXPECT_GT(names({{"abstract", true}}).size(), all.size());
  // A parent is a type of the list, and what is not abstract can be asked for its properties.
  const Json types = result("qom-list-types", {{"abstract", true}});
  for (const Json& one : types) {
    EXPECT_EQ(one.contains("parent"), one["name"] != "object") << one;
    if (!one.contains("parent")) continue;
    EXPECT_TRUE(std::ranges::any_of(types, [&](const Json& other) { return other["name"] == one["parent"]; })) << one;
  }
}

TEST_F(Commands, TheLinesForPeople) {
  EXPECT_EQ(result("human-monitor-command", {{"command-line", "drive_add dummy id=d,file=/f,format=raw"}}), "OK\r\n");
  EXPECT_EQ(machine.drives.at(0).file, "/f");
  EXPECT_EQ(result("human-monitor-command", {{"command-line", "drive_del d"}}), "");
  EXPECT_THAT(machine.calls, ElementsAre("remove drive d"));
  EXPECT_THAT(result("human-monitor-command", {{"command-line", "info snapshots"}}).dump(), HasSubstr("no snapshot"));
}

TEST(Tell, SaysWhatTheDriverReads) {
  using Kind = Event::Kind;
  const std::tuple<Event, const char*, const char*> rows[] = {
      {{Kind::stop, false, "", 0}, "STOP", "{}"},
      {{Kind::resume, false, "", 0}, "RESUME", "{}"},
      {{Kind::powerdown, false, "", 0}, "POWERDOWN", "{}"},
      {{Kind::reset, true, "", 0}, "RESET", R"({"guest":true})"},
      {{Kind::shutdown, true, "guest-shutdown", 0}, "SHUTDOWN", R"({"guest":true,"reason":"guest-shutdown"})"},
      {{Kind::guest_panicked, true, "pause", 0}, "GUEST_PANICKED", R"({"action":"pause"})"},
      {{Kind::guest_pvshutdown, true, "", 0}, "GUEST_PVSHUTDOWN", "{}"},
      {{Kind::device_deleted, true, "net0", 0},
       "DEVICE_DELETED",
       R"({"device":"net0","path":"/machine/peripheral/net0"})"},
      {{Kind::balloon_changed, true, "", 4096}, "BALLOON_CHANGED", R"({"actual":4096})"},
  };
  for (const auto& [event, name, data] : rows) {
    qmp::Decoder decoder;
    decoder.feed(tell(event, 1700000000, 42));
    const auto read = std::get<qmp::Event>(decoder.next().value());
    EXPECT_EQ(read.name, name);
    EXPECT_EQ(read.data, Json::parse(data));
    EXPECT_EQ(read.seconds, 1700000000);
    EXPECT_EQ(read.microseconds, 42);
  }
}

}  // namespace
}  // namespace monitor
