#include "driver/host/find_process.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "driver/core/error.h"
#include "driver/host/proc.h"

namespace host {
namespace {

using core::Error;

constexpr std::size_t most_bytes = 4 << 20;

bool is_gone(int error) {
  return error == ENOENT || error == ESRCH;
}

/// A file of /proc/PID; nothing when the process is gone. Throws Error: SYSTEM_ERROR.
std::optional<std::string> read(pid_t pid, const char* file) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + file;
  try {
    return base::read_file(path, most_bytes);
  } catch (const std::system_error& error) {
    if (is_gone(error.code().value())) return std::nullopt;
    throw Error::system(error.code().value(), "cannot read '" + path + "'");
  }
}

/// The beginning of what a process was started with; nothing of one that is gone, or that is kept from this process.
/// Throws Error: SYSTEM_ERROR.
std::optional<std::string> arguments_of(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/cmdline";
  const base::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char bytes[16384];
  ssize_t got = fd ? 1 : -1;
  while (got > 0 && text.size() < most_bytes) {
    got = ::read(fd.get(), bytes, sizeof bytes);
    if (got > 0) text.append(bytes, static_cast<std::size_t>(got));
  }
  if (got >= 0) return text;
  if (is_gone(errno) || errno == EPERM || errno == EACCES) return std::nullopt;
  throw Error::system(errno, "cannot read '" + path + "'");
}

/// When it was started; the 22nd field of proc(5)'s stat, counted from the name's last bracket, the second.
std::optional<std::uint64_t> start_ticks(const std::string& stat) {
  const auto close = stat.rfind(')');
  if (close == std::string::npos) return std::nullopt;
  const auto words = proc::words(std::string_view(stat).substr(close + 1));
  return words.size() > 19 ? proc::number(words[19]) : std::nullopt;
}

bool has_uuid(std::string_view arguments, std::string_view uuid) {
  std::string wanted("\0-uuid\0", 7);
  wanted.append(uuid).push_back('\0');
  return arguments.find(wanted) != std::string_view::npos;
}

}  // namespace

std::optional<Child> find_process(const ProcessName& name) {
  if (name.pid <= 0) return std::nullopt;
  Child child{name.pid, base::UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, name.pid, 0)))};
  if (!child.pidfd) {
    if (errno == ESRCH || errno == EINVAL) return std::nullopt;  // EINVAL: the number of a thread
    throw Error::system(errno, "cannot open process " + std::to_string(name.pid));
  }
  // Whoever has the number now keeps it as long as the descriptor is open, dead or alive.
  if (ended(child)) return std::nullopt;
  if (name.start_ticks == 0) {
    const auto arguments = read(name.pid, "cmdline");
    if (!arguments || !has_uuid(*arguments, name.uuid)) return std::nullopt;
  } else {
    const auto stat = read(name.pid, "stat");
    if (!stat || start_ticks(*stat) != name.start_ticks) return std::nullopt;
  }
  return child;
}

std::optional<pid_t> find_emulator(const std::string& uuid) {
  std::error_code error;
  std::filesystem::directory_iterator entry("/proc", error);
  if (error) throw Error::system(error.value(), "cannot read '/proc'");
  for (; entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const auto pid = proc::number(entry->path().filename().string());
    if (!pid) continue;
    const auto arguments = arguments_of(static_cast<pid_t>(*pid));
    if (arguments && has_uuid(*arguments, uuid)) return static_cast<pid_t>(*pid);
  }
  if (error) throw Error::system(error.value(), "cannot read '/proc'");
  return std::nullopt;
}

void require_descriptors(std::size_t count) {
  std::vector<base::UniqueFd> taken(count);
  for (base::UniqueFd& fd : taken) {
    fd.reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!fd) throw Error::system(errno, "cannot open " + std::to_string(count) + " descriptors more");
  }
}

std::string working_folder(pid_t pid) {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/cwd", error);
}

}  // namespace host
