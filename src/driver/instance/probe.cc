#include "driver/instance/probe.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <mutex>

#include "base/file.h"
#include "driver/core/error.h"
#include "driver/host/spawn.h"

namespace instance {
namespace {

using core::Error;
using core::ErrorCode;

constexpr int probe_limit_ms = 10'000;
constexpr std::size_t output_limit = 65536;

std::string run_version(const std::string& program) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) throw Error::system(errno, "cannot make a pipe");
  const base::UniqueFd out(ends[0]);
  base::UniqueFd in(ends[1]);
  host::SpawnConfig config;
  config.program = program;
  config.arguments = {"-version"};
  config.environment = {"PATH=/usr/bin:/bin", "LC_ALL=C"};
  config.output = in.get();
  const host::Child child = host::spawn(config);
  in.reset();
  pollfd ended{child.pidfd.get(), POLLIN, 0};
  if (poll(&ended, 1, probe_limit_ms) <= 0) syscall(SYS_pidfd_send_signal, child.pidfd.get(), SIGKILL, nullptr, 0);
  host::reap(child);
  return base::read_all(out.get(), output_limit, program);
}

}  // namespace

std::string emulator_program(const domain::Domain& domain) {
  const std::string name =
      domain.emulator.empty() ? emulator::default_program(domain.type, domain.os.arch) : domain.emulator;
  if (const auto path = host::find_program(name)) return *path;
  throw Error(ErrorCode::config_unsupported,
              "emulator '" + name + "' of domain type '" + std::string(domain::to_string(domain.type)) +
                  "' is not an executable program here; install it, or name another in <emulator>");
}

emulator::Capabilities probe(const std::string& program) {
  struct Known {
    timespec changed;
    off_t size;
    emulator::Capabilities capabilities;
  };
  static std::mutex mutex;
  static std::map<std::string, Known> known;
  struct stat now{};
  if (stat(program.c_str(), &now) < 0) throw Error::system(errno, "cannot access emulator '" + program + "'");
  {
    const std::lock_guard lock(mutex);
    const auto found = known.find(program);
    if (found != known.end() && found->second.size == now.st_size &&
        found->second.changed.tv_sec == now.st_mtim.tv_sec && found->second.changed.tv_nsec == now.st_mtim.tv_nsec) {
      return found->second.capabilities;
    }
  }
  emulator::Capabilities capabilities = emulator::read_version(run_version(program));
  const std::lock_guard lock(mutex);
  known[program] = {now.st_mtim, now.st_size, capabilities};
  return capabilities;
}

}  // namespace instance
