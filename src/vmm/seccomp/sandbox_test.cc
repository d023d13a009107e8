#include "vmm/seccomp/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/landlock.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

namespace seccomp {
namespace {

/// What a child of its own, which may bind itself for good, exits with; minus the signal that ended it.
int in_child(const std::function<int()>& act) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(act());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

class RestrictPaths : public testing::Test {
 protected:
  void SetUp() override {
    if (::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1) {
      GTEST_SKIP() << "the kernel has no landlock";
    }
    std::filesystem::create_directories(folder);
    for (const char* name : {"/read", "/write", "/other"}) std::ofstream(folder + name) << name;
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  /// errno of an open, 0 for none.
  static int open_error(const std::string& path, int flags) {
    const int fd = ::open(path.c_str(), flags, 0600);
    if (fd < 0) return errno;
    ::close(fd);
    return 0;
  }

  const std::string folder = testing::TempDir() + "sandbox_test." + std::to_string(::getpid());
};

TEST_F(RestrictPaths, NothingElseCanBeOpenedMadeOrRemoved) {
  EXPECT_EQ(in_child([&] {
              const int before = ::open((folder + "/other").c_str(), O_RDONLY);
              char byte = 0;
              if (!restrict_paths({.readable = {folder + "/read"}, .writable = {folder + "/write"}, .removable = {}}))
                return 1;
              if (open_error(folder + "/read", O_RDONLY) != 0) return 2;
              if (open_error(folder + "/read", O_RDWR) != EACCES) return 3;
              if (open_error(folder + "/write", O_RDWR) != 0) return 4;
              if (open_error(folder + "/other", O_RDONLY) != EACCES) return 5;
              if (open_error(folder + "/new", O_RDWR | O_CREAT) != EACCES) return 6;
              if (::unlink((folder + "/other").c_str()) == 0 || errno != EACCES) return 7;
              return ::read(before, &byte, 1) == 1 ? 0 : 8;  // what is open stays so
            }),
            0);
}

TEST_F(RestrictPaths, NoPathsAreNone) {
  EXPECT_EQ(
      in_child([&] {
        if (!restrict_paths({})) return 1;
        return open_error(folder + "/read", O_RDONLY) == EACCES && open_error("/dev/null", O_RDONLY) == EACCES ? 0 : 2;
      }),
      0);
}

TEST_F(RestrictPaths, WhatIsNotThereIsPassedOver) {
  EXPECT_EQ(in_child([&] {
              if (!restrict_paths({.readable = {folder + "/none", folder + "/read"}, .writable = {}, .removable = {}}))
                return 1;
              return open_error(folder + "/read", O_RDONLY);
            }),
            0);
}

TEST_F(RestrictPaths, FilesOfAFolderCanBeRemovedAndNoMore) {
  EXPECT_EQ(in_child([&] {
              if (!restrict_paths({.readable = {}, .writable = {}, .removable = {folder}})) return 1;
              if (open_error(folder + "/read", O_RDONLY) != EACCES) return 2;
              return ::unlink((folder + "/read").c_str()) == 0 ? 0 : 3;
            }),
            0);
}

constexpr Thread kinds[] = {Thread::main, Thread::vcpu, Thread::iothread};

TEST(RestrictThread, AnyOtherSystemCallEndsTheProcess) {
  for (const Thread kind : kinds) {
    EXPECT_EQ(in_child([kind] {
                restrict_thread(kind);
                return ::syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0) < 0 ? 1 : 2;
              }),
              -SIGSYS);
  }
}

TEST(RestrictThread, OneThatIsAllowedIsMade) {
#if __has_feature(address_sanitizer)
  GTEST_SKIP() << "the address sanitizer makes system calls of its own";
#endif
  for (const Thread kind : kinds) {
    EXPECT_EQ(in_child([kind] {
                restrict_thread(kind);
                return ::close(-1) < 0 && errno == EBADF ? 0 : 1;
              }),
              0);
  }
}

}  // namespace
}  // namespace seccomp
