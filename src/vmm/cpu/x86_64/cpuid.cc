#include "vmm/cpu/x86_64/cpuid.h"

#include <algorithm>
#include <bit>

#include "vmm/hypervisor/kvm/lists.h"

namespace cpu {
namespace {

/// The bits that number `count` things.
unsigned bits_for(unsigned count) {
  return static_cast<unsigned>(std::bit_width(count - 1));
}

void set_bits(std::uint32_t& word, unsigned low, unsigned count, std::uint32_t value) {
  const std::uint32_t mask = (count == 32 ? ~0U : (1U << count) - 1) << low;
  word = (word & ~mask) | (value << low & mask);
}

constexpr std::uint32_t amd_topology = 0x8000001e;

/// Levels of leaves 0xb and 0x1f.
enum Level : std::uint32_t { invalid = 0, smt = 1, core = 2, die = 5 };

}  // namespace

unsigned Topology::core_shift() const {
  return bits_for(threads);
}
unsigned Topology::die_shift() const {
  return core_shift() + bits_for(cores);
}
unsigned Topology::package_shift() const {
  return die_shift() + bits_for(dies);
}

std::uint32_t Topology::apic_id(unsigned index) const {
  const unsigned thread = index % threads, core_number = index / threads % cores;
  const unsigned die_number = index / (threads * cores) % dies, socket = index / (threads * cores * dies);
  return thread | core_number << core_shift() | die_number << die_shift() | socket << package_shift();
}

Cpuid::Cpuid(const kvm::Vm& vm, const Topology& topology) : topology_(topology) {
  constexpr std::size_t most = 256;  // KVM_MAX_CPUID_ENTRIES
  std::vector<std::uint8_t> buffer = kvm::to_bytes(std::vector<kvm_cpuid_entry2>(most));
  kvm::control(vm.kvm_fd(), kvm::get_supported_cpuid, buffer.data(), "KVM_GET_SUPPORTED_CPUID");
  supported_ = kvm::from_bytes<kvm_cpuid_entry2>(buffer);
  // Levels of topology are made anew for each vCPU. A kernel that read of encrypted memory would ask a register for it
  // that a guest without has not.
  constexpr std::uint32_t encryption = 0x8000001f;
  std::erase_if(supported_, [](const kvm_cpuid_entry2& one) {
    return one.function == 0xb || one.function == 0x1f || one.function == encryption;
  });
}

std::vector<kvm_cpuid_entry2> Cpuid::for_vcpu(unsigned index) const {
  const std::uint32_t id = topology_.apic_id(index);
  const unsigned in_package = topology_.dies * topology_.cores * topology_.threads;
  std::vector<kvm_cpuid_entry2> entries = supported_;
  std::uint32_t highest = 0;
  bool amd = false, threaded_amd = false;
  for (kvm_cpuid_entry2& one : entries) {
    switch (one.function) {
      case 0:
        highest = one.eax;
        amd = one.ebx == 0x68747541 || one.ebx == 0x6f677948;  // "Auth"enticAMD, "Hygo"nGenuine
        threaded_amd = amd && topology_.threads > 1;
        break;
      case 1:
        set_bits(one.ebx, 24, 8, id);
        set_bits(one.ebx, 16, 8, std::min(1U << topology_.package_shift(), 255U));
        set_bits(one.ebx, 8, 8, 8);                // CLFLUSH lines of 64 bytes
        set_bits(one.ecx, 31, 1, 1);               // a hypervisor is there
        set_bits(one.ecx, 24, 1, 1);               // TSC deadline timer, which KVM's own interrupt controller has
        set_bits(one.edx, 28, 1, in_package > 1);  // more than one in a package
        break;
      case 4:
        if ((one.eax & 0x1f) == 0) break;  // no cache
        set_bits(one.eax, 26, 6, std::min((1U << (topology_.package_shift() - topology_.core_shift())) - 1, 63U));
        // The first two levels are a core's own.
        set_bits(one.eax, 14, 12,
                 (one.eax >> 5 & 7) < 3 ? (1U << topology_.core_shift()) - 1 : (1U << topology_.die_shift()) - 1);
        break;
      case 0x80000000:
        if (threaded_amd) one.eax = std::max(one.eax, amd_topology);
        break;
      case 0x80000001:
        set_bits(one.ecx, 1, 1, amd && in_package > 1);  // the legacy way to count cores
        if (threaded_amd) set_bits(one.ecx, 22, 1, 1);   // the new one, which alone tells of threads
        break;
      case 0x80000008:
        set_bits(one.ecx, 0, 8, in_package - 1);
        set_bits(one.ecx, 12, 4, topology_.package_shift());
        break;
      case 0x8000001d:
        if ((one.eax & 0x1f) == 0) break;
        set_bits(one.eax, 14, 12,
                 (one.eax >> 5 & 7) < 3 ? topology_.threads - 1 : topology_.cores * topology_.threads - 1);
        break;
      case amd_topology:
        one.eax = id;
        one.ebx = (id >> topology_.core_shift()) | (topology_.threads - 1) << 8;
        one.ecx = id >> topology_.die_shift() & ((1U << (topology_.package_shift() - topology_.die_shift())) - 1);
        set_bits(one.ecx, 8, 3, topology_.dies - 1);
        break;
      default: break;
    }
  }
  const auto add_levels = [&](std::uint32_t function, bool with_dies) {
    const unsigned core_top = with_dies ? topology_.die_shift() : topology_.package_shift();
    struct {
      std::uint32_t type;
      unsigned shift, count;
    } levels[] = {{smt, topology_.core_shift(), topology_.threads},
                  {core, core_top, with_dies ? topology_.cores * topology_.threads : in_package},
                  {with_dies ? die : invalid, with_dies ? topology_.package_shift() : 0, with_dies ? in_package : 0},
                  {invalid, 0, 0}};
    for (std::uint32_t level = 0; level < (with_dies ? 4U : 3U); ++level) {
      kvm_cpuid_entry2 entry{};
      entry.function = function;
      entry.index = level;
      entry.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
      entry.eax = levels[level].shift;
      entry.ebx = levels[level].count;
      entry.ecx = level | levels[level].type << 8;
      entry.edx = id;
      entries.push_back(entry);
    }
  };
  if (highest >= 0xb) add_levels(0xb, false);
  if (highest >= 0x1f && topology_.dies > 1) add_levels(0x1f, true);
  return entries;
}

void Cpuid::apply(const kvm::Vcpu& vcpu) const {
  std::vector<std::uint8_t> buffer = kvm::to_bytes(for_vcpu(vcpu.index()));
  kvm::control(vcpu.fd(), kvm::set_cpuid2, buffer.data(), "KVM_SET_CPUID2");
}

}  // namespace cpu
