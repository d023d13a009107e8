#include "driver/instance/pinning.h"

#include <algorithm>
#include <cerrno>

#include "driver/core/error.h"
#include "driver/host/proc.h"
#include "driver/host/process_stats.h"
#include "driver/instance/statistics.h"

namespace instance {
namespace {

using Pins = std::map<unsigned, std::vector<unsigned>>;

const std::vector<unsigned>& own_or(const Pins& pins, unsigned key, const std::vector<unsigned>& general) {
  const auto own = pins.find(key);
  return own == pins.end() ? general : own->second;
}

}  // namespace

core::Task<Threads> threads(std::shared_ptr<Instance> subject) {
  subject->running();
  const Figures figures = co_await ask(subject, {.vcpus = true, .iothreads = true}, Monitor::command_limit);
  if (figures.failed) throw core::Error(*figures.failed);
  Threads found;
  std::vector<pid_t> known;
  for (const emulator::Vcpu& vcpu : figures.vcpus) {
    found.vcpus[vcpu.index] = vcpu.thread_id;
    known.push_back(vcpu.thread_id);
  }
  constexpr std::string_view prefix = "iothread";
  for (const emulator::Iothread& one : figures.iothreads.value_or(std::vector<emulator::Iothread>())) {
    known.push_back(one.thread_id);
    if (!one.id.starts_with(prefix)) continue;
    if (const auto number = host::proc::number(one.id.substr(prefix.size())))
      found.iothreads[static_cast<unsigned>(*number)] = one.thread_id;
  }
  for (const pid_t thread : host::threads(subject->running().process.pid))
    if (std::ranges::find(known, thread) == known.end()) found.others.push_back(thread);
  co_return found;
}

const std::vector<unsigned>& vcpu_cpus(const domain::Domain& domain, unsigned index) {
  return own_or(domain.cputune.vcpupin, index, domain.cpuset);
}
const std::vector<unsigned>& iothread_cpus(const domain::Domain& domain, unsigned number) {
  return own_or(domain.cputune.iothreadpin, number, domain.cpuset);
}
const std::vector<unsigned>& emulator_cpus(const domain::Domain& domain) {
  return domain.cputune.emulatorpin.empty() ? domain.cpuset : domain.cputune.emulatorpin;
}

void pin(const std::vector<pid_t>& threads, const std::vector<unsigned>& cpus) {
  for (const pid_t thread : threads) {
    try {
      host::set_affinity(thread, cpus);
    } catch (const core::Error& error) {
      if (error.errno_value() != ESRCH) throw;
    }
  }
}

core::Task<void> pin_all(std::shared_ptr<Instance> subject) {
  const domain::Domain& wanted = subject->running().live;
  const domain::CpuTune& tune = wanted.cputune;
  if (wanted.cpuset.empty() && tune.vcpupin.empty() && tune.iothreadpin.empty() && tune.emulatorpin.empty()) co_return;
  const Threads found = co_await threads(subject);
  const domain::Domain& live = subject->running().live;
  const auto put = [](const std::vector<pid_t>& some, const std::vector<unsigned>& cpus) {
    if (!cpus.empty()) pin(some, cpus);
  };
  put(found.others, emulator_cpus(live));
  for (const auto& [index, thread] : found.vcpus) put({thread}, vcpu_cpus(live, index));
  for (const auto& [number, thread] : found.iothreads) put({thread}, iothread_cpus(live, number));
}

}  // namespace instance
