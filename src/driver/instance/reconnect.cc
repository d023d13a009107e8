#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "driver/core/error.h"
#include "driver/emulator/dialect.h"
#include "driver/host/process_stats.h"
#include "driver/instance/instance.h"

namespace instance {

using core::Error;
using core::ErrorCode;
using core::Task;

namespace {

constexpr std::chrono::seconds reconnect_limit{10};

/// The state file's values; what does not fit throws nlohmann's exceptions.
struct Saved {
  explicit Saved(const std::string& text) : json(emulator::Json::parse(text)) {}
  template <class T>
  T get(const char* key) const {
    return json.at(key).get<T>();
  }
  emulator::Json json;
};

}  // namespace

Task<void> Instance::reconnect(std::string state_file) {
  const auto self = shared_from_this();
  const Saved saved(state_file);
  auto found = std::make_unique<Running>(environment_.loop.context());
  found->id = saved.get<int>("id");
  found->live = domain::parse_live(saved.get<std::string>("description"));
  found->capabilities = emulator::assumed(emulator::kind_of(found->live.type), found->live.os.arch);
  found->folder = Folder(saved.get<std::string>("folder"));
  if (auto path = saved.get<std::string>("hugepages"); !path.empty())
    found->hugepages = host::HugepageFolder::adopt(std::move(path));
  found->cgroup = host::Cgroup::adopt(saved.get<std::vector<std::string>>("cgroup"));
  std::vector<host::FileOwner> owners;
  for (const auto& owner : saved.json.at("owners")) owners.push_back({owner.at(0), owner.at(1), owner.at(2)});
  found->ownership =
      host::Ownership::adopt(std::move(owners), environment_.settings.identity.uid, environment_.settings.identity.gid);
  found->process.pid = saved.get<int>("pid");
  found->start_ticks = saved.get<std::uint64_t>("start_ticks");
  status_ = {static_cast<State>(saved.get<int>("state")), saved.get<int>("reason")};
  found->process.pidfd.reset(static_cast<int>(syscall(SYS_pidfd_open, found->process.pid, 0)));

  const auto process = host::process_statistics(found->process.pid);
  const bool alive =
      found->process.pidfd && process && process->start_ticks == found->start_ticks && process->state != 'Z';
  if (!alive) {
    const bool was_off = status_.state == State::shutdown;
    status_ = {State::shutoff, was_off ? reason::shutoff_shutdown : reason::shutoff_crashed};
    std::error_code ignored;
    std::filesystem::remove(state_path(), ignored);
    co_return;
  }
  running_ = std::move(found);
  environment_.loop.spawn(watch());
  if (status_.state == State::shutoff) {  // the daemon died while it started this one
    running_->ending = Trigger::exit_failed;
    syscall(SYS_pidfd_send_signal, running_->process.pidfd.get(), SIGKILL, nullptr, 0);
    co_await running_->gone.wait();
    co_return;
  }
  try {
    const auto gone = [self] { return !self->running_; };
    auto monitor = co_await Monitor::connect(running_->folder.path(), "monitor.sock",
                                             Monitor::Clock::now() + reconnect_limit, gone, event_handler());
    if (gone()) co_return;
    running_->monitor = monitor;
    const auto now = emulator::read_status(co_await monitor->execute(emulator::query_status(), reconnect_limit));
    if (gone()) co_return;
    running_->starting = false;
    if (now.state == "shutdown") {
      if (status_.state != State::shutdown) guest_is_off(true);
    } else if (now.running && status_.state == State::paused) {
      apply(Trigger::resume);
    } else if (!now.running && status_.state == State::running) {
      apply(now.state == "guest-panicked" ? Trigger::panic
            : now.state == "io-error"     ? Trigger::io_error
                                          : Trigger::suspend);
    }
  } catch (const Error&) {
    // A monitor that does not answer cannot be managed, but the machine goes on, and can be destroyed.
    if (running_) running_->starting = false;
  }
}

}  // namespace instance
