#include "vmm/seccomp/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/landlock.h>
#include <linux/random.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

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
  EXPECT_EQ(
      in_child([&] {
        const int before = ::open((folder + "/other").c_str(), O_RDONLY);
        char byte = 0;
        if (!restrict_paths(
                {.readable = {folder + "/read"}, .writable = {folder + "/write"}, .removable = {}, .devices = {}}))
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
  EXPECT_EQ(
      in_child([&] {
        if (!restrict_paths(
                {.readable = {folder + "/none", folder + "/read"}, .writable = {}, .removable = {}, .devices = {}}))
          return 1;
        return open_error(folder + "/read", O_RDONLY);
      }),
      0);
}

TEST_F(RestrictPaths, FilesOfAFolderCanBeRemovedAndNoMore) {
  EXPECT_EQ(in_child([&] {
              if (!restrict_paths({.readable = {}, .writable = {}, .removable = {folder}, .devices = {}})) return 1;
              if (open_error(folder + "/read", O_RDONLY) != EACCES) return 2;
              return ::unlink((folder + "/read").c_str()) == 0 ? 0 : 3;
            }),
            0);
}

/// What landlock knows of since a version of its own, and the kernel of that.
class Since : public RestrictPaths {
 protected:
  /// Whether to skip, with the reason.
  static std::string older_than(long version, const char* linux) {
    const long is = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (is >= version) return {};
    return "landlock " + std::to_string(is) + " of this kernel, which has it since " + std::to_string(version) +
           " (Linux " + linux + ")";
  }
};

TEST_F(Since, NothingIsCut) {
  if (const std::string why = older_than(3, "6.2"); !why.empty()) GTEST_SKIP() << why;
  const std::string path = folder + "/write";
  EXPECT_EQ(in_child([&] {
              const int before = ::open(path.c_str(), O_RDWR);
              if (!restrict_paths({.readable = {}, .writable = {path}, .removable = {}, .devices = {}})) return 1;
              if (open_error(path, O_RDWR | O_TRUNC) != EACCES) return 2;
              if (::truncate(path.c_str(), 0) == 0 || errno != EACCES) return 3;
              const int fd = ::open(path.c_str(), O_RDWR);
              if (fd < 0 || ::ftruncate(fd, 0) == 0 || errno != EACCES) return 4;
              return ::ftruncate(before, 1) == 0 ? 0 : 5;  // what was open before stays what it was
            }),
            0);
}

TEST_F(Since, DevicesAreNotControlled) {
  if (const std::string why = older_than(5, "6.10"); !why.empty()) GTEST_SKIP() << why;
  const auto entropy = [](const std::vector<std::string>& devices) {
    return in_child([&] {
      if (!restrict_paths({.readable = {"/dev/random"}, .writable = {}, .removable = {}, .devices = devices})) return 1;
      int bits = 0;
      return ::ioctl(::open("/dev/random", O_RDONLY), RNDGETENTCNT, &bits) == 0 ? 0 : errno;
    });
  };
  EXPECT_EQ(entropy({}), EACCES);
  EXPECT_EQ(entropy({"/dev/random"}), 0);
}

TEST_F(Since, NobodyOutsideIsReached) {
  if (const std::string why = older_than(6, "6.12"); !why.empty()) GTEST_SKIP() << why;
  const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const socklen_t chosen = sizeof address.sun_family;  // by the kernel, an abstract one
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&address), chosen), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  const auto connects = [&] {
    return ::connect(::socket(AF_UNIX, SOCK_STREAM, 0), reinterpret_cast<const sockaddr*>(&address), size) == 0;
  };
  constexpr std::uint32_t errata = 1 << 1;
  const bool signals = (::syscall(SYS_landlock_create_ruleset, nullptr, 0, errata) & 2) != 0;
  EXPECT_EQ(in_child([&] {
              std::atomic<pid_t> other = 0;
              std::thread bound([&other] {
                restrict_paths({});
                other = static_cast<pid_t>(::syscall(SYS_gettid));
                for (;;) ::pause();
              });
              while (other == 0) ::sched_yield();
              if (!connects() || !restrict_paths({})) return 1;
              if (connects() || errno != EPERM) return 2;
              if (signals && (::kill(::getppid(), 0) == 0 || errno != EPERM)) return 3;
              const bool kicked =
                  ::syscall(SYS_tgkill, ::getpid(), other.load(), 0) == 0;  // each has a domain of its own
              ::_exit(kicked ? 0 : 4);
            }),
            0);
  ::close(listener);
}

