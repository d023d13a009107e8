#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "vmm/cmdline/machine_config.h"
#include "vmm/control.h"
#include "vmm/hypervisor/kvm/vm.h"
#include "vmm/hypervisor/qtest/qtest.h"
#include "vmm/monitor/server.h"
#include "vmm/pid_file.h"
#include "vmm/seccomp/sandbox.h"

namespace {

constexpr char usage[] =
    "usage: stratovirt [options]\n"
    "A virtual machine monitor for Linux guests on KVM. The options are StratoVirt's; docs/vmm.md has them all.\n"
    "  -machine q35[,accel=kvm]  -smp N  -m SIZE  -kernel FILE  -initrd FILE  -append TEXT  -serial stdio\n"
    "  -drive id=D,file=IMAGE,format=raw,if=none  -device virtio-blk-pci,id=N,drive=D,bus=pcie.0,addr=0x2\n"
    "  -qmp unix:PATH,server,nowait  -S  -daemonize  -pidfile FILE  -D FILE  -V  -h\n";

/// The process in the background. Whoever started the program waits until the machine is there or cannot be had, and
/// reads its errors till then.
class Background {
 public:
  /// To be called before there are threads.
  Background() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) < 0) base::throw_errno(errno, "pipe2");
    const base::UniqueFd waiting(ends[0]);
    told_.reset(ends[1]);
    const pid_t child = ::fork();
    if (child < 0) base::throw_errno(errno, "fork");
    if (child > 0) {
      told_.reset();
      char byte = 0;
      ::_exit(::read(waiting.get(), &byte, 1) == 1 ? 0 : 1);
    }
    ::setsid();
  }
  void ready() {
    const base::UniqueFd nothing = base::open_file("/dev/null", O_RDWR);
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
      if (fd != STDERR_FILENO || !keep_errors) ::dup2(nothing.get(), fd);
    }
    [[maybe_unused]] const auto wrote = ::write(told_.get(), "", 1);
    told_.reset();
  }
  bool keep_errors = false;  ///< they go to a log

 private:
  base::UniqueFd told_;
};

