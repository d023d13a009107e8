#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <vector>

#include "vmm/hypervisor/kvm/vcpu.h"

namespace cpu {

/// How the first vCPU enters a kernel that is in memory, with no firmware before it.
struct Entry {
  enum class Mode {
    reset,           ///< at the reset vector, in real mode: firmware
    long_mode,       ///< paging on (Linux/x86 boot protocol, "64-bit")
    protected_mode,  ///< 32 bits, flat, paging off (the PVH ABI)
  };
  Mode mode = Mode::reset;
  std::uint64_t instruction = 0;
  std::uint64_t argument = 0;     ///< in RSI for long mode, in EBX for PVH
  std::uint64_t page_tables = 0;  ///< for long mode
  std::uint64_t gdt = 0;          ///< where gdt_entries() lie in guest memory
};

/// The descriptors that Entry's modes refer to; four of eight bytes.
std::vector<std::uint64_t> gdt_entries(Entry::Mode mode);

/// A vCPU's state after power-on, read before it ever ran, to go back to at each reset.
class PowerOnState {
 public:
  /// Throws std::system_error.
  explicit PowerOnState(const kvm::Vcpu& vcpu);
  /// Puts the vCPU back; `entry` is for the first one, the others wait for it to start them.
  void restore(const kvm::Vcpu& vcpu, const Entry* entry) const;

 private:
  kvm_regs regs_{};
  kvm_sregs sregs_{};
  kvm_fpu fpu_{};
  kvm_lapic_state lapic_{};
  kvm_vcpu_events events_{};
  kvm_debugregs debug_{};
  kvm_xcrs xcrs_{};
  kvm_mp_state mp_{};
};

}  // namespace cpu
