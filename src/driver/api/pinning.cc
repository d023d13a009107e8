#include "driver/instance/pinning.h"

#include "driver/api/change.h"
#include "driver/api/cpumap.h"
#include "driver/core/error.h"
#include "driver/domain/element.h"
#include "driver/host/facts.h"
#include "driver/host/process_stats.h"
#include "driver/protocol/domain_resources.h"

// Which processors of the host a domain's threads run on.
namespace api {
namespace {

using namespace protocol;
using core::Error;
using core::ErrorCode;
using core::Task;

/// The processors that a description names, or all there are.
std::vector<unsigned> or_all(const std::vector<unsigned>& cpus) {
  return cpus.empty() ? host::cpu_map().online : cpus;
}

/// As libvirt's text has it, a machine that runs names its maximum and a description its current number.
void require_vcpu(unsigned index, const domain::Domain& what, const char* of, unsigned told) {
  if (index >= what.vcpus)
    throw Error(ErrorCode::invalid_arg,
                "vcpu " + std::to_string(index) + " is out of range of " + of + " cpu count " + std::to_string(told));
}

void tell(Client* client, const instance::Instance& subject, const std::string& field,
          const std::vector<unsigned>& cpus) {
  deliver(client->driver(), subject, instance::Tuned{{{"cputune." + field, domain::format_cpus(cpus)}}});
}

Task<void> pin_vcpu_flags(Client* client, DomainPinVcpuFlagsArgs args) {
  require_flags(args.flags, affect_live | affect_config, "virDomainPinVcpuFlags");
  const auto [subject, job] = co_await claim(client, std::move(args.dom), "remoteDispatchDomainPinVcpuFlags");
  const Impact meant = impact(*subject, args.flags);
  if (meant.live) require_vcpu(args.vcpu, subject->running().live, "live", subject->running().live.vcpus);
  if (meant.config) require_vcpu(args.vcpu, *subject->config(), "persistent", subject->config()->current_vcpus);
  const std::vector<unsigned> cpus = read_cpumap(args.cpumap, "Empty cpu list for pinning");
  if (meant.live) {
    const instance::Threads threads = co_await instance::threads(subject);
    if (const auto thread = threads.vcpus.find(args.vcpu); thread != threads.vcpus.end())
      instance::pin({thread->second}, cpus);  // one that is not there yet has a pin only
    edit_live(*subject, [&](domain::Domain& live) { live.cputune.vcpupin[args.vcpu] = cpus; });
    tell(client, *subject, "vcpupin" + std::to_string(args.vcpu), cpus);
  }
  if (meant.config) {
    domain::Domain config = *subject->config();
    config.cputune.vcpupin[args.vcpu] = cpus;
    co_await keep_config(client, subject, std::move(config));
  }
}
Task<void> pin_vcpu(Client* client, DomainPinVcpuArgs args) {
  return pin_vcpu_flags(client, {std::move(args.dom), args.vcpu, std::move(args.cpumap), affect_live});
}

DomainGetVcpuPinInfoRet get_vcpu_pin_info(Client& client, const DomainGetVcpuPinInfoArgs& args) {
  require_flags(args.flags, affect_live | affect_config, "virDomainGetVcpuPinInfo");
  require_cpumaps(args.ncpumaps, args.maplen, "ncpumaps");
  const auto subject = client.find(args.dom);
  const domain::Domain& what = described(*subject, args.flags);
  DomainGetVcpuPinInfoRet ret{};
  for (unsigned i = 0; i < what.vcpus && std::cmp_less(i, args.ncpumaps); ++i, ++ret.num)
    append_cpumap(ret.cpumaps, or_all(instance::vcpu_cpus(what, i)), args.maplen);
  return ret;
}

Task<void> pin_emulator(Client* client, DomainPinEmulatorArgs args) {
  require_flags(args.flags, affect_live | affect_config, "virDomainPinEmulator");
  const auto [subject, job] = co_await claim(client, std::move(args.dom), "remoteDispatchDomainPinEmulator");
  const Impact meant = impact(*subject, args.flags);
  const std::vector<unsigned> cpus = read_cpumap(args.cpumap, "Empty cpu list for pinning");
  if (meant.live) {
    const instance::Threads threads = co_await instance::threads(subject);
    instance::pin(threads.others, cpus);
    edit_live(*subject, [&](domain::Domain& live) { live.cputune.emulatorpin = cpus; });
    tell(client, *subject, "emulatorpin", cpus);
  }
  if (meant.config) {
    domain::Domain config = *subject->config();
    config.cputune.emulatorpin = cpus;
    co_await keep_config(client, subject, std::move(config));
  }
}

DomainGetEmulatorPinInfoRet get_emulator_pin_info(Client& client, const DomainGetEmulatorPinInfoArgs& args) {
  require_flags(args.flags, affect_live | affect_config, "virDomainGetEmulatorPinInfo");
  require_cpumaps(1, args.maplen, "maplen");
  const auto subject = client.find(args.dom);
  DomainGetEmulatorPinInfoRet ret{{}, 1};
  append_cpumap(ret.cpumaps, or_all(instance::emulator_cpus(described(*subject, args.flags))), args.maplen);
  return ret;
}

Task<DomainGetIothreadInfoRet> get_iothread_info(Client* client, DomainGetIothreadInfoArgs args) {
  require_flags(args.flags, affect_live | affect_config, "virDomainGetIOThreadInfo");
  const auto subject = client->find(args.dom);
  const domain::Domain& what = described(*subject, args.flags);
  std::vector<std::pair<unsigned, std::vector<unsigned>>> found;
  if (subject->active() && !(args.flags & affect_config)) {
    const instance::Threads threads = co_await instance::threads(subject);
    for (const auto& [number, thread] : threads.iothreads) found.emplace_back(number, host::affinity(thread));
  } else {
    for (unsigned i = 1; i <= what.iothreads; ++i) found.emplace_back(i, or_all(instance::iothread_cpus(what, i)));
  }
  DomainGetIothreadInfoRet ret{};
  const auto bytes = static_cast<std::int32_t>((host::cpu_map().present + 7) / 8);
  for (const auto& [number, cpus] : found) {
    ret.info.push_back({number, {}});
    append_cpumap(ret.info.back().cpumap, cpus, bytes);
  }
  ret.ret = static_cast<std::uint32_t>(found.size());
  co_return ret;
}

Task<void> pin_iothread(Client* client, DomainPinIothreadArgs args) {
  require_flags(args.flags, affect_live | affect_config, "virDomainPinIOThread");
  const unsigned number = args.iothreads_id;
  const auto [subject, job] = co_await claim(client, std::move(args.dom), "remoteDispatchDomainPinIothread");
  const Impact meant = impact(*subject, args.flags);
  const std::vector<unsigned> cpus = read_cpumap(args.cpumap, "Empty iothread cpumap list for pinning");
  const auto require = [number](const domain::Domain& what, const char* word) {
    if (number == 0 || number > what.iothreads)
      throw Error(ErrorCode::invalid_arg, word + (" " + std::to_string(number)) + " not found");
  };
  if (meant.live) require(subject->running().live, "iothread");
  if (meant.config) require(*subject->config(), "iothreadid");
  if (meant.live) {
    const instance::Threads threads = co_await instance::threads(subject);
    const auto thread = threads.iothreads.find(number);
    if (thread == threads.iothreads.end())
      throw Error(ErrorCode::invalid_arg, "iothread " + std::to_string(number) + " not found");
    instance::pin({thread->second}, cpus);
    edit_live(*subject, [&](domain::Domain& live) { live.cputune.iothreadpin[number] = cpus; });
    tell(client, *subject, "iothreadpin" + std::to_string(number), cpus);
  }
  if (meant.config) {
    domain::Domain config = *subject->config();
    config.cputune.iothreadpin[number] = cpus;
    co_await keep_config(client, subject, std::move(config));
  }
}

// IOThreads are numbered from 1 without a gap: one comes and goes at the end.

/// Throws Error: OPERATION_UNSUPPORTED for what runs, as impact().
void require_config(const instance::Instance& subject, std::uint32_t flags) {
  if (impact(subject, flags).live)
    throw Error(ErrorCode::operation_unsupported, "the IOThreads of a running domain cannot be changed");
}

Task<void> add_iothread(Client* client, DomainAddIothreadArgs args) {
  require_flags(args.flags, affect_live | affect_config, "virDomainAddIOThread");
  const unsigned number = args.iothread_id;
  if (number == 0) throw Error(ErrorCode::invalid_arg, "invalid value of 0 for iothread_id");
  const auto [subject, job] = co_await claim(client, std::move(args.dom), "remoteDispatchDomainAddIothread");
  require_config(*subject, args.flags);
  domain::Domain config = *subject->config();
  if (number <= config.iothreads)
    throw Error(ErrorCode::invalid_arg, "an IOThread is already using iothread_id '" + std::to_string(number) + "'");
  if (number != config.iothreads + 1)
    throw Error(ErrorCode::operation_unsupported,
                "IOThreads are numbered without a gap: the next is " + std::to_string(config.iothreads + 1));
  config.iothreads = number;
  domain::validate(config);
  co_await keep_config(client, subject, std::move(config));
}

Task<void> del_iothread(Client* client, DomainDelIothreadArgs args) {
  require_flags(args.flags, affect_live | affect_config, "virDomainDelIOThread");
  const unsigned number = args.iothread_id;
  if (number == 0) throw Error(ErrorCode::invalid_arg, "invalid value of 0 for iothread_id");
  const auto [subject, job] = co_await claim(client, std::move(args.dom), "remoteDispatchDomainDelIothread");
  require_config(*subject, args.flags);
  domain::Domain config = *subject->config();
  if (number > config.iothreads)
    throw Error(ErrorCode::invalid_arg, "cannot find IOThread '" + std::to_string(number) + "' in iothreadids list");
  for (const domain::Disk& disk : config.disks)
    if (disk.iothread == number)
      throw Error(ErrorCode::invalid_arg, "cannot remove IOThread " + std::to_string(number) +
                                              " since it is being used by disk '" + disk.target + "'");
  if (number != config.iothreads)
    throw Error(ErrorCode::operation_unsupported,
                "IOThreads are numbered without a gap: the last is " + std::to_string(config.iothreads));
  config.iothreads = number - 1;
  config.cputune.iothreadpin.erase(number);
  domain::validate(config);
  co_await keep_config(client, subject, std::move(config));
}

}  // namespace

void add_pinning(Handlers& handlers) {
  using enum Procedure;
  handlers.add<domain_pin_vcpu>(pin_vcpu);
  handlers.add<domain_pin_vcpu_flags>(pin_vcpu_flags);
  handlers.add<domain_get_vcpu_pin_info>(get_vcpu_pin_info);
  handlers.add<domain_pin_emulator>(pin_emulator);
  handlers.add<domain_get_emulator_pin_info>(get_emulator_pin_info);
  handlers.add<domain_get_iothread_info>(get_iothread_info);
  handlers.add<domain_pin_iothread>(pin_iothread);
  handlers.add<domain_add_iothread>(add_iothread);
  handlers.add<domain_del_iothread>(del_iothread);
}

}  // namespace api