TEST_F(Since, NoTcpPortIsConnectedTo) {
  if (const std::string why = older_than(4, "6.7"); !why.empty()) GTEST_SKIP() << why;
  EXPECT_EQ(
      in_child([] {
        if (!restrict_paths({})) return 1;
        sockaddr_in nobody{};
        nobody.sin_family = AF_INET;
        nobody.sin_port = htons(1);
        nobody.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
        if (::bind(fd, reinterpret_cast<const sockaddr*>(&nobody), sizeof nobody) == 0 || errno != EACCES) return 2;
        return ::connect(fd, reinterpret_cast<const sockaddr*>(&nobody), sizeof nobody) < 0 && errno == EACCES ? 0 : 3;
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

/// A system call with these arguments, or what ended the process that made it.
int called_by(Thread kind, long number, long a = 0, long b = 0, long c = 0, long d = 0) {
  return in_child([=] {
    restrict_thread(kind);
    ::syscall(number, a, b, c, d);
    return 0;
  });
}

TEST(RestrictThread, NoneCanCutAFileOrMakeOne) {
  const auto open = [](Thread kind, long flags) {
    return called_by(kind, SYS_openat, AT_FDCWD, reinterpret_cast<long>("/no/such/file"), flags, 0600);
  };
  for (const Thread kind : kinds) {
    for (const long flags : {O_TRUNC, O_CREAT, O_TMPFILE, O_TMPFILE & ~O_DIRECTORY, O_CREAT | O_EXCL}) {
      EXPECT_EQ(open(kind, O_RDWR | flags), -SIGSYS) << flags;
    }
    const long path = reinterpret_cast<long>("/no/such/file");
    for (const long number : {SYS_creat, SYS_open, SYS_truncate, SYS_mknod, SYS_rename}) {
      EXPECT_EQ(called_by(kind, number, path, 0), -SIGSYS) << number;
    }
    for (const long number : {SYS_openat2, SYS_mknodat, SYS_renameat2, SYS_linkat}) {
      EXPECT_EQ(called_by(kind, number, AT_FDCWD, path, 0, 0), -SIGSYS) << number;
    }
    EXPECT_EQ(called_by(kind, SYS_ftruncate, -1, 0), -SIGSYS);
    for (const long mode : {0x08, 0x20, 0x09}) EXPECT_EQ(called_by(kind, SYS_fallocate, -1, mode, 0, 1), -SIGSYS);
  }
#if !__has_feature(address_sanitizer)
  EXPECT_EQ(open(Thread::main, O_RDWR | O_DIRECT | O_CLOEXEC), 0);
  EXPECT_EQ(open(Thread::vcpu, O_RDONLY), -SIGSYS);
  EXPECT_EQ(called_by(Thread::main, SYS_fallocate, -1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1), 0);
#endif
}

TEST(RestrictThread, SignalsGoToTheProcessItselfOnly) {
  const pid_t outside = ::getpid();
  for (const Thread kind : kinds) {
    EXPECT_EQ(called_by(kind, SYS_tgkill, outside, outside, 0), -SIGSYS);
    EXPECT_EQ(called_by(kind, SYS_kill, outside, 0), -SIGSYS);
  }
#if !__has_feature(address_sanitizer)
  EXPECT_EQ(in_child([] {
              restrict_thread(Thread::main);
              return ::syscall(SYS_tgkill, ::getpid(), ::getpid(), 0) == 0 ? 0 : 1;
            }),
            0);
#endif
}

}  // namespace
}  // namespace seccomp
