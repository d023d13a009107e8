#include "driver/instance/probe.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <map>
#include <mutex>

#include "base/unique_fd.h"
#include "driver/core/error.h"
#include "driver/host/spawn.h"

namespace instance {
namespace {

using core::Error;
using core::ErrorCode;

constexpr std::size_t output_limit = 65536;

/// What it prints until it ends, closes its output, or has had its time. What it started besides is not waited for.
std::string run_version(const std::string& program, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
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
  std::string printed;
  for (bool ended = false; !ended && printed.size() < output_limit;) {
    pollfd ready[] = {{out.get(), POLLIN, 0}, {child.pidfd.get(), POLLIN, 0}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    if (poll(ready, 2, static_cast<int>(left.count())) < 0 && errno != EINTR) break;
    ended = ready[1].revents != 0;
    char bytes[4096];
    while (printed.size() < output_limit && poll(ready, 1, 0) > 0) {
      const ssize_t got = read(out.get(), bytes, sizeof bytes);
      if (got <= 0) ended = true;
      if (got <= 0) break;
      printed.append(bytes, static_cast<std::size_t>(got));
    }
  }
  syscall(SYS_pidfd_send_signal, child.pidfd.get(), SIGKILL, nullptr, 0);
  host::reap(child);
  return printed;
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

emulator::Capabilities probe(const std::string& program, std::chrono::milliseconds limit) {
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
  emulator::Capabilities capabilities = emulator::read_version(run_version(program, limit));
  const std::lock_guard lock(mutex);
  known[program] = {now.st_mtim, now.st_size, capabilities};
  return capabilities;
}

core::Task<emulator::Capabilities> with_commands(std::shared_ptr<Monitor> monitor,
                                                 emulator::Capabilities capabilities) {
  constexpr const char* query = "query-commands";
  if (capabilities.kind == emulator::Kind::stratovirt)
    emulator::read_probe(capabilities, query, co_await monitor->execute({query, nullptr}));
  co_return capabilities;
}

}  // namespace instance