std::unique_ptr<hypervisor::Hypervisor> make_hypervisor(cmdline::Accel accel, cmdline::MachineType machine) {
  // Who is only asked what it could do runs nothing, and answers on a host without KVM too.
  if (machine == cmdline::MachineType::none) return std::make_unique<qtest::Qtest>(qtest::Protocol::qtest);
  switch (accel) {
    case cmdline::Accel::kvm: return std::make_unique<kvm::Vm>();
    case cmdline::Accel::qtest: return std::make_unique<qtest::Qtest>(qtest::Protocol::qtest);
    case cmdline::Accel::mod_test: return std::make_unique<qtest::Qtest>(qtest::Protocol::mod_test);
  }
  return nullptr;
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

/// What the main thread may open once the guest runs: what it was started with, since a part that was taken out can be
/// put in again. All else that comes later comes as a descriptor (QMP's getfd).
seccomp::Paths paths_of(const cmdline::Config& config) {
  seccomp::Paths paths{.readable = {"/dev/random", "/dev/urandom"}, .writable = {}, .removable = {}, .devices = {}};
  for (const cmdline::RngBackend& one : config.rngs) paths.readable.push_back(one.file);
  for (const cmdline::Drive& one : config.drives) {
    if (one.fd >= 0) continue;
    (one.read_only ? paths.readable : paths.writable).push_back(one.file);
    paths.devices.push_back(one.file);
  }
  // It takes away at its end what it has made.
  for (const cmdline::Chardev& one : config.chardevs) {
    if (one.server && !one.path.empty()) paths.removable.push_back(folder_of(one.path));
  }
  if (!config.pid_file.empty()) paths.removable.push_back(folder_of(config.pid_file));
  return paths;
}

/// The signals by which whoever runs this program asks it to end.
sigset_t signals_to_end() {
  sigset_t all;
  ::sigemptyset(&all);
  for (const int one : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&all, one);
  return all;
}

/// What a thread of that kind does before it serves. Only the main thread opens files.
std::function<void()> begin_thread(const cmdline::Config& config, seccomp::Thread kind) {
  const bool is_main = kind == seccomp::Thread::main;
  return [kind, is_main, sandboxed = config.seccomp, paths = is_main ? paths_of(config) : seccomp::Paths()] {
    const sigset_t main_threads = signals_to_end();
    ::pthread_sigmask(SIG_BLOCK, &main_threads, nullptr);
    if (!sandboxed) return;
    if (!seccomp::restrict_paths(paths) && is_main) {
      std::fputs("stratovirt: the kernel has no landlock: files are guarded by their owners and modes only\n", stderr);
    }
    seccomp::restrict_thread(kind);
  };
}

/// The machine and who speaks for it. They go with the loop's lock held, whether what they serve ends or throws.
struct Served {
  loop::Clock clock;
  loop::Loop loop{clock};
  std::optional<machine::Machine> machine{};
  std::optional<Control> control{};
  std::optional<monitor::Server> monitors{};
  base::UniqueFd asked_to_end{};
  loop::Watch asked_watch{};

  explicit Served(loop::Clock::Kind kind) : clock(kind) {}
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;
  ~Served() {
    const base::Lock lock(loop.mutex());
    asked_watch.end();
    monitors.reset();
    machine.reset();
  }
};

/// Until the machine is over. `background` is told once everything stands, and the pid file is written.
void serve(const cmdline::Config& config, std::optional<Background>& background, std::optional<PidFile>& pid_file) {
  const bool simulated = config.accel != cmdline::Accel::kvm;
  auto hypervisor = std::async(std::launch::async, make_hypervisor, config.accel, config.machine);
  Served served(simulated ? loop::Clock::Kind::simulated : loop::Clock::Kind::real);
  auto& [clock, loop, machine, control, monitors, asked_to_end, asked_watch] = served;
  {
    const base::Lock lock(loop.mutex());
    machine.emplace(
        config, clock, loop, std::move(hypervisor),
        [&served](const machine::Event& event) {
          if (served.monitors) served.monitors->tell(to_monitor(event));
        },
        begin_thread(config, seccomp::Thread::iothread));
    control.emplace(*machine);
    monitors.emplace(*control);
    for (const std::string& id : config.monitors) monitors->add(*machine->backends().chardevs.at(id));
    machine->start_threads(begin_thread(config, seccomp::Thread::vcpu));
    if (simulated) {
      auto& driven = dynamic_cast<qtest::Qtest&>(machine->hypervisor());
      driven.connect(config.test_socket,
                     {loop, machine->board().memory_bus(), machine->board().ports(), machine->board().memory()},
                     [&loop] { loop.stop(); });
    }
    const sigset_t signals = signals_to_end();
    asked_to_end.reset(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!asked_to_end) base::throw_errno(errno, "signalfd");
    asked_watch = loop.watch(asked_to_end.get(), EPOLLIN, [&served](std::uint32_t) {
      signalfd_siginfo info;
      while (::read(served.asked_to_end.get(), &info, sizeof info) > 0) served.machine->quit("host-signal");
    });
    if (pid_file) pid_file->write();
    if (!config.start_paused) machine->resume();
  }
  if (background) background->ready();
  begin_thread(config, seccomp::Thread::main)();
  loop.run();
}

int run(const cmdline::Config& config) {
  std::optional<Background> background;
  if (config.daemonize) background.emplace();
  if (!config.log_file.empty()) {
    const base::UniqueFd log = base::open_file(config.log_file, O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(log.get(), STDERR_FILENO);
    if (background) background->keep_errors = true;
  }
  std::optional<PidFile> pid_file;
  if (!config.pid_file.empty()) pid_file.emplace(config.pid_file);
  serve(config, background, pid_file);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // One heap for all threads: less memory, and nothing to look up when another would be made.
  ::mallopt(M_ARENA_MAX, 1);
  // A host that uses huge pages wherever it can would give one to each stack that has room for it.
  constexpr std::size_t stack_size = 1 << 20;
  pthread_attr_t of_threads;
  ::pthread_attr_init(&of_threads);
  ::pthread_attr_setstacksize(&of_threads, stack_size);
  ::pthread_setattr_default_np(&of_threads);
  std::signal(SIGPIPE, SIG_IGN);
  // Each queue of a disk takes two descriptors.
  if (rlimit files{}; ::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  ::umask(0077);
  try {
    const auto parsed = cmdline::parse(std::vector<std::string>(argv + 1, argv + argc));
    if (std::holds_alternative<cmdline::ShowHelp>(parsed)) {
      std::fputs(usage, stdout);
    } else if (std::holds_alternative<cmdline::ShowVersion>(parsed)) {
      std::puts("StratoVirt " STRATOVIRT_VERSION " (C++)");
    } else {
      const auto& config = std::get<cmdline::Config>(parsed);
      cmdline::validate(config);
      return run(config);
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "stratovirt: %s\n", error.what());
    return 1;
  }
}
