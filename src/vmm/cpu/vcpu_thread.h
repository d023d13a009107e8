#pragma once

#include <pthread.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "vmm/hypervisor/kvm/vcpu.h"

namespace cpu {

/// What vCPU threads ask of the machine. Called on their threads with no lock held. An access says whether the guest
/// goes on; where it does not, and after a fault, the vCPU waits until it is paused: nothing comes after what it asked
/// for.
struct Machine {
  std::function<bool(const kvm::PortAccess&)> port;
  std::function<bool(const kvm::MemoryAccess&)> memory;
  std::function<void()> triple_fault;
  std::function<void(unsigned vcpu, const std::string& why)> failed;
};

/// All vCPUs, a thread each. Paused when made. Used from the main loop's thread.
class Threads {
 public:
  /// Makes a vCPU for each number of an interrupt controller. Throws std::system_error.
  Threads(const kvm::Vm& vm, std::span<const std::uint32_t> apic_ids, Machine machine);
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  /// Joins all.
  ~Threads();

  std::vector<std::unique_ptr<kvm::Vcpu>>& vcpus() { return vcpus_; }

  /// Starts the threads, still paused; each runs `begun` first.
  void start(const std::function<void()>& begun);
  /// Returns when no vCPU runs the guest; each has completed the access it was at. The lock that Machine's functions
  /// take must not be held.
  void pause();
  void resume();
  bool paused() const { return paused_; }

  /// The kernel's thread id of each.
  const std::vector<pid_t>& thread_ids() const { return ids_; }

 private:
  void serve(std::size_t index, const std::function<void()>& begun);
  void kick();

  Machine machine_;
  std::vector<std::unique_ptr<kvm::Vcpu>> vcpus_;
  std::vector<std::thread> threads_;
  std::vector<pid_t> ids_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool paused_ = true, ending_ = false;
  unsigned running_ = 0;  ///< threads that are not waiting to be resumed
  std::size_t started_ = 0;
};

}  // namespace cpu
