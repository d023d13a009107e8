#include "driver/host/spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <map>

#include "base/mutex.h"
#include "driver/core/error.h"
#include "driver/host/proc.h"

namespace host {
namespace {

using core::Error;
using core::ErrorCode;

enum class Step { descriptors, limits, identity, folder, execute };

struct Failure {
  Step step;
  int errno_value;
};

std::string describe(Step step, const SpawnConfig& config) {
  switch (step) {
    case Step::descriptors: return "cannot hand descriptors to '" + config.program + "'";
    case Step::limits: return "cannot set the resource limits of '" + config.program + "'";
    case Step::identity:
      return "cannot run '" + config.program + "' as user " + std::to_string(config.identity->uid) + " and group " +
             std::to_string(config.identity->gid);
    case Step::folder: return "cannot change to the folder '" + config.folder + "'";
    case Step::execute: break;
  }
  return "cannot execute '" + config.program + "'";
}

std::vector<char*> pointers(const std::vector<std::string>& texts, const std::string* first = nullptr) {
  std::vector<char*> pointers;
  if (first != nullptr) pointers.push_back(const_cast<char*>(first->c_str()));
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

/// A copy above the standard three, so that placing those overwrites no other.
base::UniqueFd above_standard(int fd) {
  base::UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) throw Error::system(errno, "cannot duplicate a descriptor");
  return copy;
}

/// Everything the child needs, made before it exists: a child of a process with threads may allocate nothing.
struct Plan {
  const SpawnConfig& config;
  std::vector<char*> argv, envp;
  base::UniqueFd input, output, report, go;
  pid_t parent;
};

/// What an administrator gave the daemon, and not what it starts: its place when memory is short, its priorities,
/// processors and nodes, its keys, and capabilities that a change of user would leave. Where it may not be changed, it
/// stays.
void become_ordinary() {
  const int score = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score >= 0) static_cast<void>(!::write(score, "0", 1));
  const sched_param none{};
  ::sched_setscheduler(0, SCHED_OTHER, &none);
  ::setpriority(PRIO_PROCESS, 0, 0);
  ::syscall(SYS_ioprio_set, 1, 0, 0);  // IOPRIO_WHO_PROCESS
  std::array<unsigned long, 128> all_cpus;
  all_cpus.fill(~0ul);
  ::syscall(SYS_sched_setaffinity, 0, sizeof all_cpus, all_cpus.data());
  ::syscall(SYS_set_mempolicy, 0, nullptr, 0);  // MPOL_DEFAULT
  ::syscall(SYS_keyctl, 1, nullptr);            // KEYCTL_JOIN_SESSION_KEYRING, a new one
  ::prctl(PR_SET_SECUREBITS, 0);
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

/// Runs in the child, by system calls only. Identities change by the bare calls: libc's would wait for the threads that
/// are in the parent alone.
[[noreturn]] void run_child(const Plan& plan) {
  const SpawnConfig& config = plan.config;
  const auto fail = [&](Step step) {
    const Failure failure{step, errno};
    static_cast<void>(!::write(plan.report.get(), &failure, sizeof failure));
    ::_exit(127);
  };

  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  char told = 0;
  if (::getppid() != plan.parent || ::read(plan.go.get(), &told, 1) != 1) ::_exit(127);
  ::prctl(PR_SET_PDEATHSIG, 0);
  ::setsid();
  ::umask(config.umask);
  become_ordinary();
  // The C library keeps two signals from its callers, which a parent may have ignored all the same: ask the kernel.
  constexpr std::array<std::uint64_t, 4> standard{};  // the kernel's struct sigaction, all zero: SIG_DFL
  for (int number = 1; number < NSIG; ++number) ::syscall(SYS_rt_sigaction, number, &standard, nullptr, 8);
  for (const int group : config.cgroup) static_cast<void>(!::write(group, "0", 1));  // accounting alone: may fail

  if (::dup2(plan.input.get(), 0) < 0 || ::dup2(plan.output.get(), 1) < 0 || ::dup2(plan.output.get(), 2) < 0 ||
      ::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
    fail(Step::descriptors);
  for (const int fd : config.keep)
    if (::fcntl(fd, F_SETFD, 0) < 0) fail(Step::descriptors);

  for (const auto& [resource, limit] : config.limits) {
    const rlimit both{limit, limit};
    if (::setrlimit(static_cast<__rlimit_resource>(resource), &both) < 0) fail(Step::limits);
  }
  if (config.identity) {
    const Identity& who = *config.identity;
    if (::syscall(SYS_setgroups, who.groups.size(), who.groups.data()) < 0 ||
        ::syscall(SYS_setresgid, who.gid, who.gid, who.gid) < 0 ||
        ::syscall(SYS_setresuid, who.uid, who.uid, who.uid) < 0)
      fail(Step::identity);
  }
  if (::chdir(config.folder.c_str()) < 0) fail(Step::folder);
  if (config.ends_with_parent) ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a change of identity would take it back

  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(config.program.c_str(), plan.argv.data(), plan.envp.data());
  fail(Step::execute);
  ::_exit(127);
}

template <class Id, class Entry, class Lookup>
Id resolve(const std::string& text, const char* what, Lookup lookup, Id Entry::* id) {
  const bool number_only = text.starts_with('+');
  if (!number_only) {
    Entry entry{};
    Entry* found = nullptr;
    std::vector<char> buffer(16384);
    if (lookup(text.c_str(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) return entry.*id;
  }
  Id value = 0;
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data() + (number_only ? 1 : 0), end, value);
  // The highest number is what the system calls read as "leave it".
  if (result.ec != std::errc{} || result.ptr != end || value == static_cast<Id>(-1))
    throw Error(ErrorCode::invalid_arg, std::string("Failed to parse ") + what + " '" + text + "'");
  return value;
}

bool is_program(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

std::optional<std::string> search_path(const std::string& name) {
  const char* variable = std::getenv("PATH");
  std::string_view folders = variable != nullptr ? variable : "/usr/local/bin:/usr/bin:/bin";
  while (!name.empty() && !folders.empty()) {
    const std::string_view folder = folders.substr(0, folders.find(':'));
    folders.remove_prefix(std::min(folder.size() + 1, folders.size()));
    std::string path = std::string(folder) + "/" + name;
    if (folder.starts_with('/') && is_program(path)) return path;
  }
  return std::nullopt;
}

}  // namespace

Child spawn(const SpawnConfig& config) {
  for (const int fd : config.keep)
    if (fd < 3) throw Error(ErrorCode::internal_error, "descriptor " + std::to_string(fd) + " cannot be handed over");
  const base::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) throw Error::system(errno, "cannot open '/dev/null'");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) throw Error::system(errno, "cannot make a pipe");
  const base::UniqueFd report(ends[0]);
  base::UniqueFd report_end(ends[1]);
  if (::pipe2(ends, O_CLOEXEC) < 0) throw Error::system(errno, "cannot make a pipe");
  base::UniqueFd go(ends[0]);
  const base::UniqueFd tell(ends[1]);
  Plan plan{config,
            pointers(config.arguments, &config.program),
            pointers(config.environment),
            above_standard(null.get()),
            above_standard(config.output < 0 ? null.get() : config.output),
            above_standard(report_end.get()),
            std::move(go),
            ::getpid()};
  report_end.reset();

  // No handler of ours may run in the child.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  int pidfd = -1;
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, nullptr, &pidfd, nullptr, nullptr));
  if (pid == 0) run_child(plan);
  const int why = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) throw Error::system(why, "cannot fork child process");
  Child child{pid, base::UniqueFd(pidfd)};
  plan.report.reset();
  try {
    if (config.before) config.before(pid);
  } catch (...) {
    ::kill(pid, SIGKILL);
    reap(child);
    throw;
  }
  static_cast<void>(!::write(tell.get(), "g", 1));

  Failure failure{};
  const ssize_t n = TEMP_FAILURE_RETRY(::read(report.get(), &failure, sizeof failure));
  if (n == 0) return child;  // closed by the exec
  reap(child);
  throw Error::system(failure.errno_value, describe(failure.step, config));
}

