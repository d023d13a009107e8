#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <functional>
#include <iterator>

#include "base/file.h"
#include "driver/core/error.h"
#include "driver/emulator/command.h"
#include "driver/emulator/dialect.h"
#include "driver/emulator/resources.h"
#include "driver/host/facts.h"
#include "driver/host/nvram.h"
#include "driver/host/process_stats.h"
#include "driver/host/vsock.h"
#include "driver/instance/backends.h"
#include "driver/instance/character.h"
#include "driver/instance/firmware.h"
#include "driver/instance/instance.h"
#include "driver/instance/pinning.h"
#include "driver/instance/probe.h"

namespace instance {
namespace {

using core::Error;
using core::ErrorCode;
using core::Task;
using namespace core::asio::experimental::awaitable_operators;

constexpr char monitor_name[] = "monitor.sock";
constexpr std::chrono::seconds start_limit{60};
constexpr std::chrono::seconds last_words{5};
constexpr std::size_t name_in_folder = 20;  ///< bytes of a domain's name: sockets below must fit 107 bytes
constexpr std::size_t log_tail = 4096;

/// What one start holds until the emulator has it: closed or undone where the start fails.
struct Prepared {
  std::unique_ptr<Running> running;
  emulator::Resources resources;
  std::vector<base::UniqueFd> fds;
  std::vector<host::ImageLock> locks;
  std::optional<host::Nvram> nvram;
};

/// The beginning of a UTF-8 text, of whole characters.
std::string shortened(const std::string& name, std::size_t limit) {
  if (name.size() <= limit) return name;
  while (limit > 0 && (static_cast<unsigned char>(name[limit]) & 0xc0) == 0x80) --limit;
  return name.substr(0, limit);
}

/// A listening socket at FOLDER/NAME, reached through the folder's descriptor since an address holds 107 bytes.
base::UniqueFd listen_in(const std::string& folder, const std::string& name) {
  const base::UniqueFd at = base::open_file(folder, O_PATH | O_DIRECTORY);
  base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = "/proc/self/fd/" + std::to_string(at.get()) + "/" + name;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (!fd || bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0 ||
      listen(fd.get(), 1) < 0) {
    throw Error::system(errno, "cannot make the monitor's socket in '" + folder + "'");
  }
  return fd;
}

void check_files(const domain::Domain& domain) {
  for (const domain::Disk& disk : domain.disks) require_image(disk);
  for (const std::string* path : {&domain.os.kernel, &domain.os.initrd}) {
    if (!path->empty()) host::require_file(*path, host::FileKind::regular);
  }
  if (domain.os.loader) host::require_file(domain.os.loader->path, host::FileKind::regular);
  for (const domain::Rng& rng : domain.rngs) host::require_file(rng.backend, host::FileKind::character);
}

std::vector<std::string> owned_files(const domain::Domain& domain) {
  std::vector<std::string> paths;
  paths.reserve(domain.disks.size() + 4);
  for (const domain::Disk& disk : domain.disks) paths.push_back(disk.source);
  if (!domain.os.kernel.empty()) paths.push_back(domain.os.kernel);
  if (!domain.os.initrd.empty()) paths.push_back(domain.os.initrd);
  if (domain.os.nvram) paths.push_back(domain.os.nvram->path);
  return paths;
}

std::vector<std::string> hand_over(std::vector<base::UniqueFd> from, std::vector<base::UniqueFd>& to) {
  std::vector<std::string> numbers;
  for (base::UniqueFd& fd : from) {
    numbers.push_back(std::to_string(fd.get()));
    to.push_back(std::move(fd));
  }
  return numbers;
}

void prepare_interface(domain::Interface& interface, bool kvm, Prepared& out) {
  TapFds fds = open_tap(interface, kvm);
  emulator::Tap& given = out.resources.taps[interface.info.alias];
  given.fds = hand_over(std::move(fds.queues), out.fds);
  given.vhost_fds = hand_over(std::move(fds.vhost), out.fds);
}

/// Emulators run as root where that is written, and not because nobody else is there.
void require_user(const Settings& settings) {
  if (!settings.root_unasked) return;
  throw Error(
      ErrorCode::config_unsupported,
      "the host has no user 'libvirt-qemu' or 'qemu' to run emulators as: have systemd-sysusers make one and "
      "the daemon read its configuration again, or write user = \"root\" in stratovirt.conf to run them as root");
}

/// The program that is to run it, which KVM is there for. Blocks: for the pool.
std::string choose_program(const domain::Domain& domain) {
  std::string program = emulator_program(domain);
  if (domain.type == domain::Type::kvm) {
    if (const auto kvm = host::kvm(); !kvm.available) {
      throw Error(ErrorCode::config_unsupported,
                  "domain type 'kvm' cannot run here: " + kvm.reason + "; type='qemu' runs in software");
    }
  }
  return program;
}

/// Everything the host must give, in the order of cost: checks first. Blocks: for the pool.
Prepared prepare(const core::Layout& layout, const Settings& settings, domain::Domain domain, int id,
                 std::unique_ptr<Running> running, const std::string& program) {
  Prepared out;
  out.running = std::move(running);
  const bool stratovirt = out.running->capabilities.kind == emulator::Kind::stratovirt;
  check_files(domain);
  domain::assign_aliases(domain);
  const auto uid = settings.identity.uid;
  const auto gid = settings.identity.gid;
  const std::string short_name = "domain-" + std::to_string(id) + "-" + shortened(domain.name, name_in_folder);

  std::vector<std::string> backing;
  for (const domain::Disk& disk : domain.disks) {
    const std::vector<std::string> files = backing_files(disk);
    std::vector<host::ImageLock> locks = lock_images(disk, files);
    if (stratovirt) std::ranges::move(locks, std::back_inserter(out.locks));  // a QEMU locks by itself
    backing.insert(backing.end(), files.begin(), files.end());
  }
  const std::string folder = layout.state + "/" + short_name;
  std::filesystem::remove_all(folder);
  base::make_folders(folder, 0700);
  out.running->folder = Folder(folder);
  if (!layout.session && chown(folder.c_str(), uid, gid) < 0)
    throw Error::system(errno, "cannot give '" + folder + "'");

  out.resources.program = program;
  out.resources.monitor_path = folder + "/" + monitor_name;
  out.resources.home = folder;
  out.resources.seccomp_sandbox = settings.seccomp_sandbox;
  if (!stratovirt) {
    base::UniqueFd listening = listen_in(folder, monitor_name);
    out.resources.monitor_fd = listening.get();
    out.fds.push_back(std::move(listening));
  } else if (out.resources.monitor_path.size() > 107) {
    out.resources.monitor_path = monitor_name;  // relative to the emulator's working directory, the folder
  }
  if (domain.memory_backing.hugepages) {
    out.running->hugepages = host::HugepageFolder::make(domain.memory_backing.hugepage_size, short_name, uid, gid);
    out.resources.memory_dir = out.running->hugepages->path();
  } else if (domain.memory_backing.source == "file") {
    out.resources.memory_dir = folder;
  }
  for (domain::Interface& interface : domain.interfaces)
    prepare_interface(interface, domain.type == domain::Type::kvm, out);
  if (domain.vsock) {
    host::Vsock vsock = host::open_vsock(domain.vsock->auto_cid.value_or(false) ? std::nullopt : domain.vsock->cid);
    domain.vsock->cid = vsock.cid;
    out.resources.vsock_fd = vsock.fd.get();
    out.fds.push_back(std::move(vsock.fd));
  }
  const auto place_socket = [&](domain::CharacterSource& source, const std::string& alias) {
    if (source.type == domain::CharacterSource::Type::unix_socket && source.path.empty())
      source.path = folder + "/" + alias + ".sock";
  };
  for (auto& console : domain.consoles) place_socket(console.source, console.info.alias);
  for (auto& serial : domain.serials) place_socket(serial.source, serial.info.alias);
  out.running->sockets = CharacterSockets(domain);
  // The original takes no listening socket and makes its own, where its user may.
  if (!stratovirt || out.running->capabilities.is_own()) {
    for (auto& [alias, fd] : listen_for_characters(domain, uid, gid)) {
      out.resources.character_fds[alias] = fd.get();
      out.fds.push_back(std::move(fd));
    }
  }
  if (domain.os.nvram && domain.os.loader) {
    domain::Nvram& store = *domain.os.nvram;
    if (store.path.empty()) store.path = nvram_path(domain, layout);
    if (store.template_path.empty()) store.template_path = nvram_template(domain.os.loader->path, layout, settings);
    out.nvram.emplace(host::Nvram::prepare(store.path, store.template_path, domain.os.loader->path, uid, gid));
  }
  std::vector<std::string> files = make_character_files(domain);
  for (std::string& path : owned_files(domain)) files.push_back(std::move(path));
  if (settings.dynamic_ownership) {
    out.running->ownership = host::Ownership::record(files, uid, gid);
    out.running->ownership.record_readable(backing);
  } else {
    out.running->ownership = host::Ownership::adopt({}, uid, gid);  // to which disks may be added
  }
  out.running->cgroup = host::Cgroup::make(short_name);
  if (domain.cputune.shares) out.running->cgroup.set_shares(*domain.cputune.shares);
  out.running->id = id;
  out.running->identity = settings.identity;
  out.running->live = std::move(domain);
  return out;
}

std::string log_path(const core::Layout& layout, const Instance& instance) {
  constexpr std::size_t longest = 250;
  const std::string& name = instance.name();
  return layout.log + "/" + (name.size() <= longest ? name : core::to_string(instance.uuid())) + ".log";
}

struct Log {
  base::UniqueFd fd;
  off_t begin;  ///< where this start's output begins
  /// The end of what the emulator itself printed.
  std::string printed() const {
    struct stat now{};
    fstat(fd.get(), &now);
    const off_t from = std::max(begin, now.st_size - static_cast<off_t>(log_tail));
    std::string text(static_cast<std::size_t>(now.st_size - from), '\0');
    const ssize_t got = pread(fd.get(), text.data(), text.size(), from);
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }
};

Log open_log(const std::string& path, const emulator::Command& command) {
  Log log{base::open_file(path, O_RDWR | O_CREAT | O_APPEND, 0600), 0};
  char stamp[32];
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &utc);
  base::write_all(log.fd.get(), std::string(stamp) + ".000+0000: starting up\n" + emulator::to_shell(command) + "\n",
                  path);
  log.begin = lseek(log.fd.get(), 0, SEEK_END);
  return log;
}

host::Child spawn_emulator(const Prepared& prepared, const emulator::Command& command, int log,
                           const Settings& settings, bool session, std::function<void(pid_t)> before) {
  host::SpawnConfig config;
  config.program = command.program;
  config.arguments = command.arguments;
  config.environment = command.environment;
  config.output = log;
  for (const base::UniqueFd& fd : prepared.fds) config.keep.push_back(fd.get());
  for (const host::ImageLock& lock : prepared.locks) config.keep.push_back(lock.fd());
  if (!session) config.identity = settings.identity;
  const auto groups = prepared.running->cgroup.join_fds();
  for (const base::UniqueFd& fd : groups) config.cgroup.push_back(fd.get());
  config.folder = prepared.running->folder.path();
  config.limits = {{RLIMIT_CORE, 0}};  // it would be the guest's memory
  config.before = std::move(before);
  return host::spawn(config);
}

/// Where the emulator put its ptys.
void place_ptys(domain::Domain& live, const std::vector<emulator::Chardev>& chardevs) {
  const auto place = [&](domain::CharacterSource& source, const domain::DeviceInfo& info) {
    if (source.type != domain::CharacterSource::Type::pty) return;
    for (const emulator::Chardev& chardev : chardevs) {
      if (chardev.label == emulator::chardev_id(info)) source.path = chardev.pty_path;
    }
  };
  for (auto& serial : live.serials) place(serial.source, serial.info);
  for (auto& console : live.consoles) {
    if (console.target == domain::Console::Target::serial && !live.serials.empty()) {
      console.source.path = live.serials.front().source.path;
    } else {
      place(console.source, console.info);
    }
  }
}

}  // namespace

