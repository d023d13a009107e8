#include "driver/instance/probe.h"

#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "driver/instance/run_for_test.h"

namespace instance {
namespace {

using core::Error;
using core::ErrorCode;
using test::error_of;

class ProbeTest : public testing::Test {
 protected:
  /// A program whose answer is what the shell makes of `script`.
  std::string program(const std::string& script, const std::string& name = "emulator") {
    const std::string path = folder.path + "/" + name;
    std::ofstream(path + ".new") << "#!/bin/sh\n" << script << "\n";
    chmod((path + ".new").c_str(), 0755);
    std::filesystem::rename(path + ".new", path);
    return path;
  }
  test::TemporaryFolder folder;
};

TEST_F(ProbeTest, AProgramIsWhatItsVersionSays) {
  const auto qemu = probe(program("echo 'QEMU emulator version 7.2.15 (Debian 1:7.2+dfsg-7)'", "a"));
  EXPECT_EQ(qemu.kind, emulator::Kind::qemu);
  EXPECT_EQ(emulator::to_string(qemu.version), "7.2.15");
  const auto stratovirt = probe(program("[ \"$*\" = -version ] && echo 'StratoVirt 2.5.0'", "b"));
  EXPECT_EQ(stratovirt.kind, emulator::Kind::stratovirt);
}

TEST_F(ProbeTest, AnAnswerIsKeptUntilTheProgramChanges) {
  const std::string count = folder.path + "/count";
  const std::string script = "echo x >>" + count + "; echo 'QEMU emulator version ";
  const std::string path = program(script + "7.2.0'");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(emulator::to_string(probe(path).version), "7.2.0");
  EXPECT_EQ(std::filesystem::file_size(count), 2U);
  program(script + "10.1.2'");
  EXPECT_EQ(emulator::to_string(probe(path).version), "10.1.2");
  EXPECT_EQ(std::filesystem::file_size(count), 4U);
}

TEST_F(ProbeTest, ManyThreadsMayAskAtOnce) {
  const std::string path = program("echo 'QEMU emulator version 7.2.0'");
  constexpr int many = 8;
  std::vector<std::thread> threads;
  threads.reserve(many);
  for (int i = 0; i < many; ++i)
    threads.emplace_back([&] { EXPECT_EQ(emulator::to_string(probe(path).version), "7.2.0"); });
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ProbeTest, WhatIsNoEmulatorIsRefused) {
  EXPECT_EQ(error_of([&] { probe(folder.path + "/none"); }).code(), ErrorCode::system_error);
  EXPECT_THROW(probe(folder.path), Error);
  for (const char* script : {"exit 1", "echo hello", "head -c 1000000 /dev/zero", "kill -9 $$"}) {
    EXPECT_EQ(error_of([&] { probe(program(script)); }).code(), ErrorCode::internal_error) << script;
  }
}

TEST_F(ProbeTest, OneThatDoesNotEndOrLeavesAChildBehindIsNotWaitedForLong) {
  using std::chrono::milliseconds;
  EXPECT_EQ(emulator::to_string(
                probe(program("echo 'QEMU emulator version 7.2.0'; exec 1>&- 2>&-; exec sleep 1000", "a")).version),
            "7.2.0");
  EXPECT_EQ(
      emulator::to_string(
          probe(program("echo 'QEMU emulator version 7.2.0'; sleep 60 & exit 0", "b"), milliseconds(500)).version),
      "7.2.0");
  EXPECT_THROW(probe(program("yes", "c"), milliseconds(500)), Error);
  EXPECT_THROW(probe(program("exec sleep 1000", "d"), milliseconds(500)), Error);
}

TEST_F(ProbeTest, AMissingEmulatorIsNamedWithWhatWouldHelp) {
  domain::Domain domain;
  domain.emulator = "/no/such/emulator";
  const Error error = error_of([&] { emulator_program(domain); });
  EXPECT_EQ(error.code(), ErrorCode::config_unsupported);
  EXPECT_NE(error.detail().find("'/no/such/emulator'"), std::string::npos);
  domain.emulator = program("exit 0");
  EXPECT_EQ(emulator_program(domain), domain.emulator);
}

}  // namespace
}  // namespace instance
