#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "vmm/bus/bus.h"
#include "vmm/irq/irq.h"
#include "vmm/pci/config_space.h"
#include "vmm/pci/msix.h"

namespace pci {

/// What a function says it is.
struct Identity {
  std::uint16_t vendor, device;
  std::uint32_t class_code;  ///< class, subclass, programming interface
  std::uint8_t revision = 0;
  std::uint16_t subsystem_vendor = 0, subsystem = 0;
  std::uint8_t interrupt_pin = 0;  ///< 1: INTA#; 0: none
};

/// What a function is connected to.
struct Connection {
  bus::Bus& memory;
  bus::Bus& ports;
  irq::Controller& interrupts;
  std::function<void(bool high)> intx;  ///< its pin; from any thread
};

/// One PCI function: configuration, base address registers, interrupts. A device derives from it, or is given one. Used
/// with the main loop's lock held, but for what says otherwise.
class Function {
 public:
  enum class Space { io, memory32, memory64 };
  /// A base address register's block. `moved` is told where the block answers now, nothing while it answers nowhere.
  struct Bar {
    Space space = Space::memory32;
    std::uint64_t size = 0;  ///< bytes, a power of two
    bus::Handler* handler = nullptr;
    std::function<void(std::optional<std::uint64_t>)> moved = {};
  };

  Function(std::string id, const Identity& identity);
  virtual ~Function() = default;
  Function(const Function&) = delete;
  Function& operator=(const Function&) = delete;

  const std::string& id() const { return id_; }
  ConfigSpace& config() { return config_; }
  const ConfigSpace& config() const { return config_; }

  void set_bar(unsigned index, Bar bar);
  /// MSI-X with its table and its pending bits at `table` and `pending` in a block that the caller's handler of
  /// `bar` hands on to.
  Msix& add_msix(unsigned vectors, unsigned bar, std::uint32_t table, std::uint32_t pending, std::uint8_t at = 0);
  Msix* msix() { return msix_.get(); }

  virtual void connect(Connection connection);
  /// The guest sees it no longer.
  virtual void disconnect();
  virtual void read_config(std::uint64_t offset, std::span<std::uint8_t> value);
  virtual void write_config(std::uint64_t offset, std::span<const std::uint8_t> value);
  /// As after power-on (PCIe 5.0 §6.6).
  virtual void reset();

  /// The level of its interrupt pin, which the guest may have turned off. From any thread.
  void set_intx(bool high);

 private:
  static constexpr unsigned bars = 6;
  struct Placed {
    Bar bar;
    std::optional<std::uint64_t> address;
    bus::Bus::Place place;
  };
  std::optional<std::uint64_t> decoded(unsigned index) const;
  void place_bars();
  void drive_intx();

  std::string id_;
  ConfigSpace config_;
  std::array<Placed, bars> bars_;
  std::unique_ptr<Msix> msix_;
  std::uint8_t msix_offset_ = 0;
  std::optional<Connection> connection_;
  base::Mutex intx_mutex_;
  bool intx_wanted_ GUARDED_BY(intx_mutex_) = false;
  bool intx_driven_ GUARDED_BY(intx_mutex_) = false;
  bool intx_disabled_ GUARDED_BY(intx_mutex_) = false;
};

}  // namespace pci
