#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "driver/core/error.h"
#include "driver/emulator/dialect.h"
#include "driver/host/process_stats.h"
#include "driver/instance/instance.h"
#include "driver/instance/probe.h"

namespace instance {

using core::Task;

namespace {

constexpr std::chrono::seconds reconnect_limit{10};

/// A number that is what it seems: JSON's own conversion makes another of one that is too large.
template <class T>
T whole(const emulator::Json& value) {
  const bool negative = value.is_number_integer() && !value.is_number_unsigned();
  if (value.is_number_unsigned() && std::in_range<T>(value.get<std::uint64_t>())) return value.get<T>();
  if (negative && std::in_range<T>(value.get<std::int64_t>())) return value.get<T>();
  throw core::Error(core::ErrorCode::internal_error, "'" + value.dump() + "' is no number that is expected here");
}

/// What the state file says. All of it is read before anything is taken over: what is taken over and then let go is
/// removed from the host.
struct Saved {
  /// Throws nlohmann's exceptions, and Error, for what does not fit.
  explicit Saved(const std::string& text) : Saved(emulator::Json::parse(text)) {}
  explicit Saved(const emulator::Json& json)
      : id(whole<int>(json.at("id"))),
        status{State{whole<std::uint8_t>(json.at("state"))}, whole<int>(json.at("reason"))},
        pid(whole<pid_t>(json.at("pid"))),
        start_ticks(whole<std::uint64_t>(json.at("start_ticks"))),
        folder(json.at("folder")),
        hugepages(json.at("hugepages")),
        cgroup(json.at("cgroup")),
        tainted(json.at("tainted")),
        emulator(emulator::read_version(json.value("emulator", emulator::version_line({})))),
        live(domain::parse_live(json.at("description").get<std::string>())) {
    for (const auto& owner : json.at("owners").get<std::vector<emulator::Json>>())
      owners.push_back({owner.at(0), whole<uid_t>(owner.at(1)), whole<gid_t>(owner.at(2))});
  }
  int id;
  Status status;
  pid_t pid;
  std::uint64_t start_ticks;
  std::string folder, hugepages;
  std::vector<std::string> cgroup;
  bool tainted;
  emulator::Capabilities emulator;  ///< as far as its version tells
  domain::Domain live;
  std::vector<host::FileOwner> owners;
};

}  // namespace

Task<void> Instance::reconnect(std::string state_file) {
  const auto self = shared_from_this();
  Saved saved(state_file);
  const host::Identity& identity = environment_.settings.identity;
  auto found = std::make_unique<Running>(environment_.loop.context());
  found->id = saved.id;
  found->live = std::move(saved.live);
  found->capabilities = emulator::assumed(emulator::kind_of(found->live.type), found->live.os.arch);
  found->capabilities.version = saved.emulator.version;
  found->capabilities.package = saved.emulator.package;
  found->folder = Folder(saved.folder);
  found->sockets = CharacterSockets(found->live);
  if (!saved.hugepages.empty()) found->hugepages = host::HugepageFolder::adopt(saved.hugepages);
  found->cgroup = host::Cgroup::adopt(saved.cgroup);
  found->ownership = host::Ownership::adopt(std::move(saved.owners), identity.uid, identity.gid);
  found->process.pid = saved.pid;
  found->start_ticks = saved.start_ticks;
  found->tainted = saved.tainted;
  found->starting = false;
  found->process.pidfd.reset(static_cast<int>(syscall(SYS_pidfd_open, saved.pid, 0)));
  status_ = saved.status;

  // One whose first thread is over may have others that are not, which are still in its control group.
  const auto process = host::process_statistics(found->process.pid);
  const bool alive =
      found->process.pidfd && process && process->start_ticks == found->start_ticks && !host::ended(found->process);
  if (!alive) {
    const bool was_off = status_.state == State::shutdown;
    status_ = {State::shutoff, was_off ? reason::shutoff_shutdown : reason::shutoff_crashed};
    found->give_back();
    forget_state();
    co_return;
  }
  running_ = std::move(found);
  environment_.loop.spawn(watch());
  if (!running_) co_return;               // it has just ended
  if (status_.state == State::shutoff) {  // the daemon died while it started this one
    running_->ending = Trigger::exit_failed;
    syscall(SYS_pidfd_send_signal, running_->process.pidfd.get(), SIGKILL, nullptr, 0);
    co_await running_->gone.wait();
    co_return;
  }
  try {
    const auto gone = [self] { return !self->running_; };
    auto monitor = co_await Monitor::connect(environment_.loop, running_->folder.path(), "monitor.sock",
                                             Monitor::Clock::now() + reconnect_limit, gone, event_handler());
    if (gone()) co_return;
    running_->monitor = monitor;
    const auto now = emulator::read_status(co_await monitor->execute(emulator::query_status(), reconnect_limit));
    if (gone()) co_return;
    if (now.state == "shutdown") {
      if (status_.state == State::shutdown) {
        after_power_off();  // what the earlier daemon did not come to
      } else {
        guest_is_off(true);
      }
    } else if (now.running && status_.state == State::paused) {
      apply(Trigger::resume);
    } else if (!now.running && status_.state == State::running) {
      apply(now.state == "guest-panicked" ? Trigger::panic
            : now.state == "io-error"     ? Trigger::io_error
                                          : Trigger::suspend);
    }
  } catch (const std::exception&) {
    // A monitor that does not answer cannot be managed, but the machine goes on, and can be destroyed.
    if (running_ && running_->monitor) std::exchange(running_->monitor, {})->close();
    co_return;
  }
  co_await forget_devices_given_up();
}

Task<void> Instance::forget_devices_given_up() {
  const auto self = shared_from_this();
  if (!running_ || !running_->monitor) co_return;
  const auto monitor = running_->monitor;
  try {
    const auto query = emulator::query_devices(co_await with_commands(monitor, running_->capabilities));
    if (!query) co_return;
    const auto there = emulator::read_devices(co_await monitor->execute(*query, reconnect_limit));
    if (!running_ || running_->monitor != monitor || there.empty()) co_return;
    const auto look = [&](const auto& devices) {
      for (const auto& device : devices)
        if (std::ranges::find(there, device.info.alias) == there.end())
          environment_.loop.spawn(finish_removal(device.info.alias));
    };
    look(running_->live.disks);
    look(running_->live.interfaces);
    look(running_->live.rngs);
  } catch (const core::Error&) {  // it does not tell
  }
}

}  // namespace instance
