#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "driver/core/layout.h"
#include "driver/core/loop.h"
#include "driver/domain/domain.h"
#include "driver/instance/event.h"
#include "driver/instance/job.h"
#include "driver/instance/lifecycle.h"
#include "driver/instance/prober.h"
#include "driver/instance/running.h"
#include "driver/instance/settings.h"

namespace instance {

class Instance;

/// What every instance needs of the daemon.
struct Environment {
  core::Loop& loop;
  const core::Layout& layout;
  const Settings& settings;
  Prober& prober;
  std::function<void(const Instance&, const Event&)> notify;  ///< something clients may be told
  std::function<void(Instance&)> ended;                       ///< an emulator has ended; its state is shutoff
  std::function<void(const std::string&)> problem;            ///< something the administrator should know
};

/// One domain the driver knows: defined, running, or both. Whoever changes it holds its job.
class Instance : public std::enable_shared_from_this<Instance> {
 public:
  Instance(const Environment& environment, const core::Uuid& uuid, std::string name)
      : environment_(environment), uuid_(uuid), name_(std::move(name)), job_(environment.settings.max_queued) {}

  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;
  /// A process that runs goes on: what it was given stays, for a later daemon to give back.
  ~Instance();

  const core::Uuid& uuid() const { return uuid_; }
  const std::string& name() const { return name_; }
  void rename(std::string name) { name_ = std::move(name); }
  /// The running domain's id, -1 for none.
  int id() const { return running_ ? running_->id : -1; }
  bool active() const { return running_ != nullptr; }
  bool persistent() const { return config_.has_value(); }
  const Status& status() const { return status_; }
  Job& job() { return job_; }

  /// What the next start uses; nothing for a transient domain.
  const std::optional<domain::Domain>& config() const { return config_; }
  void set_config(std::optional<domain::Domain> config) { config_ = std::move(config); }
  bool autostart() const { return autostart_; }
  void set_autostart(bool autostart) { autostart_ = autostart; }

  /// What runs now, else what is defined.
  const domain::Domain& description() const { return running_ ? running_->live : *config_; }
  /// Throws Error: OPERATION_INVALID "domain is not running".
  Running& running();
  /// What runs is described by `live` from now on; a later daemon finds it so.
  void set_live(domain::Domain live);
  /// A client went past the driver to the emulator: what it is now is no longer only the driver's doing.
  void taint();

  /// Starts `description` as domain `id`; a failed start leaves nothing behind. Throws Error.
  core::Task<void> start(domain::Domain description, int id, bool paused);
  core::Task<void> suspend();
  core::Task<void> resume();
  /// The power button. With `reboot` the guest starts again once it is off.
  core::Task<void> shutdown(bool reboot);
  core::Task<void> reset();
  /// Ends the process: SIGTERM, then SIGKILL unless `graceful`. Returns when nothing of it is left.
  core::Task<void> destroy(bool graceful);
  /// Removes what the emulators of this domain printed. Throws Error: SYSTEM_ERROR.
  void remove_log() const;

  /// Adds a device to what runs, and to its live description; where it fails, all is undone. Throws Error:
  /// OPERATION_UNSUPPORTED for what cannot be added, as domain::add_device(), assign_addresses() and validate(), what
  /// the host refuses, what the emulator refuses.
  core::Task<void> attach_device(domain::Device device);
  /// Asks the guest to give up one of the live description's devices. With `wait` for libvirt's five seconds until it
  /// has; later it goes on by itself. Throws Error: OPERATION_UNSUPPORTED for what cannot be taken out,
  /// OPERATION_FAILED where the guest refuses.
  core::Task<void> detach_device(domain::Device device, bool wait);

  /// Takes over what an earlier daemon left running; `begun`: whether its start was done. One that has ended for
  /// certain is shutoff. One of which nothing is known now is shown as it was last, and looked for again until it is
  /// found. What the host gave it is the instance's before `others` is waited for, and then its process is looked for:
  /// a file that two machines have must be known of both before one is found to have ended.
  core::Task<void> reconnect(LiveState state, Running::Begun begun = Running::Begun::yes,
                             std::function<core::Task<void>()> others = {});
  /// Nothing is known of the machine that the domain may run: it has no state until that is settled.
  void set_unknown(bool unknown);
  /// Where a later daemon finds the machine; and where, as long as it is being started.
  std::string state_path() const;
  std::string starting_path() const;

 private:
  // start.cc
  core::Task<void> settle_firmware(domain::Domain* description, emulator::Kind kind);
  core::Task<void> launch(domain::Domain description, int id, bool paused);
  core::Task<void> follow(bool paused);

  // saving.cc: the state file
  LiveState live_state(const Running& now, Status status) const;
  void save(const Running& now, Status status) const;
  void keep_state();
  void keep_state_soon();  ///< of what may change often
  core::Task<void> save_later();
  void forget_state() const noexcept;

  // events.cc: what the emulator tells
  Monitor::OnEvent event_handler();
  void take(const qmp::Event& event);
  void handle(const qmp::Event& event);
  void hold_events() { ++running_->held; }
  void release_events(int id);
  void apply(Trigger trigger, std::optional<Lifecycle> as = {});
  void guest_is_off(bool by_guest);
  void after_power_off();
  void after_panic();
  void act(bool restart);
  core::Task<void> end_or_restart(bool restart);

  // reconnect.cc
  bool is(int id) const { return running_ && running_->id == id; }
  bool find_process();
  core::Task<bool> reach();
  core::Task<void> end_unfinished();
  core::Task<void> catch_up(std::shared_ptr<Monitor> monitor);
  core::Task<void> stay_in_reach();
  core::Task<void> take_locks();
  /// Devices that the guest gave up while no daemon listened.
  core::Task<void> forget_devices_given_up();

  /// Sends a command; where it succeeded, `done` before any event that came meanwhile.
  core::Task<void> order(emulator::Request request, std::function<void()> done);
  core::Task<void> end_process(bool graceful);
  core::Task<void> watch();
  void finish();
  core::Task<void> finish_removal(std::string alias);
  void spawn(core::Task<void> task);

  const Environment& environment_;
  core::Uuid uuid_;
  std::string name_;
  Job job_;
  std::optional<domain::Domain> config_;
  std::unique_ptr<Running> running_;
  Status status_;
  bool autostart_ = false;
  bool unsaved_ = false;      ///< the state file does not say what is so now
  bool save_failed_ = false;  ///< and that was said
  bool saver_ = false;        ///< save_later() is under way
};

}  // namespace instance