bool ended(const Child& child) {
  pollfd process{child.pidfd.get(), POLLIN, 0};
  return ::poll(&process, 1, 0) != 0;
}

std::optional<int> reap(const Child& child) {
  int status = 0;
  if (TEMP_FAILURE_RETRY(::waitpid(child.pid, &status, 0)) < 0) return std::nullopt;
  return status;
}

std::optional<std::string> find_program(const std::string& name) {
  if (name.find('/') != name.npos) return is_program(name) ? std::optional(name) : std::nullopt;
  // Each definition without an emulator asks; one found before is looked for again only once it is gone.
  static base::Mutex mutex;
  static std::map<std::string, std::string> found GUARDED_BY(mutex);
  const base::Lock lock(mutex);
  if (const auto before = found.find(name); before != found.end() && is_program(before->second)) return before->second;
  found.erase(name);
  auto path = search_path(name);
  if (path) found[name] = *path;
  return path;
}

uid_t user_id(const std::string& text) {
  return resolve<uid_t, passwd>(text, "user", ::getpwnam_r, &passwd::pw_uid);
}

gid_t group_id(const std::string& text) {
  return resolve<gid_t, group>(text, "group", ::getgrnam_r, &group::gr_gid);
}

Identity identity_of(uid_t uid, gid_t gid, const std::vector<gid_t>& extra) {
  Identity identity{uid, gid, {gid}};
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16384);
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
    int count = 65536;  // the kernel's NGROUPS_MAX
    identity.groups.resize(static_cast<std::size_t>(count));
    if (::getgrouplist(entry.pw_name, gid, identity.groups.data(), &count) < 0) count = 65536;
    identity.groups.resize(static_cast<std::size_t>(count));
  }
  for (const gid_t group : extra)
    if (std::find(identity.groups.begin(), identity.groups.end(), group) == identity.groups.end())
      identity.groups.push_back(group);
  return identity;
}

std::optional<Identity> identity_of_process(pid_t pid) {
  const auto status = proc::text("/proc/" + std::to_string(pid) + "/status");
  if (!status) return std::nullopt;
  // Real, effective, saved and of the file system.
  const auto effective = [&](std::string_view key) -> std::optional<std::uint64_t> {
    const auto all = proc::words(proc::field(*status, key).value_or(""));
    return all.size() < 2 ? std::nullopt : proc::number(all[1]);
  };
  const auto uid = effective("Uid"), gid = effective("Gid");
  if (!uid || !gid) return std::nullopt;
  Identity identity{static_cast<uid_t>(*uid), static_cast<gid_t>(*gid), {}};
  for (const std::string_view group : proc::words(proc::field(*status, "Groups").value_or("")))
    identity.groups.push_back(static_cast<gid_t>(proc::number(group).value_or(identity.gid)));
  return identity;
}

}  // namespace host
