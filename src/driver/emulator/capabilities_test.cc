#include "driver/emulator/capabilities.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "driver/core/error.h"

namespace emulator {
namespace {

using nlohmann::json;
using testing::ElementsAre;

TEST(Version, IsReadFromBothPrograms) {
  const auto qemu = read_version(
      "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright (c) 2003-2022 Fabrice Bellard\n");
  EXPECT_EQ(qemu.kind, Kind::qemu);
  EXPECT_EQ(qemu.version, (Version{7, 2, 22}));
  EXPECT_EQ(qemu.version.number(), 7'002'022UL);
  EXPECT_EQ(qemu.package, "Debian 1:7.2+dfsg-7+deb12u18");
  const auto stratovirt = read_version("StratoVirt 2.5.0\n");
  EXPECT_FALSE(stratovirt.is_own());
  EXPECT_TRUE(read_version("StratoVirt 0.1.0 (C++)\n").is_own());
  EXPECT_FALSE(read_version("QEMU emulator version 7.2.0 (C++)\n").is_own());
  EXPECT_EQ(stratovirt.kind, Kind::stratovirt);
  EXPECT_EQ(to_string(stratovirt.version), "2.5.0");
  EXPECT_EQ(stratovirt.package, "");
  EXPECT_EQ(read_version("QEMU emulator version 9.1").version, (Version{9, 1, 0}));
  for (const auto& one : {qemu, stratovirt, read_version("StratoVirt 0.1.0 (C++)")}) {
    EXPECT_EQ(read_version(version_line(one)), one);
  }
}

TEST(Version, IsRefusedOfAnythingElse) {
  for (const char* text : {"", "bash 5.2", "StratoVirt ", "StratoVirt x", "QEMU emulator version 99999999999999999999",
                           "QEMU emulator version 7.1000", "StratoVirt -1"}) {
    EXPECT_THROW(read_version(text), core::Error) << text;
  }
}

TEST(Probe, AsksInEachDialect) {
  EXPECT_THAT(probe_arguments(Kind::stratovirt, "/run/m"),
              ElementsAre("-machine", "none", "-qmp", "unix:/run/m,server,nowait"));
  const auto qemu = probe_arguments(Kind::qemu, "/run/a,b");
  EXPECT_EQ(qemu.back(), "unix:/run/a,,b,server=on,wait=off");
}

TEST(Probe, ReadsReplies) {
  Capabilities capabilities;
  read_probe(capabilities, "query-machines",
             json::parse(R"([{"name": "pc-q35-7.2", "alias": "q35", "cpu-max": 288}, {"name": "none"}])"));
  read_probe(capabilities, "query-command-line-options", json::parse(R"([{"option": "drive", "parameters": []}])"));
  read_probe(capabilities, "qom-list-types", json::parse(R"([{"name": "vfio-pci", "parent": "vfio-pci-base"}])"));
  read_probe(capabilities, "query-commands", json::parse(R"([{"name": "quit"}])"));
  EXPECT_THAT(capabilities.machines, ElementsAre("none", "pc-q35-7.2", "q35"));
  EXPECT_TRUE(capabilities.has_option("drive"));
  EXPECT_FALSE(capabilities.has_option("sandbox"));
  EXPECT_TRUE(capabilities.has_type("vfio-pci"));
  EXPECT_FALSE(capabilities.has_command("cont"));
  EXPECT_TRUE(assumed(Kind::qemu, domain::Arch::x86_64).has_option("sandbox"));
}

TEST(Probe, RefusesBrokenReplies) {
  Capabilities capabilities;
  for (const char* text : {"{}", "null", "[1]", R"([{"name": 1}])", R"("x")"}) {
    EXPECT_THROW(read_probe(capabilities, "query-machines", json::parse(text)), core::Error) << text;
  }
}

TEST(Program, IsNamedByTypeAndArchitecture) {
  EXPECT_EQ(default_program(domain::Type::kvm, domain::Arch::aarch64), "stratovirt");
  EXPECT_EQ(default_program(domain::Type::qemu, domain::Arch::aarch64), "qemu-system-aarch64");
  EXPECT_EQ(default_program(domain::Type::qemu, domain::Arch::x86_64), "qemu-system-x86_64");
}

TEST(Probe, WhoCanCloseWhatItWasHandedTakesOpenFiles) {
  Capabilities stratovirt = assumed(Kind::stratovirt, domain::Arch::x86_64),
               qemu = assumed(Kind::qemu, domain::Arch::x86_64);
  EXPECT_FALSE(stratovirt.takes_open_files()) << "nobody asked";
  for (Capabilities* one : {&stratovirt, &qemu})
    read_probe(*one, "query-commands", json::parse(R"([{"name": "getfd"}])"));
  EXPECT_FALSE(stratovirt.takes_open_files()) << "StratoVirt 2.5.0";
  for (Capabilities* one : {&stratovirt, &qemu})
    read_probe(*one, "query-commands", json::parse(R"([{"name": "closefd"}])"));
  EXPECT_TRUE(stratovirt.takes_open_files());
  EXPECT_FALSE(qemu.takes_open_files());
}

}  // namespace
}  // namespace emulator