Task<void> Instance::start(domain::Domain description, int id, bool paused) {
  if (running_) throw Error(ErrorCode::operation_invalid, "domain is already running");
  const auto self = shared_from_this();
  set_unknown(false);
  try {
    co_await launch(std::move(description), id, paused);
  } catch (...) {
    apply(Trigger::exit_failed);
    throw;
  }
}

/// Chooses the firmware of a domain that asks for a choice. `description` outlives it.
Task<void> Instance::settle_firmware(domain::Domain* description, emulator::Kind kind) {
  if (kind == emulator::Kind::stratovirt)
    throw Error(ErrorCode::config_unsupported, "os firmware='" + description->os.firmware->kind +
                                                   "' is not supported for a StratoVirt: name its image in <loader>");
  std::vector<std::string> problems;
  const auto all = co_await environment_.loop.blocking([&] {
    return read_firmwares(firmware_folders(environment_.layout),
                          [&](const std::string& problem) { problems.push_back(problem); });
  });
  for (const std::string& problem : problems) environment_.problem(problem);
  emulator::use_firmware(*description, emulator::choose_firmware(all, *description, description->os.machine));
}

Task<void> Instance::launch(domain::Domain description, int id, bool paused) {
  auto fresh = std::make_unique<Running>(environment_.loop.context());
  const Settings settings = environment_.settings;  // which a reload may change meanwhile
  require_user(settings);
  const std::string program = co_await environment_.loop.blocking([&] { return choose_program(description); });
  fresh->capabilities = co_await environment_.prober.ask(program);
  emulator::require_runs(fresh->capabilities, description, program);
  // What runs is called by the version that runs. A StratoVirt's machine has none.
  if (fresh->capabilities.kind == emulator::Kind::qemu)
    description.os.machine = fresh->capabilities.canonical(description.os.machine);
  if (description.os.firmware) co_await settle_firmware(&description, fresh->capabilities.kind);
  Prepared prepared = co_await environment_.loop.blocking(
      [&] { return prepare(environment_.layout, settings, std::move(description), id, std::move(fresh), program); });
  const emulator::Command command =
      emulator::command_line(prepared.running->live, prepared.resources, prepared.running->capabilities);
  const Log log = open_log(log_path(environment_.layout, *this), command);
  Running& begun = *prepared.running;
  save(begun, status_);  // from here on a later daemon gives back what was taken
  try {
    begun.process = co_await environment_.loop.blocking([&] {
      begun.ownership.give();
      return spawn_emulator(prepared, command, log.fd.get(), settings, environment_.layout.session,
                            [&](pid_t pid) {  // there is no emulator that a later daemon would not find
                              begun.process.pid = pid;
                              begun.start_ticks =
                                  host::process_statistics(pid).value_or(host::ProcessStatistics{}).start_ticks;
                              save(begun, status_);
                            });
    });
  } catch (...) {
    begun.give_back();
    forget_state();
    throw;
  }
  running_ = std::move(prepared.running);
  hold_events();
  spawn(watch());
  prepared.fds.clear();
  prepared.locks.clear();

  std::exception_ptr failed;
  std::string why;
  try {
    co_await follow(paused);
  } catch (const std::exception& error) {
    failed = std::current_exception();
    why = std::string(": ") + error.what();
  }
  if (failed || !running_) {
    const bool refused = running_ && running_->monitor && !running_->monitor->broken();
    // One that ends closes its monitor first, and may say why after that.
    if (running_ && !refused) co_await (running_->gone.wait() || core::sleep(last_words));
    const bool exited = !running_;
    if (running_) {
      running_->ending = Trigger::exit_failed;
      syscall(SYS_pidfd_send_signal, running_->process.pidfd.get(), SIGKILL, nullptr, 0);
      co_await running_->gone.wait();
    }
    if (failed && refused) std::rethrow_exception(failed);
    const std::string printed = log.printed();
    if (!printed.empty())
      throw Error(ErrorCode::internal_error, "process exited while connecting to monitor: " + printed);
    if (failed && !exited) std::rethrow_exception(failed);
    throw Error(ErrorCode::internal_error, "the emulator ended while it was being started" + why);
  }
  if (prepared.nvram) prepared.nvram->keep();
}

