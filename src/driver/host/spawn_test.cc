#include "driver/host/spawn.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <thread>

#include "base/file.h"
#include "driver/core/error.h"

namespace host {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// What a shell script printed when started with this configuration.
std::string output_of(const std::string& script, SpawnConfig config = {}) {
  const base::UniqueFd out(::memfd_create("output", MFD_CLOEXEC));
  config.program = "/bin/sh";
  config.arguments = {"-c", script};
  config.output = out.get();
  const Child child = spawn(config);
  EXPECT_EQ(reap(child), 0) << script;
  ::lseek(out.get(), 0, SEEK_SET);
  return base::read_all(out.get(), 1 << 20, "output");
}

/// In a line of /proc/PID/status.
std::string status_line(const std::string& key, SpawnConfig config = {}) {
  return output_of("while read -r a b; do if [ \"$a\" = " + key + ": ]; then echo $b; fi; done < /proc/self/status",
                   std::move(config));
}

TEST(Spawn, RunsInItsOwnSessionWithNothingInherited) {
  SpawnConfig config;
  config.environment = {"A=1", "B=two words"};
  // getsid: field 6 of stat; the process group leads the session.
  EXPECT_EQ(output_of("read -r pid c s pp pg sid rest < /proc/self/stat; [ $pid = $$ ] && [ $sid = $$ ] && echo own"),
            "own\n");
  EXPECT_EQ(output_of("echo $A,$B,$HOME,$USER; pwd; umask", config), "1,two words,,\n/\n0077\n");
  EXPECT_EQ(output_of("read x || echo end"), "end\n");
  EXPECT_EQ(output_of("echo error >&2"), "error\n");
}

TEST(Spawn, TheProgramBeginsOnceItsNumberIsKnown) {
  const std::string path = testing::TempDir() + "/begun-" + std::to_string(::getpid());
  SpawnConfig config;
  config.program = "/bin/sh";
  config.arguments = {"-c", "echo $$ > " + path};
  pid_t told = 0;
  config.before = [&](pid_t pid) {
    told = pid;
    ::usleep(50000);
    EXPECT_FALSE(std::filesystem::exists(path));
  };
  const Child child = spawn(config);
  EXPECT_EQ(child.pid, told);
  EXPECT_EQ(reap(child), 0);
  EXPECT_EQ(base::read_file(path, 100), std::to_string(told) + "\n");
  std::filesystem::remove(path);

  config.before = [&](pid_t pid) {
    told = pid;
    throw core::Error(core::ErrorCode::operation_failed, "not this one");
  };
  EXPECT_THROW(spawn(config), core::Error);
  EXPECT_EQ(::kill(told, 0), -1);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Spawn, NothingBeginsForACallerThatDied) {
  const std::string path = testing::TempDir() + "/orphan-" + std::to_string(::getpid());
  const pid_t caller = ::fork();
  if (caller == 0) {
    SpawnConfig config;
    config.program = "/bin/sh";
    config.arguments = {"-c", "echo > " + path};
    config.before = [](pid_t) { ::_exit(0); };
    spawn(config);
    ::_exit(1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(caller, &status, 0), caller);
  EXPECT_EQ(status, 0);
  ::usleep(200000);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Spawn, HandsOverTheNamedDescriptorsUnderTheirNumbersAndNoOther) {
  const base::UniqueFd kept(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 57));
  const base::UniqueFd dropped(::dup(STDERR_FILENO));  // not close-on-exec
  const base::UniqueFd above(::fcntl(STDERR_FILENO, F_DUPFD, 300));
  SpawnConfig config;
  config.program = "/bin/sleep";
  config.arguments = {"100"};
  config.keep = {kept.get()};
  const Child child = spawn(config);
  // The dynamic linker opens and closes libraries before the program itself sleeps.
  const auto open_now = [&] {
    std::set<std::string> open;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(child.pid) + "/fd"))
      open.insert(entry.path().filename());
    return open;
  };
  std::set<std::string> open = open_now();
  for (int tries = 0; tries < 500 && open.size() > 4; ++tries) {
    ::usleep(10'000);
    open = open_now();
  }
  ::kill(child.pid, SIGKILL);
  reap(child);
  EXPECT_THAT(open, testing::UnorderedElementsAre("0", "1", "2", std::to_string(kept.get())));
  EXPECT_NE(::fcntl(kept.get(), F_GETFD) & FD_CLOEXEC, 0);  // as it was in ours
}

TEST(Spawn, ClearsSignalsThatAreBlockedIgnoredOrHandled) {
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &set, &before);
  const auto pipe_before = ::signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(status_line("SigBlk"), "0000000000000000\n");
  EXPECT_EQ(status_line("SigIgn"), "0000000000000000\n");
  ::signal(SIGPIPE, pipe_before);
  sigset_t now;
  ::pthread_sigmask(SIG_SETMASK, &before, &now);
  EXPECT_EQ(sigismember(&now, SIGTERM), 1);  // ours is as it was
  EXPECT_EQ(sigismember(&now, SIGINT), 0);
}

TEST(Spawn, SetsLimits) {
  SpawnConfig config;
  config.limits = {{RLIMIT_NOFILE, 123}, {RLIMIT_CORE, 0}};
  EXPECT_EQ(output_of("ulimit -n; ulimit -H -n; ulimit -c", config), "123\n123\n0\n");
}

