#include "driver/emulator/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "driver/core/error.h"
#include "driver/emulator/example_for_test.h"

namespace emulator {
namespace {

using core::Error;
using core::ErrorCode;
using domain::Disk;
using domain::Domain;
using testing::Contains;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;

Command command(const Domain& domain) {
  return command_line(domain, test::resources(), assumed(default_kind(domain.type), domain.os.arch));
}

/// The argument after the `index`th of `flag`.
std::string argument(const Command& command, const std::string& flag, std::size_t index = 0) {
  for (std::size_t i = 0; i + 1 < command.arguments.size(); ++i) {
    if (command.arguments[i] == flag && index-- == 0) return command.arguments[i + 1];
  }
  return "no " + flag;
}

std::string refusal(const Domain& domain, const Resources& resources = test::resources()) {
  try {
    command_line(domain, resources, assumed(default_kind(domain.type), domain.os.arch));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::config_unsupported) << error.detail();
    return error.detail();
  }
  return "accepted";
}

struct Refusal {
  const char* message;
  std::function<void(Domain&)> change;
};

TEST(Command, LetsOthersWriteASharedImageWhereTheMonitorCan) {
  auto domain = test::example(domain::Type::kvm);
  domain.disks[0].shareable = true;
  Capabilities capabilities = assumed(Kind::stratovirt, domain.os.arch);
  const auto drive = [&] { return argument(command_line(domain, test::resources(), capabilities), "-drive"); };
  EXPECT_THAT(drive(), Not(HasSubstr("share"))) << "the original";
  capabilities.package = "C++";
  EXPECT_THAT(drive(), HasSubstr(",share=on"));
  domain.disks[0].shareable = false;
  EXPECT_THAT(drive(), Not(HasSubstr("share")));
}

TEST(Command, RefusesWhatStratoVirtCannotHonour) {
  const Refusal rows[] = {
      {"without <acpi/>", [](Domain& d) { d.features.acpi = false; }},
      {"secure='yes'", [](Domain& d) { d.os.loader = domain::Loader{"/code.fd", true, true}; }},
      {"boot dev='network'", [](Domain& d) { d.os.boot = {"hd", "network"}; }},
      {"cpu model 'EPYC'",
       [](Domain& d) { d.cpu = domain::Cpu{domain::Cpu::Mode::custom, "EPYC", {}, {}, {}, {}, {}}; }},
      {"pmu", [](Domain& d) { d.features.pmu = true; }},
      {"vmport", [](Domain& d) { d.features.vmport = true; }},
      {"offset='localtime'", [](Domain& d) { d.clock.offset = "localtime"; }},
      {"timer name='hpet'", [](Domain& d) { d.clock.timers = {{"hpet", true, "", ""}}; }},
      {"source type='memfd'", [](Domain& d) { d.memory_backing.source = "memfd"; }},
      {"locked", [](Domain& d) { d.memory_backing.locked = true; }},
      {"discard", [](Domain& d) { d.memory_backing.discard = true; }},
      {"cache='writethrough' of disk 'vda'", [](Domain& d) { d.disks[0].cache = Disk::Cache::writethrough; }},
      {"cache='directsync' of disk 'vda'", [](Domain& d) { d.disks[0].cache = Disk::Cache::directsync; }},
      {"cache='unsafe' of disk 'vda'", [](Domain& d) { d.disks[0].cache = Disk::Cache::unsafe; }},
      {"io='native'", [](Domain& d) { d.disks[0].io = Disk::Io::native; }},
      {"other than total_iops_sec of disk 'vda'", [](Domain& d) { d.disks[0].iotune.read_bytes_sec = 1; }},
      {"total_iops_sec of 1000001", [](Domain& d) { d.disks[0].iotune.total_iops_sec = 1'000'001; }},
      {"'/a,b'", [](Domain& d) { d.disks[0].source = "/a,b"; }},
      {"'x=y'", [](Domain& d) { d.disks[0].serial = "x=y"; }},
      {"'-S'", [](Domain& d) { d.name = "-S"; }},
      {"boot order of interface 'net0'", [](Domain& d) { d.interfaces[0].info.boot_order = 1; }},
      {"different rx_queue_size and tx_queue_size",
       [](Domain& d) {
         d.interfaces[0].rx_queue_size = 512;
         d.interfaces[0].tx_queue_size = 256;
       }},
      {"log file '/log'", [](Domain& d) { d.consoles[0].source.log_file = "/log"; }},
      {"append='on' of the file '/out'",
       [](Domain& d) {
         d.consoles[0].source.type = domain::CharacterSource::Type::file;
         d.consoles[0].source.path = "/out";
         d.consoles[0].source.append = true;
       }},
      {"virt type 'qemu': it is a StratoVirt", [](Domain& d) { d.type = domain::Type::qemu; }},
  };
  EXPECT_EQ(refusal(test::example(domain::Type::kvm)), "accepted");
  for (const auto& row : rows) {
    Domain domain = test::example(domain::Type::kvm);
    row.change(domain);
    if (domain.type == domain::Type::qemu) {
      try {
        command_line(domain, test::resources(), assumed(Kind::stratovirt, domain.os.arch));
        FAIL();
      } catch (const Error& error) {
        EXPECT_THAT(error.detail(), HasSubstr(row.message));
      }
    } else {
      EXPECT_THAT(refusal(domain), HasSubstr(row.message));
    }
  }
}

TEST(Command, RefusesWhatQemuCannotHonour) {
  const Refusal rows[] = {
      {"'9lives' does not begin with a letter", [](Domain& d) { d.memballoon->info.alias = "9lives"; }},
      {"target", [](Domain& d) { d.disks[0].target = "vd" + std::string(30, 'a'); }},
      {"genid",
       [](Domain& d) {
         d.os.arch = domain::Arch::aarch64;
         d.genid = "12345678-1234-1234-1234-123456789abc";
       }},
      {"secure='yes'",
       [](Domain& d) {
         d.os.arch = domain::Arch::aarch64;
         d.os.loader = domain::Loader{"/code.fd", true, true};
       }},
  };
  EXPECT_EQ(refusal(test::example(domain::Type::qemu)), "accepted");
  for (const auto& row : rows) {
    Domain domain = test::example(domain::Type::qemu);
    row.change(domain);
    EXPECT_THAT(refusal(domain), HasSubstr(row.message));
  }
}

TEST(Command, AsksTheProgramForItsMachinesAndDevices) {
  const Domain domain = test::example(domain::Type::qemu);
  Capabilities capabilities = assumed(Kind::qemu, domain::Arch::x86_64);
  using Machines = std::map<std::string, Machine>;
  capabilities.machines = Machines{{"none", {"none", 1}}};
  EXPECT_THROW(command_line(domain, test::resources(), capabilities), Error);
  capabilities.machines = Machines{{"q35", {"pc-q35-7.2", 288}}};
  capabilities.types = std::set<std::string>{"virtio-blk-pci"};
  EXPECT_THROW(command_line(domain, test::resources(), capabilities), Error);
  capabilities.types = {};
  capabilities.options = std::set<std::string>{"drive"};
  const auto old = command_line(domain, test::resources(), capabilities);
  EXPECT_THAT(old.arguments, Not(Contains("-sandbox")));
  EXPECT_THAT(old.arguments, Not(Contains("-overcommit")));
  capabilities.arch = "aarch64";
  EXPECT_THROW(command_line(domain, test::resources(), capabilities), Error);
}

TEST(Command, RunsOnAQemuWithKvm) {
  Domain domain = test::example(domain::Type::kvm);
  const auto words = [&] {
    return command_line(domain, test::resources(), assumed(Kind::qemu, domain::Arch::x86_64)).arguments;
  };
  const auto after = [&](const std::string& flag) {
    const auto line = words();
    const auto found = std::ranges::find(line, flag);
    return found == line.end() ? std::string() : *std::next(found);
  };
  EXPECT_EQ(after("-accel"), "kvm");
  domain.cpu.reset();
  EXPECT_EQ(after("-cpu"), "qemu64");
  domain.cpu = domain::Cpu{};
  EXPECT_EQ(after("-cpu"), "host");
  domain.cpu->migratable = "on";
  domain.clock.timers = {{"kvmclock", false, "", ""}, {"pit", {}, "delay", ""}};
  EXPECT_EQ(after("-cpu"), "host,migratable=on,kvmclock=off");
  EXPECT_THAT(words(), Contains("kvm-pit.lost_tick_policy=delay"));
  domain.cpu->mode = domain::Cpu::Mode::maximum;
  EXPECT_EQ(after("-cpu"), "max,migratable=on,kvmclock=off");
  domain.cpu->mode = domain::Cpu::Mode::custom;
  domain.cpu->model = "EPYC";
  EXPECT_THAT(after("-cpu"), testing::StartsWith("EPYC"));
  domain.clock.timers[1].tickpolicy = "catchup";
  EXPECT_THROW(words(), Error);
}

TEST(Command, TakesWhatTheHostPrepared) {
  Domain domain = test::example(domain::Type::kvm);
  domain.memory_backing.hugepages = true;
  domain.interfaces[0].queues = 2;
  Resources resources = test::resources();
  resources.program = "/usr/bin/stratovirt";
  resources.taps["net0"] = {{"27", "28"}, {"29", "30"}};
  resources.vsock_fd = 31;
  resources.home = "/var/lib/x";
  resources.incoming = "file:/save";
  const auto made = command_line(domain, resources, assumed(Kind::stratovirt, domain::Arch::x86_64));
  EXPECT_EQ(made.program, "/usr/bin/stratovirt");
  EXPECT_THAT(made.environment, IsSupersetOf({"LC_ALL=C", "HOME=/var/lib/x"}));
  EXPECT_EQ(argument(made, "-netdev"), "tap,fds=27:28,id=hostnet0,vhost=on,vhostfds=29:30");
  EXPECT_EQ(argument(made, "-mem-path"), "/dev/hugepages/domain-1");
  EXPECT_THAT(made.arguments, Contains("-mem-prealloc"));
  EXPECT_EQ(argument(made, "-incoming"), "file:/save");
  EXPECT_THAT(made.arguments, Contains("virtio-net-pci,mq=on,vectors=6,netdev=hostnet0,id=net0,mac=de:ad:be:ef:00:01,"
                                       "bus=pci.2,addr=0x0"));
  EXPECT_THAT(made.arguments, Contains("vhost-vsock-pci,id=vsock0,guest-cid=3,vhostfd=31,bus=pci.6,addr=0x0"));
}

TEST(Command, TakesAMonitorThatListens) {
  Resources resources = test::resources();
  resources.monitor_fd = 20;
  const auto made =
      command_line(test::example(domain::Type::qemu), resources, assumed(Kind::qemu, domain::Arch::x86_64));
  EXPECT_EQ(argument(made, "-chardev"), "socket,id=charmonitor,fd=20,server=on,wait=off");
}

TEST(Command, NeedsADirectoryForHugepages) {
  Domain domain = test::example(domain::Type::qemu);
  domain.memory_backing.hugepages = true;
  Resources resources = test::resources();
  EXPECT_EQ(argument(command(domain), "-object"),
            "memory-backend-file,id=pc.ram,mem-path=/dev/hugepages/domain-1,prealloc=on,size=536870912");
  resources.memory_dir.clear();
  EXPECT_THROW(command_line(domain, resources, assumed(Kind::qemu, domain::Arch::x86_64)), Error);
  domain.type = domain::Type::kvm;
  EXPECT_THROW(command_line(domain, resources, assumed(Kind::stratovirt, domain::Arch::x86_64)), Error);
}

TEST(Command, ShortensIdsThatGrowTooLong) {
  Domain domain = test::example(domain::Type::kvm);
  domain.consoles[0].info.alias = std::string(255, 'c');
  const std::string id = chardev_id(domain.consoles[0].info);
  EXPECT_EQ(id.size(), 255U);
  EXPECT_THAT(command(domain).arguments, Contains("virtconsole,chardev=" + id + ",id=" + std::string(255, 'c')));
}

TEST(Shell, QuotesWhatAShellTakesApart) {
  const Command made{"/a b", {"-append", "x=1 y", "", "it's", "$HOME", "plain,=/"}, {"LC_ALL=C", "HOME=/x y"}};
  EXPECT_EQ(to_shell(made), "LC_ALL=C HOME='/x y' '/a b' -append 'x=1 y' '' 'it'\\''s' '$HOME' plain,=/");
}

}  // namespace
}  // namespace emulator
