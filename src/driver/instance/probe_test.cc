#include "driver/instance/probe.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <csignal>
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
  /// A program that says it is a QEMU, and does what the shell makes of `script` when it is to answer QMP.
  std::string program(const std::string& script, const std::string& version = "echo 'QEMU emulator version 7.2.15'") {
    const std::string path = folder.path + "/emulator";
    std::ofstream(path + ".new") << "#!/bin/sh\nif [ \"$*\" = -version ]; then " << version << "; exit; fi\n"
                                 << script << "\n";
    chmod((path + ".new").c_str(), 0755);
    std::filesystem::rename(path + ".new", path);
    return path;
  }
  emulator::Capabilities ask(const std::string& path, std::chrono::milliseconds limit = test::patience) const {
    return probe(path, {.state = state, .identity = {}, .limit = limit});
  }
  std::string why(const std::string& script, const std::string& version = "echo 'QEMU emulator version 7.2.15'") {
    return error_of([&] { ask(program(script, version)); }).detail();
  }
  /// In Python, what follows the greeting of a monitor.
  static std::string monitor(const std::string& then, const std::string& greeting = R"({"QMP": {"version": {"qemu":
      {"major": 7, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}})") {
    return "exec /usr/bin/python3 -c '\nimport json, socket, time\nlistener = socket.socket(socket.AF_UNIX)\n"
           "listener.bind(\"monitor.sock\")\nlistener.listen()\npeer = listener.accept()[0]\n"
           "def say(text): peer.sendall(text.encode())\nsay(\"\"\"" +
           greeting + "\"\"\")\n" + then + "'";
  }
  void expect_nothing_left() const { EXPECT_TRUE(std::filesystem::is_empty(state)); }

  const std::string emulator = TEST_DATA_DIR "/instance/emulator";
  test::TemporaryFolder folder;
  const std::string state = [this] {
    std::filesystem::create_directory(folder.path + "/state");
    return folder.path + "/state";
  }();
};

TEST_F(ProbeTest, AProgramIsAskedWhatItIsAndWhatItCanDo) {
  const auto found = ask(program("exec " + emulator + " \"$@\""));
  EXPECT_EQ(found.kind, emulator::Kind::qemu);
  EXPECT_EQ(emulator::to_string(found.version), "7.2.15");
  EXPECT_EQ(found.canonical("q35"), "pc-q35-7.2");
  EXPECT_TRUE(found.commands->empty()) << "what it does not answer it does not tell";
  expect_nothing_left();
}

TEST_F(ProbeTest, WhatIsNoEmulatorIsRefused) {
  EXPECT_EQ(error_of([&] { ask(folder.path + "/none"); }).code(), ErrorCode::system_error);
  EXPECT_THROW(ask(folder.path), Error);
  for (const char* script : {"exit 1", "echo hello", "head -c 1000000 /dev/zero", "kill -9 $$"})
    EXPECT_NE(why("exit", script).find("neither StratoVirt nor QEMU"), std::string::npos) << script;
  expect_nothing_left();
}

TEST_F(ProbeTest, OneThatDoesNotAnswerSaysWhy) {
  using testing::HasSubstr;
  EXPECT_THAT(why("echo no machine here >&2; exit 1"), HasSubstr("no machine here"));
  EXPECT_THAT(why(monitor("", "hello")), HasSubstr("does not speak QMP"));
  EXPECT_THAT(why(monitor("", "{}")), HasSubstr("does not speak QMP"));
  EXPECT_THAT(why(monitor("", R"({"return": {}})")), HasSubstr("does not greet"));
  EXPECT_THAT(why(monitor("")), HasSubstr("closed its monitor"));
  EXPECT_THAT(why(monitor("while True: say(\"{\\\"event\\\": \\\"STOP\\\", \\\"data\\\": {}, "
                          "\\\"timestamp\\\": {\\\"seconds\\\": 1, \\\"microseconds\\\": 2}}\" * 4096)")),
              HasSubstr("does not stop talking"));
  EXPECT_THAT(why(monitor("say(\"{\" * 1000)")), HasSubstr("does not speak QMP"));
  EXPECT_THAT(why(monitor("answers = peer.makefile(\"rw\")\nfor text in answers: "
                          "say(json.dumps({\"return\": 17, \"id\": json.loads(text)[\"id\"]}))")),
              HasSubstr("broken reply to query-version"));
  expect_nothing_left();
}

TEST_F(ProbeTest, OneThatHangsCostsItsTimeAndLeavesNoProcess) {
  using std::chrono::milliseconds;
  const std::string note = "echo $$ >" + folder.path + "/pid; ";
  const auto is_gone = [&] {
    pid_t pid = 0;
    std::ifstream(folder.path + "/pid") >> pid;
    return pid > 0 && kill(pid, 0) < 0;
  };
  for (const char* script : {"exec sleep 1000", "exec yes", "sleep 1000 & wait"}) {
    EXPECT_THROW(ask(program(note + script), milliseconds(1500)), Error) << script;
    EXPECT_TRUE(is_gone()) << script;
    EXPECT_THROW(ask(program("exit", note + script), milliseconds(1500)), Error) << script;
    EXPECT_TRUE(is_gone()) << script;
  }
  EXPECT_THROW(ask(program(note + monitor("time.sleep(1000)")), milliseconds(3000)), Error);
  EXPECT_TRUE(is_gone());
  expect_nothing_left();
}

TEST_F(ProbeTest, WhatItStartedBesidesEndsWithIt) {
  const std::string note = folder.path + "/child";
  EXPECT_EQ(
      emulator::to_string(ask(program("sleep 1000 & echo $! >" + note + "; exec " + emulator + " \"$@\"")).version),
      "7.2.15");
  pid_t child = 0;
  std::ifstream(note) >> child;
  ASSERT_GT(child, 0);
  const auto end = std::chrono::steady_clock::now() + test::patience;
  const auto runs = [&] {  // it may be a zombie until its reaper has come
    std::string state;
    std::getline(std::ifstream("/proc/" + std::to_string(child) + "/stat"), state);
    return !state.empty() && state.find(") Z ") == std::string::npos;
  };
  while (runs() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_FALSE(runs());
}

TEST_F(ProbeTest, WhatADaemonThatDiedLeftIsRemoved) {
  std::filesystem::create_directories(state + "/probe-abcdef/x");
  std::filesystem::create_directories(state + "/domain-1-a");
  remove_probes(state);
  EXPECT_FALSE(std::filesystem::exists(state + "/probe-abcdef"));
  EXPECT_TRUE(std::filesystem::exists(state + "/domain-1-a"));
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
