#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <vector>

#include "driver/core/loop.h"
#include "driver/instance/instance.h"

/// Which processors of the host the threads of an emulator run on (libvirt formatdomain "CPU Tuning").
namespace instance {

/// The threads of a running emulator by what they are there for.
struct Threads {
  std::map<unsigned, pid_t> vcpus;      ///< by index
  std::map<unsigned, pid_t> iothreads;  ///< by number
  std::vector<pid_t> others;
};
/// Throws Error: as Monitor::execute; OPERATION_INVALID where it has ended.
core::Task<Threads> threads(std::shared_ptr<Instance> subject);

/// The processors that a description names for a thread: its own pin, else vcpu@cpuset. Empty: any.
const std::vector<unsigned>& vcpu_cpus(const domain::Domain& domain, unsigned index);
const std::vector<unsigned>& iothread_cpus(const domain::Domain& domain, unsigned number);
const std::vector<unsigned>& emulator_cpus(const domain::Domain& domain);

/// Puts these threads on these processors; one that has ended meanwhile is none. Throws Error: SYSTEM_ERROR where the
/// host has none of the processors.
void pin(const std::vector<pid_t>& threads, const std::vector<unsigned>& cpus);

/// Puts every thread where the live description wants it. Throws Error: as threads() and pin().
core::Task<void> pin_all(std::shared_ptr<Instance> subject);

}  // namespace instance
