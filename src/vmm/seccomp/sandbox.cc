#include "vmm/seccomp/sandbox.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <span>

#include "base/file.h"

namespace seccomp {
namespace {

constexpr std::array main_filter = std::to_array<sock_filter>({
#include "main.filter"
});
constexpr std::array vcpu_filter = std::to_array<sock_filter>({
#include "vcpu.filter"
});
constexpr std::array iothread_filter = std::to_array<sock_filter>({
#include "iothread.filter"
});

std::span<const sock_filter> filter_of(Thread kind) {
  switch (kind) {
    case Thread::main: return main_filter;
    case Thread::vcpu: return vcpu_filter;
    case Thread::iothread: return iothread_filter;
  }
  return main_filter;
}

void give_up_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) base::throw_errno(errno, "PR_SET_NO_NEW_PRIVS");
}

}  // namespace

void restrict_thread(Thread kind) {
  give_up_privileges();
  const std::span<const sock_filter> filter = filter_of(kind);
  const sock_fprog program{static_cast<unsigned short>(filter.size()), const_cast<sock_filter*>(filter.data())};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0) {
    base::throw_errno(errno, "cannot restrict a thread's system calls");
  }
}

bool restrict_paths(const Paths& paths) {
  constexpr std::uint64_t read = LANDLOCK_ACCESS_FS_READ_FILE, write = LANDLOCK_ACCESS_FS_WRITE_FILE;
  constexpr std::uint64_t all =
      read | write | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR |
      LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
      LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
      LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;
  constexpr std::uint64_t of_files = read | write | LANDLOCK_ACCESS_FS_EXECUTE;  // no rule of a file may say more
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = all;
  const base::UniqueFd rules(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
  if (!rules) {
    if (errno == ENOSYS || errno == EOPNOTSUPP) return false;
    base::throw_errno(errno, "landlock_create_ruleset");
  }
  const auto allow = [&](const std::string& path, std::uint64_t access) {
    const base::UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!fd) return;
    landlock_path_beneath_attr rule{};
    rule.parent_fd = fd.get();
    struct stat status{};
    const bool folder = ::fstat(fd.get(), &status) == 0 && S_ISDIR(status.st_mode);
    rule.allowed_access = folder ? access : access & of_files;
    if (::syscall(SYS_landlock_add_rule, rules.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0) {
      base::throw_errno(errno, "landlock_add_rule");
    }
  };
  for (const std::string& path : paths.readable) allow(path, read);
  for (const std::string& path : paths.writable) allow(path, read | write);
  for (const std::string& path : paths.removable) allow(path, LANDLOCK_ACCESS_FS_REMOVE_FILE);
  give_up_privileges();
  if (::syscall(SYS_landlock_restrict_self, rules.get(), 0) < 0) base::throw_errno(errno, "landlock_restrict_self");
  return true;
}

}  // namespace seccomp
