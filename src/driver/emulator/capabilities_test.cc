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
  EXPECT_EQ(read_version("QEMU emulator version 7.2.0 (D\xe9\tbian)").package, "D??bian");
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
  read_probe(capabilities, "query-version", json::parse(R"({"qemu": {"major": 5, "minor": 0, "micro": 1}})"));
  read_probe(capabilities, "query-target", json::parse(R"({"arch": "x86_64"})"));
  read_probe(capabilities, "query-kvm", json::parse(R"({"enabled": false, "present": false})"));
  read_probe(capabilities, "query-cpu-definitions",
             json::parse(R"([{"name": "max", "unavailable-features": []}, {"name": "host"},
                             {"name": "EPYC", "unavailable-features": ["x"]}])"));
  EXPECT_EQ(*capabilities.machines,
            (std::map<std::string, Machine>{
                {"none", {"none", 0}}, {"pc-q35-7.2", {"pc-q35-7.2", 288}}, {"q35", {"pc-q35-7.2", 288}}}));
  EXPECT_EQ(capabilities.canonical("q35"), "pc-q35-7.2");
  EXPECT_EQ(capabilities.canonical("virt"), "virt");
  EXPECT_EQ(capabilities.monitor, (Version{5, 0, 1}));
  EXPECT_EQ(capabilities.arch, "x86_64");
  EXPECT_FALSE(capabilities.kvm);
  EXPECT_EQ(*capabilities.cpus, (std::map<std::string, bool>{{"EPYC", false}, {"host", true}, {"max", true}}));
  EXPECT_TRUE(capabilities.has_option("drive"));
  EXPECT_FALSE(capabilities.has_option("sandbox"));
  EXPECT_TRUE(capabilities.has_type("vfio-pci"));
  EXPECT_FALSE(capabilities.has_command("cont"));
  EXPECT_TRUE(assumed(Kind::qemu, domain::Arch::x86_64).has_option("sandbox"));
  EXPECT_EQ(read_text(to_text(capabilities)), capabilities);
}

TEST(Probe, TextThatIsNotItsOwnIsRefused) {
  EXPECT_EQ(read_text(to_text(Capabilities{})), Capabilities{});
  for (const char* text : {"", "{}", "[]", R"({"version": 1})", R"({"version": "StratoVirt 1.0.0", "arch": 2})"})
    EXPECT_THROW(read_text(text), core::Error) << text;
}

TEST(Program, RunsWhatItCan) {
  const auto refusal = [](Capabilities capabilities, domain::Type type, const std::string& machine = "q35") {
    domain::Domain domain;
    domain.type = type;
    domain.os.machine = machine;
    try {
      require_runs(capabilities, domain, "/x");
    } catch (const core::Error& error) {
      return error.detail();
    }
    return std::string();
  };
  using domain::Type;
  Capabilities qemu = assumed(Kind::qemu, domain::Arch::x86_64),
               stratovirt = assumed(Kind::stratovirt, domain::Arch::x86_64);
  EXPECT_EQ(refusal(stratovirt, Type::kvm), "");
  EXPECT_EQ(refusal(qemu, Type::kvm), "") << "emulator and accelerator are two things";
  EXPECT_EQ(refusal(qemu, Type::qemu), "");
  EXPECT_THAT(refusal(stratovirt, Type::qemu), testing::HasSubstr("virt type 'qemu': it is a StratoVirt"));
  qemu.machines = std::map<std::string, Machine>{{"q35", {"pc-q35-7.2", 288}}};
  EXPECT_EQ(refusal(qemu, Type::qemu, "pc-q35-99"), "Emulator '/x' does not support machine type 'pc-q35-99'");
  qemu.kvm = false;
  EXPECT_EQ(refusal(qemu, Type::kvm), "Emulator '/x' does not support virt type 'kvm'");
  EXPECT_EQ(refusal(assumed(Kind::qemu, domain::Arch::aarch64), Type::qemu),
            "Emulator '/x' does not support arch 'x86_64'");
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
