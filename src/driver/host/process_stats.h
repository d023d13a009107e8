#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// A running process as /proc shows it. Nothing (or empty) when it is gone: a process may end at any time.
namespace host {

struct ThreadStatistics {
  pid_t tid;
  std::string name;
  char state;                        ///< 'R', 'S', 'D', 'Z' …
  std::uint64_t user_ns, system_ns;  ///< by the kernel's clock tick
  std::uint64_t run_ns, wait_ns;     ///< by the scheduler: exact; on a processor, and waiting for one
  unsigned cpu;                      ///< the processor it ran on last
};

struct ProcessStatistics {
  std::uint64_t user_ns, system_ns;  ///< of all its threads, those that ended too
  std::uint64_t resident_kib, virtual_kib;
  std::uint64_t start_ticks;  ///< since boot; with the pid it names a process for good, since a pid is used again
  char state;
};

std::optional<ProcessStatistics> process_statistics(pid_t pid, const std::string& root = {});
std::optional<ThreadStatistics> thread_statistics(pid_t pid, pid_t tid, const std::string& root = {});
/// Its threads' numbers, ascending.
std::vector<pid_t> threads(pid_t pid, const std::string& root = {});

/// Bytes to and from storage (/proc/PID/io).
struct ProcessIo {
  std::uint64_t read_bytes, write_bytes, read_calls, write_calls;
};
std::optional<ProcessIo> process_io(pid_t pid, const std::string& root = {});

/// The processors a thread may run on, ascending. Throws Error: SYSTEM_ERROR.
std::vector<unsigned> affinity(pid_t tid);
/// Throws Error: INVALID_ARG when no processor is named or one beyond 4095; SYSTEM_ERROR.
void set_affinity(pid_t tid, const std::vector<unsigned>& cpus);

}  // namespace host
