#include "vmm/cpu/vcpu_thread.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <utility>

namespace cpu {
namespace {

/// Interrupts KVM_RUN; does nothing besides.
int kick_signal() {
  return SIGRTMIN;
}

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

}  // namespace

Threads::Threads(const kvm::Vm& vm, std::span<const std::uint32_t> apic_ids, Machine machine)
    : machine_(std::move(machine)) {
  for (unsigned index = 0; index < apic_ids.size(); ++index) {
    vcpus_.push_back(std::make_unique<kvm::Vcpu>(vm, index, apic_ids[index]));
  }
  struct sigaction action{};
  action.sa_handler = [](int) {};
  ::sigaction(kick_signal(), &action, nullptr);
}

Threads::~Threads() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  kick();
  for (std::thread& thread : threads_) thread.join();
}

void Threads::start(const std::function<void()>& begun) {
  ids_.resize(vcpus_.size());
  running_ = static_cast<unsigned>(vcpus_.size());
  for (std::size_t index = 0; index < vcpus_.size(); ++index)
    threads_.emplace_back([this, index, begun] { serve(index, begun); });
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return started_ == vcpus_.size() && running_ == 0; });
}

void Threads::kick() {
  for (std::size_t index = 0; index < threads_.size(); ++index) {
    vcpus_[index]->set_immediate_exit(true);
    ::pthread_kill(threads_[index].native_handle(), kick_signal());
  }
}

void Threads::pause() {
  {
    const std::lock_guard lock(mutex_);
    if (paused_) return;
    paused_ = true;
  }
  changed_.notify_all();
  kick();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return running_ == 0; });
}

void Threads::resume() {
  {
    const std::lock_guard lock(mutex_);
    if (!paused_) return;
    paused_ = false;
    for (const auto& one : vcpus_) one->set_immediate_exit(false);
  }
  changed_.notify_all();
}

void Threads::serve(std::size_t index, const std::function<void()>& begun) {
  const std::string name = "CPU " + std::to_string(index) + "/KVM";
  ::pthread_setname_np(::pthread_self(), name.c_str());
  {
    const std::lock_guard lock(mutex_);
    ids_[index] = static_cast<pid_t>(::syscall(SYS_gettid));
    ++started_;
  }
  if (begun) begun();
  kvm::Vcpu& vcpu = *vcpus_[index];
  bool access = false;  // one that the guest's registers are still to hear of, or that has a second half
  bool goes_on = true;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (!goes_on) changed_.wait(lock, [this] { return paused_ || ending_; });
      if ((paused_ || ending_) && access) {
        vcpu.set_immediate_exit(true);  // completes it and runs nothing
      } else if (paused_ || ending_) {
        --running_;
        changed_.notify_all();
        changed_.wait(lock, [this] { return !paused_ || ending_; });
        if (ending_) return;
        ++running_;  // here and not by resume(): who is paused again before it wakes has never run
      }
    }
    access = false;
    goes_on = true;
    const kvm::Exit exit = vcpu.run();
    std::visit(Overloaded{[&](const kvm::PortAccess& port) {
                            goes_on = machine_.port(port);
                            access = true;
                          },
                          [&](const kvm::MemoryAccess& memory) {
                            goes_on = machine_.memory(memory);
                            access = true;
                          },
                          [](const kvm::Interrupted&) {},
                          [&](const kvm::Shutdown&) {
                            machine_.triple_fault();
                            goes_on = false;
                          },
                          [&](const kvm::Failed& failed) {
                            machine_.failed(vcpu.index(), failed.why);
                            goes_on = false;
                          }},
               exit);
  }
}

}  // namespace cpu