TEST(Spawn, RunsAsAnotherUserWithTheGroupsNamed) {
  if (::geteuid() != 0) GTEST_SKIP() << "changing the user needs root";
  SpawnConfig config;
  config.identity = Identity{65534, 65533, {7, 9}};
  EXPECT_EQ(status_line("Uid", config), "65534 65534 65534 65534\n");
  EXPECT_EQ(status_line("Gid", config), "65533 65533 65533 65533\n");
  EXPECT_EQ(status_line("Groups", config), "7 9\n");
  EXPECT_EQ(status_line("CapEff", config), "0000000000000000\n");
}

struct Failing {
  const char* program;
  const char* folder;
  int errno_value;
  const char* message;
};

class SpawnFails : public testing::TestWithParam<Failing> {};

TEST_P(SpawnFails, WithTheStepAndLeavesNoProcess) {
  SpawnConfig config;
  config.program = GetParam().program;
  config.folder = GetParam().folder;
  try {
    spawn(config);
    FAIL();
  } catch (const core::Error& error) {
    EXPECT_EQ(error.code(), core::ErrorCode::system_error);
    EXPECT_EQ(error.errno_value(), GetParam().errno_value);
    EXPECT_THAT(error.what(), HasSubstr(GetParam().message));
  }
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

INSTANTIATE_TEST_SUITE_P(Steps, SpawnFails,
                         testing::Values(Failing{"/nonexistent/x", "/", ENOENT, "cannot execute '/nonexistent/x': No"},
                                         Failing{"/etc/passwd", "/", EACCES, "cannot execute '/etc/passwd': Perm"},
                                         Failing{"/bin/true", "/nonexistent", ENOENT, "the folder '/nonexistent'"}));

TEST(Spawn, RefusesADescriptorThatIsClosed) {
  SpawnConfig config;
  config.program = "/bin/true";
  config.keep = {900};
  EXPECT_THROW(spawn(config), core::Error);
  config.keep = {1};
  EXPECT_THROW(spawn(config), core::Error);
}

TEST(Spawn, TellsHowItEnded) {
  SpawnConfig config;
  config.program = "/bin/sh";
  config.arguments = {"-c", "exit 7"};
  Child child = spawn(config);
  pollfd ended{child.pidfd.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&ended, 1, 10000), 1);
  const std::optional<int> status = reap(child);
  ASSERT_TRUE(status);
  EXPECT_EQ(WEXITSTATUS(*status), 7);
  EXPECT_EQ(reap(child), std::nullopt);  // gone
}

TEST(Spawn, WorksWhileOtherThreadsAllocate) {
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  threads.reserve(3);
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([&] {
      while (!stop) std::string(1000, 'x').append("y");
    });
  SpawnConfig config;
  config.program = "/bin/true";
  if (::geteuid() == 0) config.identity = Identity{65534, 65534, {}};
  for (int i = 0; i < 30; ++i) EXPECT_EQ(reap(spawn(config)), 0);
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

TEST(FindProgram, LooksOnPath) {
  EXPECT_THAT(find_program("sh").value_or(""), testing::EndsWith("/sh"));
  EXPECT_EQ(find_program("/bin/sh"), "/bin/sh");
  EXPECT_EQ(find_program("no-such-program"), std::nullopt);
  EXPECT_EQ(find_program("/etc/passwd"), std::nullopt);
  EXPECT_EQ(find_program(""), std::nullopt);
  EXPECT_EQ(find_program("/"), std::nullopt);
}

TEST(FindProgram, OneThatIsGoneIsLookedForAgain) {
  const std::string path = std::getenv("PATH");
  const std::string folder = std::filesystem::path(testing::TempDir()) / "find-program";
  for (const char* name : {"/one", "/two"}) {
    std::filesystem::create_directories(folder + name);
    std::filesystem::copy_file("/bin/true", folder + name + "/a-program",
                               std::filesystem::copy_options::overwrite_existing);
  }
  ::setenv("PATH", (folder + "/one:" + folder + "/two").c_str(), 1);
  EXPECT_EQ(find_program("a-program"), folder + "/one/a-program");
  std::filesystem::remove(folder + "/one/a-program");
  EXPECT_EQ(find_program("a-program"), folder + "/two/a-program");
  std::filesystem::remove_all(folder);
  EXPECT_EQ(find_program("a-program"), std::nullopt);
  ::setenv("PATH", path.c_str(), 1);
}

TEST(Identities, ReadNamesAndNumbers) {
  EXPECT_EQ(user_id("root"), 0u);
  EXPECT_EQ(user_id("+12345"), 12345u);
  EXPECT_EQ(user_id("12345"), 12345u);
  EXPECT_EQ(group_id("root"), 0u);
  for (const char* text : {"", "+", "no-such-user", "+root", "-1", "12x", "4294967295", "99999999999"})
    EXPECT_THROW(user_id(text), core::Error) << text;
  const Identity root = identity_of(0, 0, {4242, 0});
  EXPECT_THAT(root.groups, testing::Contains(0u));
  EXPECT_THAT(root.groups, testing::Contains(4242u));
  EXPECT_THAT(identity_of(54321, 54322).groups, ElementsAre(54322u));
}

}  // namespace
}  // namespace host
