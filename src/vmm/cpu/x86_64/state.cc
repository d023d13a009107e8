#include "vmm/cpu/x86_64/state.h"

#include <sys/ioctl.h>

#include <cstring>
#include <span>

#include "vmm/hypervisor/kvm/lists.h"

namespace cpu {
namespace {

constexpr std::uint64_t cr0_pe = 1, cr0_et = 1 << 4, cr0_pg = std::uint64_t{1} << 31;
constexpr std::uint64_t cr4_pae = 1 << 5;
constexpr std::uint64_t efer_lme = 1 << 8, efer_lma = 1 << 10;
constexpr std::uint16_t code_selector = 0x10, data_selector = 0x18, task_selector = 0x20;

/// Segment descriptors: access byte and flags (Intel SDM vol. 3 §3.4.5).
struct Descriptor {
  std::uint8_t type;
  bool code_or_data, big, granular, long_mode;
  std::uint32_t limit;
};
constexpr Descriptor code64{0xb, true, false, true, true, 0xfffff}, code32{0xb, true, true, true, false, 0xfffff},
    data32{0x3, true, true, true, false, 0xfffff}, task{0xb, false, false, false, false, 0x67};

std::uint64_t encode(const Descriptor& one) {
  const std::uint64_t access = one.type | (one.code_or_data ? 0x10U : 0U) | 0x80U;
  const std::uint64_t flags = (one.long_mode ? 2U : 0U) | (one.big ? 4U : 0U) | (one.granular ? 8U : 0U);
  return (one.limit & 0xffff) | access << 40 | (std::uint64_t{one.limit} >> 16 & 0xf) << 48 | flags << 52;
}

kvm_segment segment(const Descriptor& one, std::uint16_t selector) {
  kvm_segment segment{};
  segment.limit = one.granular ? one.limit << 12 | 0xfff : one.limit;
  segment.selector = selector;
  segment.type = one.type;
  segment.present = 1;
  segment.s = one.code_or_data;
  segment.db = one.big;
  segment.g = one.granular;
  segment.l = one.long_mode;
  return segment;
}

const Descriptor& code_of(Entry::Mode mode) {
  return mode == Entry::Mode::long_mode ? code64 : code32;
}

void enter(const Entry& entry, kvm_regs& regs, kvm_sregs& sregs) {
  sregs.cs = segment(code_of(entry.mode), code_selector);
  for (kvm_segment* one : {&sregs.ds, &sregs.es, &sregs.fs, &sregs.gs, &sregs.ss})
    *one = segment(data32, data_selector);
  sregs.tr = segment(task, task_selector);
  sregs.gdt.base = entry.gdt;
  sregs.gdt.limit = static_cast<std::uint16_t>(gdt_entries(entry.mode).size() * 8 - 1);
  sregs.cr0 = cr0_pe | cr0_et;
  regs.rip = entry.instruction;
  if (entry.mode == Entry::Mode::long_mode) {
    sregs.cr0 |= cr0_pg;
    sregs.cr3 = entry.page_tables;
    sregs.cr4 |= cr4_pae;
    sregs.efer |= efer_lme | efer_lma;
    regs.rsi = entry.argument;
  } else {
    regs.rbx = entry.argument;
  }
}

struct Msr {
  std::uint32_t index;
  std::uint64_t value;
};
/// A guest in VMX operation leaves it with IA32_FEATURE_CONTROL; until then KVM refuses a CR4 without VMXE.
constexpr Msr leave_vmx[] = {{0x3a, 0}};
/// What a reset undoes beside the registers: where KVM writes into the guest's memory by itself, the time stamps, the
/// memory types, and where system calls go.
constexpr Msr reset_msrs[] = {
    // kvm-clock … steal time
    {0x4b564d00, 0},
    {0x4b564d01, 0},
    {0x4b564d02, 0},
    {0x4b564d03, 0},
    {0x4b564d04, 0},
    // its old places; the TSC
    {0x11, 0},
    {0x12, 0},
    {0x10, 0},
    // PAT (Intel SDM vol. 3 §12.12.4)
    {0x277, 0x0007'0406'0007'0406},
    // SYSENTER_CS, _ESP, _EIP
    {0x174, 0},
    {0x175, 0},
    {0x176, 0},
    // STAR, LSTAR, CSTAR, FMASK, KERNEL_GS_BASE, TSC_AUX
    {0xc0000081, 0},
    {0xc0000082, 0},
    {0xc0000083, 0},
    {0xc0000084, 0},
    {0xc0000102, 0},
    {0xc0000103, 0},
};
/// What firmware leaves to a kernel that comes without any.
constexpr Msr boot_msrs[] = {
    {0x1a0, 1},      // IA32_MISC_ENABLE: fast string operations
    {0x2ff, 0xc06},  // IA32_MTRR_DEF_TYPE: enabled, write-back
};

/// One by one: a processor that lacks one is no fault.
void set_all(const kvm::Vcpu& vcpu, std::span<const Msr> msrs) {
  for (const Msr& one : msrs) {
    kvm_msr_entry entry{};
    entry.index = one.index;
    entry.data = one.value;
    std::vector<std::uint8_t> request = kvm::to_bytes(std::vector{entry});
    ::ioctl(vcpu.fd(), kvm::set_msrs, request.data());
  }
}

/// The interrupt controller wired as on a PC: the old one's output to LINT0, NMI to LINT1 (MP specification §3.6.2.2).
void wire_local_apic(kvm_lapic_state& lapic) {
  constexpr std::size_t lint0 = 0x350, lint1 = 0x360;
  const auto put = [&](std::size_t at, std::uint32_t value) { std::memcpy(&lapic.regs[at], &value, sizeof value); };
  put(lint0, 0x700);  // ExtINT
  put(lint1, 0x400);  // NMI
}

}  // namespace

std::vector<std::uint64_t> gdt_entries(Entry::Mode mode) {
  return {0, 0, encode(code_of(mode)), encode(data32), encode(task), 0};
}

PowerOnState::PowerOnState(const kvm::Vcpu& vcpu) {
  using kvm::control;
  control(vcpu.fd(), KVM_GET_REGS, &regs_, "KVM_GET_REGS");
  control(vcpu.fd(), KVM_GET_SREGS, &sregs_, "KVM_GET_SREGS");
  control(vcpu.fd(), KVM_GET_FPU, &fpu_, "KVM_GET_FPU");
  control(vcpu.fd(), KVM_GET_LAPIC, &lapic_, "KVM_GET_LAPIC");
  control(vcpu.fd(), KVM_GET_VCPU_EVENTS, &events_, "KVM_GET_VCPU_EVENTS");
  control(vcpu.fd(), KVM_GET_DEBUGREGS, &debug_, "KVM_GET_DEBUGREGS");
  control(vcpu.fd(), KVM_GET_XCRS, &xcrs_, "KVM_GET_XCRS");
  control(vcpu.fd(), KVM_GET_MP_STATE, &mp_, "KVM_GET_MP_STATE");
}

void PowerOnState::restore(const kvm::Vcpu& vcpu, const Entry* entry) const {
  using kvm::control;
  kvm_regs regs = regs_;
  kvm_sregs sregs = sregs_;
  kvm_fpu fpu = fpu_;
  kvm_lapic_state lapic = lapic_;
  kvm_vcpu_events events = events_;
  kvm_debugregs debug = debug_;
  kvm_xcrs xcrs = xcrs_;
  kvm_mp_state mp = mp_;
  const bool first = vcpu.index() == 0;
  if (first && entry && entry->mode != Entry::Mode::reset) {
    enter(*entry, regs, sregs);
    wire_local_apic(lapic);
  }
  events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR;
  set_all(vcpu, leave_vmx);
  control(vcpu.fd(), KVM_SET_SREGS, &sregs, "KVM_SET_SREGS");
  control(vcpu.fd(), KVM_SET_REGS, &regs, "KVM_SET_REGS");
  control(vcpu.fd(), KVM_SET_FPU, &fpu, "KVM_SET_FPU");
  if (xcrs.nr_xcrs > 0) control(vcpu.fd(), KVM_SET_XCRS, &xcrs, "KVM_SET_XCRS");
  control(vcpu.fd(), KVM_SET_DEBUGREGS, &debug, "KVM_SET_DEBUGREGS");
  control(vcpu.fd(), KVM_SET_LAPIC, &lapic, "KVM_SET_LAPIC");
  control(vcpu.fd(), KVM_SET_VCPU_EVENTS, &events, "KVM_SET_VCPU_EVENTS");
  control(vcpu.fd(), KVM_SET_MP_STATE, &mp, "KVM_SET_MP_STATE");
  set_all(vcpu, reset_msrs);
  if (entry && entry->mode != Entry::Mode::reset) set_all(vcpu, boot_msrs);
}

}  // namespace cpu
