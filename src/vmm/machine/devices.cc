#include "vmm/machine/devices.h"

#include <fcntl.h>

#include <algorithm>
#include <stdexcept>

#include "vmm/block/raw_file.h"
#include "vmm/cmdline/properties.h"
#include "vmm/pci/registers.h"
#include "vmm/virtio/blk.h"
#include "vmm/virtio/rng.h"

namespace machine {
namespace {

constexpr unsigned most_queues = 32;  // of a disk that has one a vCPU

std::string place_name(const cmdline::PciPlace& place) {
  return place.bus + " slot " + std::to_string(place.slot) + " function " + std::to_string(place.function);
}

}  // namespace

Devices::Devices(Q35& board, hypervisor::Hypervisor& hypervisor, Backends& backends, loop::Loop& loop, unsigned cpus,
                 std::function<void(const std::string&)> deleted)
    : board_(board),
      hypervisor_(hypervisor),
      backends_(backends),
      loop_(loop),
      cpus_(cpus),
      deleted_(std::move(deleted)) {}

/// What is behind a root port goes before it.
Devices::~Devices() {
  std::erase_if(functions_, [](const auto& one) { return one.second.port != nullptr; });
}

void Devices::add(const cmdline::Device& config, bool running) {
  std::visit(
      [&](const auto& one) {
        if (contains(one.id)) throw std::invalid_argument("there is a device '" + one.id + "' already");
        make(one, running);
      },
      config);
}

void Devices::remove(const std::string& id) {
  if (const auto port = ports_.find(id); port != ports_.end()) {
    port->second.console->remove_port(port->second.number);
    ports_.erase(port);
    return deleted_(id);
  }
  const auto found = functions_.find(id);
  if (found == functions_.end()) throw std::invalid_argument("Device '" + id + "' not found");
  if (!found->second.port) throw std::runtime_error("Bus '" + std::string("pcie.0") + "' does not support hotplugging");
  // To press the button again within five seconds takes the request back (PCIe 5.0 §6.7.1.5).
  constexpr std::int64_t second = 1'000'000'000;
  const std::int64_t now = loop_.clock().now();
  std::optional<std::int64_t>& asked = found->second.asked;
  if (asked && now - *asked < 5 * second && found->second.port->asked()) {
    throw std::runtime_error("Device " + id + " is already in the process of unplug");
  }
  found->second.port->unplug();
  asked = now;
}

bool Devices::asked_for(const std::string& id) const {
  const auto found = functions_.find(id);
  return found != functions_.end() && found->second.port && found->second.port->asked();
}

// --- places

void Devices::plug(std::unique_ptr<pci::Function> function, const cmdline::PciPlace& place, bool running,
                   std::shared_ptr<block::Disk> disk) {
  Plugged plugged;
  plugged.disk = std::move(disk);
  plugged.function = std::move(function);  // both from here on: the disk goes last, whatever comes
  plugged.devfn = place.slot << 3 | place.function;
  if (place.bus == "pcie.0") {
    plugged.bus = &board_.pci();
    if (running) throw std::runtime_error("Bus 'pcie.0' does not support hotplugging");
  } else {
    const auto found = functions_.find(place.bus);
    plugged.port = found == functions_.end() ? nullptr : dynamic_cast<pci::RootPort*>(found->second.function.get());
    if (!plugged.port) throw std::invalid_argument("there is no bus '" + place.bus + "'");
    plugged.bus = &plugged.port->secondary();
  }
  if (const pci::Function* const there = plugged.bus->at(plugged.devfn)) {
    throw std::invalid_argument(place_name(place) + " is taken by '" + there->id() + "'");
  }
  if (place.multifunction) {
    constexpr std::uint8_t multifunction = 0x80;
    plugged.function->config().set_bits<std::uint8_t>(pci::reg::header_type, multifunction, true);
  }
  const std::string id = plugged.function->id();
  plugged.bus->add(plugged.devfn, *plugged.function);
  if (plugged.port) plugged.port->plug(running);
  functions_.emplace(id, std::move(plugged));
}

/// The guest has turned off the power of what is behind a root port.
void Devices::unplugged(const std::string& port) {
  for (auto& [id, one] : functions_) {
    if (one.port && one.port->id() == port) one.leaving = true;
  }
  loop_.post([this] { take_away(); });  // not on the back of the access that did it
}

void Devices::take_away() {
  std::vector<std::string> gone;
  for (const auto& [id, one] : functions_) {
    if (one.leaving) gone.push_back(id);
  }
  for (const std::string& id : gone) {
    Plugged& one = functions_.at(id);
    pci::RootPort& from = *one.port;
    one.bus->remove(one.devfn);
    if (const auto console = consoles_.find(id); console != consoles_.end()) {
      std::vector<std::string> behind;
      for (const auto& [name, place] : ports_) {
        if (place.console == console->second) behind.push_back(name);
      }
      for (const std::string& name : behind) {
        ports_.erase(name);
        deleted_(name);
      }
      consoles_.erase(console);
    }
    functions_.erase(id);
    from.emptied();
    deleted_(id);
  }
}

/// Calls `act` with a loop's lock held; the main loop's is held already.
template <class Act>
auto Devices::locked(loop::Loop& loop, Act act) const {
  if (&loop == &loop_) return act();
  const base::Lock lock(loop.mutex());
  return act();
}

loop::Loop& Devices::loop_of(const std::string& iothread) {
  return iothread.empty() ? loop_ : backends_.iothread(iothread).loop();
}

std::unique_ptr<pci::Function> Devices::transport(const std::string& id, std::unique_ptr<virtio::Device> device,
                                                  loop::Loop& loop) {
  return std::make_unique<virtio::PciTransport>(id, std::move(device), board_.memory(), hypervisor_, loop_, loop);
}

// --- one function a kind

void Devices::make(const cmdline::RootPort& config, bool running) {
  if (config.place.bus != "pcie.0")
    throw std::invalid_argument("a root port is on pcie.0, not on '" + config.place.bus + "'");
  plug(std::make_unique<pci::RootPort>(pci::RootPortConfig{config.id, config.port, config.chassis}, board_.pci(),
                                       config.place.slot, [this, id = config.id] { unplugged(id); }),
       config.place, running);
}

void Devices::make(const cmdline::VirtioSerial& config, bool running) {
  auto console = std::make_unique<virtio::Console>(virtio::ConsoleConfig{.max_ports = config.max_ports});
  virtio::Console* const raw = console.get();
  plug(transport(config.id, std::move(console), loop_), config.place, running);
  consoles_[config.id] = raw;
}

void Devices::make(const cmdline::SerialPort& config, bool) {
  // The original names no controller: there is one.
  std::string_view controller = config.bus;
  if (constexpr std::string_view bus = ".0"; controller.ends_with(bus)) controller.remove_suffix(bus.size());
  if (controller.empty() && consoles_.size() == 1) controller = consoles_.begin()->first;
  const auto found = consoles_.find(std::string(controller));
  if (found == consoles_.end()) {
    throw std::invalid_argument(config.bus.empty() ? "'" + config.id + "' needs one virtio-serial-pci"
                                                   : "there is no bus '" + config.bus + "'");
  }
  chardev::Chardev& chardev = backends_.chardev(config.chardev);
  // Port 0 is left to a console, which drivers without several ports know.
  unsigned number = config.number.value_or(config.console ? 0 : 1);
  const std::string& name = config.console || !config.name.empty() ? config.name : config.id;
  while (!found->second->add_port(number, chardev, config.console, name)) {
    if (config.number) throw std::invalid_argument("port " + std::to_string(number) + " is taken or is none");
    if (++number > 31) throw std::invalid_argument("'" + found->first + "' has no free port");
  }
  ports_.emplace(config.id, Port{found->second, number, config.chardev});
}

std::shared_ptr<block::Disk> Devices::open_disk(const cmdline::Drive& drive, loop::Loop& loop) {
  using Aio = cmdline::Drive::Aio;
  using From = cmdline::Drive::Detect;
  using To = block::RawFileConfig::Detect;
  return locked(loop, [&] {
    return std::shared_ptr<block::Disk>(
        new block::RawFile({.path = drive.file,
                            .fd = drive.fd < 0 ? base::UniqueFd() : open_named(drive.file, O_RDWR),
                            .read_only = drive.read_only,
                            .direct = drive.direct,
                            .discard = drive.discard,
                            .share = drive.share,
                            .no_flush = drive.no_flush,
                            .use_io_uring = drive.aio != Aio::threads,
                            .detect_zeroes = drive.detect_zeroes == From::off  ? To::off
                                             : drive.detect_zeroes == From::on ? To::on
                                                                               : To::unmap,
                            .iops_total = drive.iops_total},
                           loop),
        [this, &loop](block::Disk* disk) { locked(loop, [disk] { delete disk; }); });
  });
}

void Devices::make(const cmdline::VirtioBlk& config, bool running) {
  cmdline::Drive& drive = Backends::find(backends_.drives, "drive", config.drive);
  for (const auto& [id, one] : functions_) {
    if (one.drive == drive.id) throw std::invalid_argument("drive '" + drive.id + "' is used by '" + id + "'");
  }
  if (drive.fd < 0 && cmdline::descriptor_of(drive.file) >= 0) {
    throw std::invalid_argument("the descriptor of drive '" + drive.id + "' went with the device before");
  }
  loop::Loop& loop = loop_of(config.iothread);
  std::shared_ptr<block::Disk> disk = open_disk(drive, loop);
  auto device = std::make_unique<virtio::Blk>(
      virtio::BlkConfig{.queues = config.queues ? config.queues : std::min(cpus_, most_queues),
                        .queue_size = static_cast<std::uint16_t>(config.queue_size),
                        .serial = config.serial,
                        .write_zeroes = drive.discard || drive.detect_zeroes != cmdline::Drive::Detect::off},
      *disk);
  plug(transport(config.id, std::move(device), loop), config.place, running, std::move(disk));
  functions_.at(config.id).drive = drive.id;
  const base::UniqueFd spent(std::exchange(drive.fd, -1));  // the disk has its own
}

void Devices::each_disk(
    const std::function<void(const std::string&, const std::string&, const block::Disk&)>& visit) const {
  for (const auto& function : functions_) {
    const auto& one = function.second;
    if (!one.disk) continue;
    loop::Loop& loop = dynamic_cast<virtio::PciTransport&>(*one.function).loop();
    locked(loop, [&] { visit(function.first, one.drive, *one.disk); });
  }
}

bool Devices::limit(const std::string& id, std::uint64_t iops) const {
  for (const auto& function : functions_) {
    const auto& one = function.second;
    if (!one.disk || (function.first != id && one.drive != id)) continue;
    locked(dynamic_cast<virtio::PciTransport&>(*one.function).loop(), [&] { one.disk->limit(iops); });
    return true;
  }
  return false;
}

std::optional<bool> Devices::opened(const std::string& chardev) const {
  for (const auto& [id, port] : ports_) {
    if (port.chardev == chardev) return port.console->opened(port.number);
  }
  return {};
}

std::vector<std::string> Devices::ids() const {
  std::vector<std::string> all;
  all.reserve(functions_.size() + ports_.size());
  for (const auto& one : functions_) all.push_back(one.first);
  for (const auto& one : ports_) all.push_back(one.first);
  return all;
}

void Devices::make(const cmdline::VirtioRng& config, bool running) {
  const cmdline::RngBackend& backend = Backends::find(backends_.rngs, "rng", config.rng);
  auto device =
      std::make_unique<virtio::Rng>(virtio::RngConfig{.source = open_named(backend.file, O_RDONLY | O_NONBLOCK),
                                                      .max_bytes = config.max_bytes,
                                                      .period_ms = config.period_ms},
                                    loop_);
  plug(transport(config.id, std::move(device), loop_), config.place, running);
}

namespace {

[[noreturn]] void not_there(const std::string& id, const char* kind) {
  throw std::runtime_error("'" + id + "': this program has no " + kind);
}

}  // namespace

void Devices::make(const cmdline::VirtioNet& config, bool) {
  not_there(config.id, "virtio-net-pci");
}
void Devices::make(const cmdline::VirtioBalloon& config, bool) {
  not_there(config.id, "virtio-balloon-pci");
}
void Devices::make(const cmdline::VhostVsock& config, bool) {
  not_there(config.id, "vhost-vsock-pci");
}

}  // namespace machine
