#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "vmm/pci/bus.h"

namespace pci {

struct RootPortConfig {
  std::string id;
  std::uint8_t port = 0;      ///< number in the link capabilities
  std::uint16_t chassis = 0;  ///< physical slot number
};

/// A PCI Express root port with a slot that can be plugged while the guest runs (PCIe 5.0 §6.7, §7.5.3; PCI-to-PCI
/// Bridge 1.2). A device behind it is at slot 0.
class RootPort : public Function, private bus::Handler {
 public:
  /// `memory` and `ports` are the machine's; the bus behind the port shares them. `unplugged` is told when the guest
  /// has turned the slot's power off after unplug().
  RootPort(const RootPortConfig& config, Bus& parent, unsigned slot, std::function<void()> unplugged);

  Bus& secondary() { return secondary_; }
  /// The bus number behind the port, as the guest assigned it; 0 before.
  unsigned secondary_number() const;

  /// Says that slot 0 is populated now. `running`: the guest is to be told.
  void plug(bool running);
  /// Presses the attention button: the guest is asked to let the device go; without power it goes unasked. Throws
  /// std::runtime_error while the guest is about to power the slot up or down.
  void unplug();
  /// Whether it has been asked, and has neither let the device go, nor begun anew, nor said that the device stays: its
  /// power indicator is on.
  bool asked() const { return removing_ && !declined_; }
  /// The device has gone.
  void emptied();

  void write_config(std::uint64_t offset, std::span<const std::uint8_t> value) override;
  void reset() override;

 private:
  void read(std::uint64_t offset, std::span<std::uint8_t> value) override;
  void write(std::uint64_t offset, std::span<const std::uint8_t> value) override;
  void slot_event(std::uint16_t events);
  void notify();
  void reset_secondary();
  bool occupied() const { return secondary_.at(0) != nullptr; }

  Bus secondary_;
  std::function<void()> unplugged_;
  std::uint8_t express_ = 0;
  bool removing_ = false, declined_ = false;
};

}  // namespace pci
