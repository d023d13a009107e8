#include "vmm/hypervisor/kvm/vcpu.h"

#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "base/file.h"

namespace kvm {

Vcpu::Vcpu(const Vm& vm, unsigned index, std::uint32_t apic_id)
    : index_(index),
      fd_(control(vm.fd(), KVM_CREATE_VCPU, static_cast<unsigned long>(apic_id), "KVM_CREATE_VCPU")),
      size_(vm.run_size()) {
  void* const at = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (at == MAP_FAILED) base::throw_errno(errno, "cannot map a vCPU's state");
  run_ = static_cast<kvm_run*>(at);
}

Vcpu::~Vcpu() {
  ::munmap(run_, size_);
}

Exit Vcpu::run() {
  if (::ioctl(fd_.get(), KVM_RUN, 0) < 0) {
    if (errno == EINTR || errno == EAGAIN) return Interrupted{};
    return Failed{std::string("KVM_RUN: ") + std::strerror(errno)};
  }
  switch (run_->exit_reason) {
    case KVM_EXIT_IO: {
      auto* const data = reinterpret_cast<std::uint8_t*>(run_) + run_->io.data_offset;
      return PortAccess{run_->io.port,
                        run_->io.direction == KVM_EXIT_IO_OUT,
                        run_->io.size,
                        {data, std::size_t{run_->io.size} * run_->io.count}};
    }
    case KVM_EXIT_MMIO:
      return MemoryAccess{run_->mmio.phys_addr, run_->mmio.is_write != 0, {run_->mmio.data, run_->mmio.len}};
    case KVM_EXIT_INTR: return Interrupted{};
    case KVM_EXIT_SHUTDOWN: return Shutdown{};
    case KVM_EXIT_FAIL_ENTRY:
      return Failed{"the processor refused the guest's state, reason " +
                    std::to_string(run_->fail_entry.hardware_entry_failure_reason)};
    case KVM_EXIT_INTERNAL_ERROR: return Failed{"KVM internal error " + std::to_string(run_->internal.suberror)};
    default: return Failed{"KVM exit " + std::to_string(run_->exit_reason) + " that nothing asked for"};
  }
}

void Vcpu::tell_paused() const {
  ::ioctl(fd_.get(), KVM_KVMCLOCK_CTRL, 0);  // refused for one that does not read it
}

bool Vcpu::halted() const {
  kvm_mp_state state{};
  control(fd_.get(), KVM_GET_MP_STATE, &state, "KVM_GET_MP_STATE");
  return state.mp_state != KVM_MP_STATE_RUNNABLE;
}

}  // namespace kvm
