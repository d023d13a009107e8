#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vmm/bus/bus.h"
#include "vmm/hypervisor/hypervisor.h"
#include "vmm/loop/loop.h"
#include "vmm/machine/interrupt_lines.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/pci/bus.h"
#include "vmm/platform/panic.h"
#include "vmm/platform/power.h"
#include "vmm/platform/reset_ports.h"
#include "vmm/platform/rtc.h"
#include "vmm/platform/serial.h"

namespace machine {

/// What the board tells the machine. Called with the main loop's lock held, some of it on a vCPU's thread.
struct BoardEvents {
  std::function<void()> power_off, reset;
  std::function<void(platform::Panic::Event)> panic;
};

/// RAM at the board's addresses, which can be filled before there is a board around it.
class Ram {
 public:
  /// Throws std::system_error.
  explicit Ram(const memory::Backend& backend);

  const memory::GuestMemory& memory() const { return memory_; }
  std::uint64_t low() const { return low_; }  ///< bytes below 4 GiB
  std::uint64_t high() const { return mapping_.bytes().size() - low_; }
  bool blank() const { return mapping_.blank(); }

 private:
  memory::Mapping mapping_;
  std::uint64_t low_;
  memory::GuestMemory memory_;
};

/// A q35 board: memory, the buses, and what is soldered on. No vCPU and nothing that can be plugged.
class Q35 {
 public:
  /// Throws std::system_error.
  Q35(hypervisor::Hypervisor& hypervisor, loop::Loop& loop, const Ram& ram, BoardEvents events);

  const memory::GuestMemory& memory() const { return ram_.memory(); }
  bus::Bus& memory_bus() { return memory_bus_; }
  bus::Bus& ports() { return ports_; }
  pci::Bus& pci() { return pci_; }

  void add_serial(chardev::Chardev& chardev);
  void press_power_button() { power_.press_button(); }
  /// All that is on the board or on its buses, as after power-on.
  void reset();

 private:
  hypervisor::Hypervisor& hypervisor_;
  const Ram& ram_;
  std::vector<std::unique_ptr<hypervisor::MappedMemory>> slots_;
  bus::Bus memory_bus_, ports_;
  InterruptLines lines_;
  pci::Bus pci_;
  pci::RootComplex root_complex_;
  pci::Function host_bridge_, isa_bridge_;
  platform::Power power_;
  platform::ResetControl reset_control_;
  platform::KeyboardController keyboard_;
  platform::Rtc rtc_;
  platform::Panic panic_;
  std::optional<platform::Serial> serial_;
  std::vector<bus::Bus::Place> places_;
};

}  // namespace machine
