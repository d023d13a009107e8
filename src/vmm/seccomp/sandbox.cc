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
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/file.h"

namespace seccomp {
namespace {

/// In a filter, where the process's number goes (compile/main.cc).
constexpr std::uint32_t own_pid = 0x7fff'fff1;

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

/// Of the kernel's landlock.h since 6.2, which hosts' headers may be older than.
namespace landlock {

struct Ruleset {
  std::uint64_t fs, net, scoped;
};
constexpr std::uint64_t truncate = 1 << 14, ioctl_dev = 1 << 15, bind_and_connect_tcp = 3;
constexpr std::uint64_t abstract_sockets = 1 << 0, signals = 1 << 1;
constexpr std::uint32_t errata = 1 << 1;

/// What of it a kernel has.
std::size_t size_of(long version) {
  return version >= 6 ? sizeof(Ruleset) : version >= 4 ? offsetof(Ruleset, scoped) : offsetof(Ruleset, net);
}

}  // namespace landlock

long create_ruleset(const landlock::Ruleset* attributes, std::size_t size, std::uint32_t flags) {
  return ::syscall(SYS_landlock_create_ruleset, attributes, size, flags);
}

void give_up_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) base::throw_errno(errno, "PR_SET_NO_NEW_PRIVS");
}

}  // namespace

void restrict_thread(Thread kind) {
  give_up_privileges();
  const std::span<const sock_filter> rules = filter_of(kind);
  std::vector<sock_filter> filter(rules.begin(), rules.end());
  for (sock_filter& one : filter) {
    if (one.k == own_pid) one.k = static_cast<std::uint32_t>(::getpid());
  }
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
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
  const long version = create_ruleset(nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 0) {
    if (errno == ENOSYS || errno == EOPNOTSUPP) return false;
    base::throw_errno(errno, "landlock_create_ruleset");
  }
  const std::uint64_t control = version >= 5 ? landlock::ioctl_dev : 0;
  const std::uint64_t of_files = read | write | LANDLOCK_ACCESS_FS_EXECUTE | control;  // no rule of a file may say more
  landlock::Ruleset handled{.fs = all | control | (version >= 3 ? landlock::truncate : 0),
                            .net = version >= 4 ? landlock::bind_and_connect_tcp : 0,
                            .scoped = version >= 6 ? landlock::abstract_sockets : 0};
  // Without this erratum a thread is not let kick another one of the process itself, and system calls guard it alone.
  constexpr long signals_between_threads = 1 << 1;
  const long errata = create_ruleset(nullptr, 0, landlock::errata);
  if (version >= 6 && errata > 0 && (errata & signals_between_threads)) handled.scoped |= landlock::signals;
  const base::UniqueFd rules(static_cast<int>(create_ruleset(&handled, landlock::size_of(version), 0)));
  if (!rules) base::throw_errno(errno, "landlock_create_ruleset");
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
  if (control) {
    for (const std::string& path : paths.devices) allow(path, control);
  }
  give_up_privileges();
  if (::syscall(SYS_landlock_restrict_self, rules.get(), 0) < 0) base::throw_errno(errno, "landlock_restrict_self");
  return true;
}

}  // namespace seccomp
