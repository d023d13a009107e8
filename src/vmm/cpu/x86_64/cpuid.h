#pragma once

#include <cstdint>
#include <vector>

#include "vmm/hypervisor/kvm/vcpu.h"

namespace cpu {

/// How vCPUs are grouped; each at least 1, their product the number of vCPUs.
struct Topology {
  unsigned sockets = 1, dies = 1, cores = 1, threads = 1;

  /// Bits of an APIC id below the core, the die and the package.
  unsigned core_shift() const;
  unsigned die_shift() const;
  unsigned package_shift() const;
  std::uint32_t apic_id(unsigned index) const;
};

/// The processor as KVM can give it, with the topology of the machine (Intel SDM vol. 2 CPUID, AMD APM vol. 3 appendix
/// E). Throws std::system_error.
class Cpuid {
 public:
  Cpuid(const kvm::Vm& vm, const Topology& topology);
  void apply(const kvm::Vcpu& vcpu) const;

 private:
  std::vector<kvm_cpuid_entry2> for_vcpu(unsigned index) const;
  Topology topology_;
  std::vector<kvm_cpuid_entry2> supported_;
};

}  // namespace cpu
