#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/unique_fd.h"
#include "vmm/hypervisor/kvm/vm.h"

namespace kvm {

/// Why a vCPU stopped running the guest.
struct PortAccess {
  std::uint16_t port;
  bool write;
  std::uint8_t size;             ///< of one access, 1, 2 or 4
  std::span<std::uint8_t> data;  ///< of all of them, one after the other
};
struct MemoryAccess {
  std::uint64_t address;
  bool write;
  std::span<std::uint8_t> data;
};
struct Interrupted {};  ///< kicked
struct Shutdown {};     ///< a triple fault: the machine resets
struct Failed {
  std::string why;
};
using Exit = std::variant<PortAccess, MemoryAccess, Interrupted, Shutdown, Failed>;

/// One vCPU; run() belongs to its own thread.
class Vcpu {
 public:
  /// `apic_id` is the number that its interrupt controller has. Throws std::system_error.
  Vcpu(const Vm& vm, unsigned index, std::uint32_t apic_id);
  Vcpu(const Vcpu&) = delete;
  Vcpu& operator=(const Vcpu&) = delete;
  ~Vcpu();

  /// Runs the guest until something is to be done. What an access before it read must be in its data.
  Exit run();
  /// Makes run() return at once from now on until it is false again, once the access that it ended with before is
  /// complete; from any thread, together with a signal to that one.
  void set_immediate_exit(bool yes) { __atomic_store_n(&run_->immediate_exit, yes ? 1 : 0, __ATOMIC_RELAXED); }

  /// Tells a guest that reads KVM's clock that it has been paused; of one that does not run.
  void tell_paused() const;
  /// Whether it waits for an interrupt, or to be started by another one; of one that does not run.
  bool halted() const;

  int fd() const { return fd_.get(); }
  unsigned index() const { return index_; }

 private:
  unsigned index_;
  base::UniqueFd fd_;
  std::size_t size_;
  kvm_run* run_;
};

}  // namespace kvm
