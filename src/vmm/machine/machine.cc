#include "vmm/machine/machine.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "base/file.h"
#include "vmm/acpi/smbios.h"
#include "vmm/acpi/tables.h"
#include "vmm/cmdline/parts.h"
#include "vmm/firmware/image.h"

namespace machine {
namespace {

memory::Backend ram_backend(const cmdline::Memory& from) {
  return {.size = from.size, .path = from.path, .share = from.share, .prealloc = from.prealloc, .dump = from.dump};
}

cpu::Topology topology(const cmdline::Smp& smp) {
  return {.sockets = smp.sockets, .dies = smp.dies * smp.clusters, .cores = smp.cores, .threads = smp.threads};
}

/// A uuid of the command line, which has been checked, as its bytes.
std::array<std::uint8_t, 16> uuid_bytes(std::string text) {
  std::array<std::uint8_t, 16> bytes{};
  std::erase(text, '-');
  for (std::size_t i = 0; i < bytes.size() && 2 * i + 2 <= text.size(); ++i) {
    std::from_chars(&text[2 * i], &text[2 * i] + 2, bytes[i], 16);
  }
  return bytes;
}

acpi::SmbiosConfig smbios(const cmdline::Config& config) {
  acpi::SmbiosConfig tables{.uuid = uuid_bytes(config.uuid),
                            .sockets = config.smp.sockets,
                            .cores = config.smp.dies * config.smp.clusters * config.smp.cores,
                            .threads = config.smp.threads};
  for (const cmdline::SmbiosValue& one : config.smbios) {
    if (one.type == 1 && one.key == "uuid") tables.uuid = uuid_bytes(one.value);
    tables.said[{one.type, one.key}] = one.value;
  }
  return tables;
}

/// Each port has one bus behind it.
std::uint8_t last_bus(const cmdline::Config& config) {
  const auto is_port = [](const cmdline::Device& one) { return std::holds_alternative<cmdline::RootPort>(one); };
  return static_cast<std::uint8_t>(std::min<std::ptrdiff_t>(std::ranges::count_if(config.devices, is_port), 255));
}

/// What the command line knows and this program has not.
void refuse_absent(const cmdline::Config& config) {
  const auto refuse = [](const char* what) { throw std::invalid_argument(what); };
  if (config.machine == cmdline::MachineType::virt) {
    refuse("-machine: type='virt', allowed on this processor: none, q35");
  }
  if (!config.pflash.empty()) refuse("-drive if=pflash: this program has no firmware in flash");
  if (!config.numa_nodes.empty()) refuse("-numa: this program has no NUMA nodes");
  constexpr std::uint32_t highest = 254;  // of the interrupt controllers that a message can name
  if (config.smp.max_cpus > 0 && topology(config.smp).apic_id(config.smp.max_cpus - 1) > highest) {
    refuse("-smp: these sockets, dies, cores and threads number processors beyond 254, as powers of two");
  }
}

/// The kernel that the configuration names, in memory; none where it names none.
std::optional<firmware::Linux> load_linux(const cmdline::Config& config, const Ram& ram) {
  if (config.kernel.empty()) return {};
  const auto open = [](const std::string& path) {
    const bool named = cmdline::descriptor_of(path) >= 0;
    return firmware::Image(path, named ? open_named(path, O_RDONLY) : base::open_regular(path, O_RDONLY));
  };
  std::optional<firmware::Image> initrd;
  if (!config.initrd.empty()) initrd = open(config.initrd);
  std::optional<firmware::Linux> made(std::in_place, open(config.kernel), std::move(initrd));
  made->load(ram.memory(), ram.blank());
  return made;
}

/// Throws for a file that may not be opened, by the sandbox above all, now and not when a device is to have it.
void refuse_forbidden(const cmdline::Drive& drive) try {
  base::open_disk(drive.file, (drive.read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK);
} catch (const std::system_error& error) {
  if (error.code() == std::errc::permission_denied) throw;
}

bool is_valid(const cmdline::Config& config) try {
  cmdline::validate(config);
  return true;
} catch (const std::invalid_argument&) {
  return false;
}

/// Lets go of a lock for as long as this lives.
class Unlock {
 public:
  explicit Unlock(base::Mutex& mutex) __attribute__((no_thread_safety_analysis)) : mutex_(mutex) { mutex_.unlock(); }
  ~Unlock() __attribute__((no_thread_safety_analysis)) { mutex_.lock(); }
  Unlock(const Unlock&) = delete;
  Unlock& operator=(const Unlock&) = delete;

 private:
  base::Mutex& mutex_;
};

}  // namespace

const char* to_string(RunState state) {
  switch (state) {
    case RunState::prelaunch: return "prelaunch";
    case RunState::running: return "running";
    case RunState::paused: return "paused";
    case RunState::shutdown: return "shutdown";
    case RunState::guest_panicked: return "guest-panicked";
    case RunState::internal_error: return "internal-error";
  }
  return "";
}

Machine::Machine(const cmdline::Config& config, loop::Clock& clock, loop::Loop& loop,
                 std::future<std::unique_ptr<hypervisor::Hypervisor>> hypervisor,
                 std::function<void(const Event&)> notify, const std::function<void()>& iothread_begun)
    : config_((refuse_absent(config), config)),
      clock_(clock),
      loop_(loop),
      ram_(ram_backend(config.memory)),
      linux_(load_linux(config, ram_)),
      hypervisor_(hypervisor.get()),
      notify_(std::move(notify)),
      board_(*hypervisor_, loop, ram_,
             {.power_off = [this] { power_off(); },
              .reset = [this] { reset(true); },
              .panic = [this](platform::Panic::Event event) { panicked(event); }}),
      devices_(board_, *hypervisor_, backends_, loop, config.smp.cpus,
               [this](const std::string& id) { device_gone(id); }) {
  for (const cmdline::Chardev& one : config_.chardevs) machine::add_chardev(backends_, one, loop_);
  for (const cmdline::Iothread& one : config_.iothreads) {
    backends_.iothreads[one.id] = std::make_unique<IoThread>(one.id, clock_, iothread_begun);
  }
  for (const cmdline::Drive& one : config_.drives) backends_.drives[one.id] = one;
  for (const cmdline::Netdev& one : config_.netdevs) backends_.netdevs[one.id] = one;
  for (const cmdline::RngBackend& one : config_.rngs) backends_.rngs[one.id] = one;
  if (config_.serial) board_.add_serial(backends_.chardev(*config_.serial));
  for (const cmdline::Device& one : config_.devices) devices_.add(one, false);
  if (const auto* const vm = dynamic_cast<kvm::Vm*>(hypervisor_.get())) make_vcpus(*vm);
}

Machine::~Machine() {
  // vCPUs end first: nobody is to touch what goes after them.
  const Unlock unlocked(loop_.mutex());
  threads_.reset();
}

// --- vCPUs

void Machine::make_vcpus(const kvm::Vm& vm) {
  std::vector<std::uint32_t> apic_ids;
  apic_ids.reserve(config_.smp.cpus);
  for (unsigned index = 0; index < config_.smp.cpus; ++index) {
    apic_ids.push_back(topology(config_.smp).apic_id(index));
  }
  threads_.emplace(
      vm, apic_ids,
      cpu::Machine{.port = [this](const kvm::PortAccess& access) { return port_access(access); },
                   .memory = [this](const kvm::MemoryAccess& access) { return memory_access(access); },
                   .triple_fault =
                       [this] {
                         const base::Lock lock(loop_.mutex());
                         reset(true);
                       },
                   .failed =
                       [this](unsigned vcpu, const std::string& why) {
                         const base::Lock lock(loop_.mutex());
                         ask({.what = Asked::What::failure, .why = "processor " + std::to_string(vcpu) + ": " + why});
                       }});
  cpuid_.emplace(vm, topology(config_.smp));
  for (const auto& vcpu : threads_->vcpus()) {
    cpuid_->apply(*vcpu);
    power_on_.emplace_back(*vcpu);
  }
}

void Machine::start_threads(const std::function<void()>& sandbox) {
  if (!threads_) return;
  const Unlock unlocked(loop_.mutex());
  threads_->start(sandbox);
}

const std::vector<pid_t>& Machine::vcpu_threads() const {
  static const std::vector<pid_t> none;
  return threads_ ? threads_->thread_ids() : none;
}

std::vector<bool> Machine::vcpus_halted() {
  std::vector<bool> all;
  if (!threads_) return all;
  if (running()) stop_vcpus();
  for (const auto& vcpu : threads_->vcpus()) all.push_back(vcpu->halted());
  if (running()) run_vcpus();
  return all;
}

bool Machine::port_access(const kvm::PortAccess& access) {
  const base::Lock lock(loop_.mutex());
  for (std::size_t at = 0; at < access.data.size(); at += access.size) {
    const auto one = access.data.subspan(at, access.size);
    if (access.write) {
      board_.ports().write(access.port, one);
    } else {
      board_.ports().read(access.port, one);
    }
  }
  return !asked_;
}

bool Machine::memory_access(const kvm::MemoryAccess& access) {
  const base::Lock lock(loop_.mutex());
  if (access.write) {
    board_.memory_bus().write(access.address, access.data);
  } else {
    board_.memory_bus().read(access.address, access.data);
  }
  return !asked_;
}

/// A vCPU that is to stop may be waiting for the lock that is held here.
void Machine::stop_vcpus() {
  if (!threads_) return;
  const Unlock unlocked(loop_.mutex());
  threads_->pause();
}

/// Not those that stand for what was asked for: answer() lets them go on.
void Machine::run_vcpus() {
  if (threads_ && !asked_) threads_->resume();
}

// --- what happens to it

void Machine::set_state(RunState state) {
  state_ = state;
}

void Machine::resume() {
  if (state_ == RunState::running) return;
  if (state_ == RunState::shutdown || state_ == RunState::internal_error) {
    throw std::runtime_error("Resetting the Virtual Machine is required");
  }
  if (!booted_) boot();
  if (threads_) {
    if (auto* const vm = dynamic_cast<kvm::Vm*>(hypervisor_.get())) vm->start_clock();
    // A watchdog of the guest's is to know that it was not it that stood still.
    for (const auto& vcpu : threads_->vcpus()) vcpu->tell_paused();
    run_vcpus();
  }
  set_state(RunState::running);
  notify_({Event::Kind::resume, false, {}});
}

void Machine::pause() {
  if (state_ != RunState::running) return;
  stop_vcpus();
  if (auto* const vm = dynamic_cast<kvm::Vm*>(hypervisor_.get())) vm->stop_clock();
  set_state(RunState::paused);
  notify_({Event::Kind::stop, false, {}});
}

/// Has the machine stand, soon; who asks waits until then. The first is what happens: what comes behind it is of a
/// guest that went on, because it had not been stopped yet. Only a failure gives way, for whoever asked for an end or a
/// new beginning gets it.
void Machine::ask(Asked asked) {
  if (asked_ && asked_->what != Asked::What::failure) return;
  if (!asked_) loop_.post([this] { answer(); });
  asked_ = std::move(asked);
}

void Machine::answer() {
  if (over_) return;
  stop_vcpus();  // those that still ran may ask too
  const Asked asked = *std::exchange(asked_, std::nullopt);
  switch (asked.what) {
    case Asked::What::failure:
      std::fprintf(stderr, "stratovirt: %s\n", asked.why.c_str());
      halt(RunState::internal_error);
      break;
    case Asked::What::panic:
      if (state_ != RunState::guest_panicked) notify_({Event::Kind::guest_panicked, true, "pause"});
      halt(RunState::guest_panicked);
      break;
    case Asked::What::power_off:
      if (state_ == RunState::shutdown) break;
      if (asked.pvshutdown) notify_({Event::Kind::guest_pvshutdown, true, {}});
      set_state(RunState::shutdown);
      if (config_.stay_when_off) {
        notify_({Event::Kind::shutdown, true, "guest-shutdown"});
      } else {
        end(true, "guest-shutdown");
      }
      break;
    case Asked::What::reset:
      if (asked.by_guest && config_.exit_on_reset) return end(true, "guest-reset");
      begin_anew(asked.by_guest);
      break;
  }
  if (running()) run_vcpus();
}

/// A machine that runs, or would go on running, does so no more.
void Machine::halt(RunState state) {
  const bool ran = running();
  if (!ran && state_ != RunState::paused && state_ != RunState::prelaunch) return;
  set_state(state);
  if (ran) notify_({Event::Kind::stop, true, {}});
}

void Machine::reset(bool by_guest) {
  using What = Asked::What;
  if (!by_guest && asked_ && (asked_->what == What::power_off || asked_->what == What::panic)) {
    // What the guest did before is told first.
    loop_.post([this] { reset(false); });
    return;
  }
  ask({.what = What::reset, .by_guest = by_guest});
}

void Machine::begin_anew(bool by_guest) {
  board_.reset();
  devices_.take_away();
  if (auto* const vm = dynamic_cast<kvm::Vm*>(hypervisor_.get())) vm->reset();
  notify_({Event::Kind::reset, by_guest, {}});
  if (!running() && state_ != RunState::prelaunch) set_state(RunState::paused);
  try {
    if (linux_) linux_->load(ram_.memory(), false);
    boot();
  } catch (const std::exception& error) {  // somebody has cut the kernel's file, or written something else into it
    std::fprintf(stderr, "stratovirt: the machine does not begin anew: %s\n", error.what());
    halt(RunState::internal_error);
  }
}

void Machine::power_off() {
  ask({.what = Asked::What::power_off});
}

void Machine::panicked(platform::Panic::Event event) {
  if (event == platform::Panic::panicked) return ask({.what = Asked::What::panic});
  if (event == platform::Panic::shut_down) return ask({.what = Asked::What::power_off, .pvshutdown = true});
  if (asked_ || std::exchange(crash_told_, true)) return;
  loop_.post([this] { notify_({Event::Kind::guest_panicked, true, "run"}); });
}

void Machine::press_power_button() {
  board_.press_power_button();
  notify_({Event::Kind::powerdown, false, {}});
}

void Machine::quit(const std::string& reason) {
  if (over_) return;
  if (state_ != RunState::shutdown) return end(false, reason);
  over_ = true;
  loop_.stop();
}

void Machine::end(bool by_guest, const std::string& reason) {
  notify_({Event::Kind::shutdown, by_guest, reason});
  over_ = true;
  loop_.stop();
}

// --- parts that come and go

/// The configuration with the part must be one that could have been started.
template <class Part>
void Machine::add_part(std::vector<Part> cmdline::Config::* list, const Part& part, const std::function<void()>& make) {
  cmdline::Config with = config_;
  (with.*list).push_back(part);
  cmdline::validate(with);
  make();
  config_ = std::move(with);
}

template <class Part>
void Machine::remove_part(std::vector<Part> cmdline::Config::* list, const char* kind, const std::string& id,
                          const std::function<void()>& unmake) {
  cmdline::Config without = config_;
  if (std::erase_if(without.*list, [&](const Part& one) { return one.id == id; }) == 0) {
    throw std::invalid_argument(std::string("there is no ") + kind + " '" + id + "'");
  }
  try {
    cmdline::validate(without);
  } catch (const std::invalid_argument& user) {
    const bool for_now =
        std::erase_if(without.devices,
                      [this](const cmdline::Device& one) { return devices_.asked_for(cmdline::id_of(one)); }) > 0 &&
        is_valid(without);
    throw std::invalid_argument(std::string(kind) + " '" + id + "' is in use" +
                                (for_now ? " until the guest lets go what it has been asked for: " : ": ") +
                                user.what());
  }
  unmake();
  config_ = std::move(without);
}

void Machine::add_device(const cmdline::Device& device) {
  const bool guest_runs = state_ != RunState::prelaunch;
  add_part(&cmdline::Config::devices, device, [&] { devices_.add(device, guest_runs); });
}

void Machine::remove_device(const std::string& id) {
  devices_.remove(id);
}

void Machine::device_gone(const std::string& id) {
  std::erase_if(config_.devices, [&](const cmdline::Device& one) { return cmdline::id_of(one) == id; });
  notify_({Event::Kind::device_deleted, false, id});
}

void Machine::add_drive(const cmdline::Drive& drive) {
  add_part(&cmdline::Config::drives, drive, [&] {
    if (drive.fd < 0) refuse_forbidden(drive);
    backends_.drives[drive.id] = drive;
  });
}
void Machine::add_netdev(const cmdline::Netdev& netdev) {
  add_part(&cmdline::Config::netdevs, netdev, [&] { backends_.netdevs[netdev.id] = netdev; });
}
void Machine::add_rng(const cmdline::RngBackend& rng) {
  add_part(&cmdline::Config::rngs, rng, [&] { backends_.rngs[rng.id] = rng; });
}
std::string Machine::add_chardev(const cmdline::Chardev& chardev) {
  add_part(&cmdline::Config::chardevs, chardev, [&] { machine::add_chardev(backends_, chardev, loop_); });
  return backends_.chardev(chardev.id).filename();
}
void Machine::remove_drive(const std::string& id) {
  remove_part(&cmdline::Config::drives, "drive", id, [&] {
    const base::UniqueFd unused(backends_.drives.at(id).fd);
    backends_.drives.erase(id);
  });
}
void Machine::remove_netdev(const std::string& id) {
  remove_part(&cmdline::Config::netdevs, "netdev", id, [&] {
    std::vector<base::UniqueFd> unused;
    const cmdline::Netdev& one = backends_.netdevs.at(id);
    for (const auto& list : {one.fds, one.vhost_fds}) {
      for (const int fd : list) unused.emplace_back(fd);
    }
    backends_.netdevs.erase(id);
  });
}
void Machine::remove_rng(const std::string& id) {
  remove_part(&cmdline::Config::rngs, "object", id, [&] { backends_.rngs.erase(id); });
}
void Machine::remove_chardev(const std::string& id) {
  remove_part(&cmdline::Config::chardevs, "chardev", id, [&] { backends_.chardevs.erase(id); });
}

// --- booting

/// Writes the tables and the kernel's boot data into memory, and points the first vCPU at it.
void Machine::boot() {
  const memory::GuestMemory& memory = ram_.memory();
  const cpu::Topology cpus = topology(config_.smp);
  acpi::Config tables;
  for (unsigned index = 0; index < config_.smp.max_cpus; ++index) {
    tables.processors.push_back({cpus.apic_id(index), index < config_.smp.cpus});
  }
  tables.ecam = q35::ecam;
  tables.last_bus = last_bus(config_);
  tables.power_ports = q35::power_ports;
  tables.sci = q35::sci_gsi;
  const std::uint64_t root = acpi::write_tables(tables, memory, q35::tables, q35::tables_size);
  acpi::write_smbios(smbios(config_), memory, q35::smbios, q35::smbios_size);

  cpu::Entry entry;
  if (linux_) {
    firmware::LinuxConfig told{.command_line = config_.append, .acpi_rsdp = root, .map = {}};
    using Kind = firmware::MemoryRange::Kind;
    told.map = {{0, firmware::layout::ebda, Kind::ram},
                {firmware::layout::ebda, firmware::layout::high_memory - firmware::layout::ebda, Kind::reserved}};
    for (const auto& region : memory.regions()) {
      const std::uint64_t begin = std::max(region.address, firmware::layout::high_memory);
      told.map.push_back({begin, region.address + region.bytes.size() - begin, Kind::ram});
    }
    told.map.push_back({q35::ecam, q35::ecam_size, Kind::reserved});
    std::ranges::sort(told.map, {}, &firmware::MemoryRange::address);
    const firmware::LinuxEntry start = linux_->describe(told, memory);
    entry = {.mode = start.kind == firmware::LinuxEntry::Kind::pvh ? cpu::Entry::Mode::protected_mode
                                                                   : cpu::Entry::Mode::long_mode,
             .instruction = start.instruction,
             .argument = start.argument,
             .page_tables = start.page_tables,
             .gdt = start.gdt};
    const auto gdt = cpu::gdt_entries(entry.mode);
    memory.write(start.gdt, {reinterpret_cast<const std::uint8_t*>(gdt.data()), gdt.size() * sizeof gdt[0]});
  }
  if (threads_) {
    for (std::size_t i = 0; i < power_on_.size(); ++i) power_on_[i].restore(*threads_->vcpus()[i], &entry);
  }
  booted_ = true;
  crash_told_ = false;
}

}  // namespace machine
