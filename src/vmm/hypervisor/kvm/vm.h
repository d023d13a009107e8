#pragma once

#include <linux/kvm.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "base/unique_fd.h"
#include "vmm/hypervisor/hypervisor.h"

/// Linux's KVM (kernel documentation, virt/kvm/api).
namespace kvm {

/// A file descriptor's ioctl, tried again when a signal interrupts it; std::system_error naming the request.
int control(int fd, unsigned long request, unsigned long argument, const char* name);
inline int control(int fd, unsigned long request, void* argument, const char* name) {
  return control(fd, request, reinterpret_cast<unsigned long>(argument), name);
}

class Vm : public hypervisor::Hypervisor {
 public:
  static constexpr unsigned pins = 24;  ///< inputs of the IOAPIC, gsi 0 and up

  /// Opens /dev/kvm and makes a machine with an interrupt controller in the kernel. Throws std::system_error, and
  /// std::runtime_error naming what the host's KVM lacks.
  Vm();

  std::unique_ptr<hypervisor::MappedMemory> map(std::uint64_t address, std::span<std::uint8_t> bytes,
                                                bool read_only) override;
  std::unique_ptr<hypervisor::WriteEvent> on_write(std::uint64_t address, unsigned size,
                                                   std::optional<std::uint64_t> value, int eventfd) override;
  void set_line(unsigned gsi, bool high) override;
  std::unique_ptr<irq::Message> make_message() override;
  /// The guest's clock of this hypervisor stands still from one to the other. While no vCPU runs.
  void stop_clock();
  void start_clock();
  /// Puts the interrupt controllers and the interval timer back to how they were made. While no vCPU runs.
  void reset();

  int fd() const { return vm_.get(); }
  int kvm_fd() const { return kvm_.get(); }
  std::size_t run_size() const { return run_size_; }

 private:
  class Message;
  friend class Message;
  struct Route {
    std::uint64_t address = 0;
    std::uint32_t data = 0;
  };
  unsigned allocate_gsi();
  void free_gsi(unsigned gsi);
  void route(unsigned gsi, const Route& message);
  void commit_routes() REQUIRES(mutex_);

  base::UniqueFd kvm_, vm_;
  std::array<kvm_irqchip, 3> chips_{};  ///< as they were made
  kvm_pit_state2 pit_{};
  std::optional<std::uint64_t> stopped_at_;  ///< ns of the clock
  std::size_t run_size_ = 0;
  base::Mutex mutex_;
  std::map<unsigned, Route> routes_ GUARDED_BY(mutex_);
  std::vector<bool> slots_ GUARDED_BY(mutex_);
  unsigned most_slots_ = 0, most_gsis_ = 0;

  friend class Slot;
};

}  // namespace kvm