/// From a process that runs to a guest that does.
Task<void> Instance::follow(bool paused) {
  const auto gone = [self = shared_from_this()] { return !self->running_; };
  if (gone()) co_return;  // it was before anybody watched
  auto monitor = co_await Monitor::connect(environment_.loop, running_->folder.path(), monitor_name,
                                           Monitor::Clock::now() + start_limit, gone, event_handler());
  if (gone()) throw Error(ErrorCode::internal_error, "process exited while connecting to monitor");
  running_->monitor = monitor;
  const auto chardevs = emulator::read_chardevs(co_await monitor->execute(emulator::query_chardev()));
  if (gone()) co_return;
  place_ptys(running_->live, chardevs);
  for (emulator::Request& request : emulator::initial_requests(running_->live, running_->capabilities)) {
    co_await monitor->execute(std::move(request));
  }
  if (gone()) co_return;
  co_await pin_all(shared_from_this());
  // A machine runs that a later daemon finds: what is written now is all that it needs, and a name in its place needs
  // no room on a disk that is full.
  save(*running_, step(State::shutoff, paused ? Trigger::boot_paused : Trigger::boot).to);
  if (!paused) co_await monitor->execute(emulator::cont());
  if (gone()) co_return;
  std::filesystem::rename(starting_path(), state_path());
  running_->starting = false;
  // libvirt tells of vCPUs that run before it tells of the start, and of vCPUs that wait after it.
  if (!paused) environment_.notify(*this, lifecycle::resumed_unpaused);
  apply(paused ? Trigger::boot_paused : Trigger::boot);
  if (paused) environment_.notify(*this, lifecycle::suspended_paused);
  spawn(stay_in_reach());
  release_events(running_->id);
}

void Instance::remove_log() const {
  const std::string path = log_path(environment_.layout, *this);
  if (::unlink(path.c_str()) < 0 && errno != ENOENT) throw Error::system(errno, "failed to remove log: " + path);
}

}  // namespace instance
