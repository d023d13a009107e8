#include "vmm/machine/q35.h"

#include <algorithm>
#include <ctime>

namespace machine {
namespace {

using namespace q35;

constexpr pci::Identity host_bridge{.vendor = 0x8086, .device = 0x29c0, .class_code = 0x060000};
constexpr pci::Identity isa_bridge{.vendor = 0x8086, .device = 0x2918, .class_code = 0x060100, .revision = 2};
constexpr unsigned isa_devfn = 0x1f << 3;

/// The host's UTC in ns since 1970; under a test's clock that of the start, and as much as was stepped since.
std::function<std::int64_t()> time_of_day(const loop::Clock& clock) {
  const auto now = [] {
    timespec time{};
    ::clock_gettime(CLOCK_REALTIME, &time);
    return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
  };
  if (!clock.simulated()) return now;
  return [&clock, start = now() - clock.now()] { return start + clock.now(); };
}

}  // namespace

Ram::Ram(const memory::Backend& backend) : mapping_(backend), low_(std::min(backend.size, low_ram_end)) {
  memory_.add({0, mapping_.bytes().first(low_), mapping_.fd(), 0});
  if (high() > 0) memory_.add({high_ram, mapping_.bytes().subspan(low_), mapping_.fd(), low_});
}

Q35::Q35(hypervisor::Hypervisor& hypervisor, loop::Loop& loop, const Ram& ram, BoardEvents events)
    : hypervisor_(hypervisor),
      ram_(ram),
      lines_(hypervisor),
      pci_(memory_bus_, ports_, hypervisor,
           [this](unsigned slot, unsigned pin, bool high) { lines_.set(slot, pin, high); }),
      root_complex_(pci_),
      host_bridge_("host-bridge", host_bridge),
      isa_bridge_("isa-bridge", isa_bridge),
      power_(
          loop, [this](bool high) { hypervisor_.set_line(sci_gsi, high); }, std::move(events.power_off)),
      reset_control_(events.reset),
      keyboard_(std::move(events.reset)),
      rtc_(loop, {time_of_day(loop.clock()), [this](bool high) { hypervisor_.set_line(rtc_gsi, high); }}, ram.low(),
           ram.high()),
      panic_(std::move(events.panic)) {
  for (const auto& region : memory().regions()) slots_.push_back(hypervisor_.map(region.address, region.bytes, false));

  const auto port = [this](std::uint64_t base, std::uint64_t size, bus::Handler& handler) {
    places_.push_back(ports_.place(base, size, handler));
  };
  port(config_ports, pci::RootComplex::port_count, root_complex_.ports());
  port(reset_port, 1, reset_control_);
  port(keyboard_ports, platform::KeyboardController::size, keyboard_);
  port(rtc_ports, 2, rtc_);
  port(panic_port, 1, panic_);
  port(power_ports, platform::Power::size, power_);
  places_.push_back(memory_bus_.place(ecam, ecam_size, root_complex_.memory()));

  // The ISA bridge is one function of several in its slot on a real board.
  pci_.add(0, host_bridge_);
  pci_.add(isa_devfn, isa_bridge_);
}

void Q35::add_serial(chardev::Chardev& chardev) {
  serial_.emplace(chardev, [this](bool high) { hypervisor_.set_line(serial_gsi, high); });
  places_.push_back(ports_.place(serial_ports, 8, *serial_));
}

void Q35::reset() {
  pci_.each([](pci::Function& function) { function.reset(); });
  root_complex_.reset();
  power_.reset();
  rtc_.reset();
  if (serial_) serial_->reset();
}

}  // namespace machine
