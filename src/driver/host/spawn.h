#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

namespace host {

/// Who a program runs as. Supplementary groups are those written and no others.
struct Identity {
  uid_t uid;
  gid_t gid;
  std::vector<gid_t> groups;
};

struct SpawnConfig {
  std::string program;                   ///< a path
  std::vector<std::string> arguments;    ///< without the program's name, which is put first
  std::vector<std::string> environment;  ///< "NAME=value"; nothing is inherited
  int output = -1;                       ///< becomes standard output and error; -1: /dev/null
  std::vector<int> keep;                 ///< descriptors that it gets, under the same numbers; all others are closed
  std::optional<Identity> identity;      ///< absent: the caller's
  std::vector<int> cgroup;               ///< Cgroup::join_fds()
  std::vector<std::pair<int, rlim_t>> limits;  ///< RLIMIT_MEMLOCK and such -> soft and hard limit
  mode_t umask = 0077;
  bool ends_with_parent = false;  ///< it is killed when the thread that started it is gone
  std::string folder = "/";       ///< its working directory
  /// Called with the child's number while that waits to become the program: a caller that dies before it returns, or an
  /// exception out of it, is the child's end.
  std::function<void(pid_t)> before;
};

struct Child {
  pid_t pid = -1;
  base::UniqueFd pidfd;  ///< readable once it ended; close-on-exec
};

/// Starts a program in a session of its own, with standard input from /dev/null, no signal blocked, ignored or handled,
/// and as far as this process may with an ordinary process' OOM score, priorities, processors, keyring and
/// capabilities. Returns once the program itself runs. Throws Error: SYSTEM_ERROR with the step that failed in the
/// child ("cannot execute
/// '/usr/bin/x': Permission denied"); then no process is left. Safe with threads: the child makes system calls only.
Child spawn(const SpawnConfig& config);

/// How a child ended, as waitpid() tells it; blocks until then. Nothing when the process is not our child (an earlier
/// daemon's).
std::optional<int> reap(const Child& child);

/// Whether a process has ended.
bool ended(const Child& child);

/// The path of a program: `name` itself when it has a slash, else the first on PATH; nothing when none is executable.
std::optional<std::string> find_program(const std::string& name);

/// The user and group a daemon's configuration names: a name, or a number, or "+number". Throws Error: INVALID_ARG.
uid_t user_id(const std::string& text);
gid_t group_id(const std::string& text);
/// All groups of a user, the primary one too; `extra` added when not among them.
Identity identity_of(uid_t uid, gid_t gid, const std::vector<gid_t>& extra = {});
/// Who a process runs as; nothing where it is gone.
std::optional<Identity> identity_of_process(pid_t pid);

}  // namespace host
