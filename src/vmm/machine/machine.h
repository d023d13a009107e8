#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vmm/cmdline/machine_config.h"
#include "vmm/cpu/vcpu_thread.h"
#include "vmm/cpu/x86_64/cpuid.h"
#include "vmm/cpu/x86_64/state.h"
#include "vmm/firmware/linux_boot.h"
#include "vmm/machine/backends.h"
#include "vmm/machine/devices.h"
#include "vmm/machine/q35.h"

namespace machine {

/// What a machine is doing (QMP's RunState, as far as there is sense in it here).
enum class RunState { prelaunch, running, paused, shutdown, guest_panicked, internal_error };
const char* to_string(RunState state);

/// What a machine tells whoever watches it (QMP's events).
struct Event {
  enum class Kind { stop, resume, reset, powerdown, shutdown, guest_panicked, guest_pvshutdown, device_deleted };
  Kind kind;
  bool guest = false;  ///< the guest did it
  std::string detail;  ///< a reason; the device
};

/// A whole machine. Everything is called on the main loop's thread with its lock held, unless it says otherwise.
class Machine {
 public:
  /// Makes the machine that the configuration describes, not yet running; each iothread runs `iothread_begun` first.
  /// Memory is filled while the hypervisor is still being made, which waits for the host's kernel more than it works.
  /// Throws std::exception, whose text names what cannot be had.
  Machine(const cmdline::Config& config, loop::Clock& clock, loop::Loop& loop,
          std::future<std::unique_ptr<hypervisor::Hypervisor>> hypervisor, std::function<void(const Event&)> notify,
          const std::function<void()>& iothread_begun);
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine();

  /// Starts the vCPUs' threads, waiting; each calls `sandbox` first.
  void start_threads(const std::function<void()>& sandbox);

  RunState state() const { return state_; }
  bool running() const { return state_ == RunState::running; }
  /// cont and stop of QMP. Throws std::runtime_error in a state that they do not fit.
  void resume();
  void pause();
  /// Soon.
  void reset(bool by_guest);
  void press_power_button();
  /// Ends the main loop; `reason` is QMP's.
  void quit(const std::string& reason);

  Q35& board() { return board_; }
  hypervisor::Hypervisor& hypervisor() { return *hypervisor_; }
  const std::vector<pid_t>& vcpu_threads() const;
  /// Of each vCPU, whether it does nothing. Stops them all for a moment.
  std::vector<bool> vcpus_halted();

  const Backends& backends() const { return backends_; }
  const Devices& devices() const { return devices_; }

  /// Parts that come and go. Throws std::invalid_argument, std::runtime_error or std::system_error with what is in the
  /// way, and nothing is changed then.
  void add_device(const cmdline::Device& device);
  void remove_device(const std::string& id);
  void add_drive(const cmdline::Drive& drive);
  void add_netdev(const cmdline::Netdev& netdev);
  void add_rng(const cmdline::RngBackend& rng);
  std::string add_chardev(const cmdline::Chardev& chardev);
  void remove_drive(const std::string& id);
  void remove_netdev(const std::string& id);
  void remove_rng(const std::string& id);
  void remove_chardev(const std::string& id);
  const cmdline::Config& config() const { return config_; }
  loop::Loop& loop() { return loop_; }

 private:
  /// What the vCPUs stand for.
  struct Asked {
    enum class What { failure, panic, power_off, reset } what;
    bool by_guest = true;
    bool pvshutdown = false;  ///< a power-off by the panic port, which has an event of its own
    std::string why = {};     ///< of a failure
  };

  void make_vcpus(const kvm::Vm& vm);
  template <class Part>
  void add_part(std::vector<Part> cmdline::Config::* list, const Part& part, const std::function<void()>& make);
  template <class Part>
  void remove_part(std::vector<Part> cmdline::Config::* list, const char* kind, const std::string& id,
                   const std::function<void()>& unmake);
  void device_gone(const std::string& id);
  void boot();
  void stop_vcpus();
  void run_vcpus();
  void set_state(RunState state);
  void ask(Asked asked);
  void answer();
  void halt(RunState state);
  void begin_anew(bool by_guest);
  void power_off();
  void panicked(platform::Panic::Event event);
  void end(bool by_guest, const std::string& reason);
  bool port_access(const kvm::PortAccess& access);
  bool memory_access(const kvm::MemoryAccess& access);

  cmdline::Config config_;
  loop::Clock& clock_;
  loop::Loop& loop_;
  Ram ram_;
  std::optional<firmware::Linux> linux_;  ///< in memory
  std::unique_ptr<hypervisor::Hypervisor> hypervisor_;
  std::function<void(const Event&)> notify_;
  RunState state_ = RunState::prelaunch;
  std::optional<Asked> asked_;  ///< while it is there no vCPU goes on
  bool booted_ = false, over_ = false;
  bool crash_told_ = false;  ///< since the guest was booted

  Backends backends_;
  Q35 board_;
  Devices devices_;

  std::optional<cpu::Cpuid> cpuid_;
  std::vector<cpu::PowerOnState> power_on_;
  std::optional<cpu::Threads> threads_;  ///< ends before what its threads use
};

}  // namespace machine
