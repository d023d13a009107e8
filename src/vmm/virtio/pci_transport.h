#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "vmm/hypervisor/hypervisor.h"
#include "vmm/pci/function.h"
#include "vmm/virtio/device.h"
#include "vmm/virtio/pci_registers.h"

namespace virtio {

/// A virtio device as a PCI function (Virtio 1.2 §4.1, the modern interface only). The guest's accesses come with the
/// main loop's lock held; the device is called with its own loop's as well.
class PciTransport : public pci::Function, private Interrupt {
 public:
  /// `loop` is the device's, `main` the machine's; they may be the same.
  PciTransport(std::string id, std::unique_ptr<Device> device, const memory::GuestMemory& memory,
               hypervisor::Hypervisor& hypervisor, loop::Loop& main, loop::Loop& loop);
  ~PciTransport() override;

  Device& device() { return *device_; }
  loop::Loop& loop() { return loop_; }

  void disconnect() override;
  void read_config(std::uint64_t offset, std::span<std::uint8_t> value) override;
  void write_config(std::uint64_t offset, std::span<const std::uint8_t> value) override;
  void reset() override;

 private:
  /// What the driver says of a queue before it is used.
  struct QueueState {
    std::uint16_t size = 0;
    std::atomic<std::uint16_t> vector = 0xffff;
    bool enabled = false;
    std::uint64_t descriptors = 0, available = 0, used = 0;
    base::UniqueFd notify;
    loop::Watch watch;
    std::unique_ptr<hypervisor::WriteEvent> event;
  };
  /// One of the two BARs.
  struct Block : bus::Handler {
    using Read = void (PciTransport::*)(std::uint64_t, std::span<std::uint8_t>);
    using Write = void (PciTransport::*)(std::uint64_t, std::span<const std::uint8_t>);
    Block(PciTransport& owner, Read read_it, Write write_it) : transport(owner), reader(read_it), writer(write_it) {}
    void read(std::uint64_t offset, std::span<std::uint8_t> value) override { (transport.*reader)(offset, value); }
    void write(std::uint64_t offset, std::span<const std::uint8_t> value) override {
      (transport.*writer)(offset, value);
    }
    PciTransport& transport;
    Read reader;
    Write writer;
  };

  void queue(unsigned index) override;
  void config() override;
  void needs_reset() override;
  int queue_eventfd(unsigned index) override;

  void read_registers(std::uint64_t offset, std::span<std::uint8_t> value);
  void write_registers(std::uint64_t offset, std::span<const std::uint8_t> value);
  void read_msix(std::uint64_t offset, std::span<std::uint8_t> value);
  void write_msix(std::uint64_t offset, std::span<const std::uint8_t> value);
  std::uint64_t load_common(pci_layout::Common id);
  void store_common(pci_layout::Common id, std::uint64_t value, std::uint64_t mask);
  void store_queue(pci_layout::Common id, std::uint64_t value, std::uint64_t mask);
  void set_status(std::uint8_t value);
  void activate();
  void reset_device();
  void notify(unsigned index);
  void place_events(std::optional<std::uint64_t> registers);
  void update_events();
  void interrupt(std::uint8_t isr, std::uint16_t vector);
  std::uint8_t take_isr();
  std::uint16_t valid_vector(std::uint64_t vector) const;
  void window_access(bool write);
  template <class Act>
  auto with_device(Act act);

  std::unique_ptr<Device> device_;
  const memory::GuestMemory& memory_;
  hypervisor::Hypervisor& hypervisor_;
  loop::Loop& main_;
  loop::Loop& loop_;
  Block registers_, msix_block_;
  std::optional<std::uint64_t> registers_address_;

  base::Mutex isr_mutex_;  ///< keeps the pin's level to what the ISR says
  std::uint8_t isr_ GUARDED_BY(isr_mutex_) = 0;
  std::atomic<std::uint8_t> status_ = 0, generation_ = 0;
  std::atomic<std::uint16_t> config_vector_ = 0xffff;
  std::uint32_t device_feature_select_ = 0, driver_feature_select_ = 0;
  std::uint64_t driver_features_ = 0;
  std::uint16_t queue_select_ = 0;
  std::vector<QueueState> queues_;
};

}  // namespace virtio
