#include <algorithm>

#include "driver/api/change.h"
#include "driver/api/cpumap.h"
#include "driver/core/error.h"
#include "driver/host/process_stats.h"
#include "driver/instance/statistics.h"
#include "driver/protocol/domain_resources.h"

// How many vCPUs a domain has, and what each of them does.
namespace api {
namespace {

using namespace protocol;
using core::Error;
using core::ErrorCode;
using core::Task;

enum : std::uint32_t { maximum = 4, guest = 8, hotpluggable = 16 };  // virDomainVcpuFlags

/// What is asked of the guest itself. No channel to an agent in it can be described here.
[[noreturn]] void ask_guest(const instance::Instance& subject) {
  if (subject.status().state != instance::State::running)
    throw Error(ErrorCode::operation_invalid, "domain is not running");
  throw Error(ErrorCode::argument_unsupported, "QEMU guest agent is not configured");
}

DomainGetVcpusFlagsRet get_vcpus_flags(Client& client, const DomainGetVcpusFlagsArgs& args) {
  require_flags(args.flags, affect_live | affect_config | maximum | guest, "virDomainGetVcpusFlags");
  const auto subject = client.find(args.dom);
  const domain::Domain& what = described(*subject, args.flags);
  if (args.flags & guest) {
    if (!subject->active())
      throw Error(ErrorCode::invalid_arg,
                  "vCPU count provided by the guest agent can only be requested for live domains");
    ask_guest(*subject);
  }
  return {static_cast<std::int32_t>(args.flags & maximum ? what.vcpus : what.current_vcpus)};
}

void require_at_most(unsigned wanted, const domain::Domain& what, const char* of) {
  if (wanted > what.vcpus)
    throw Error(ErrorCode::invalid_arg, std::string("requested vcpus is greater than max allowable vcpus for the ") +
                                            of + " domain: " + std::to_string(wanted) + " > " +
                                            std::to_string(what.vcpus));
}

Task<void> set_vcpus_flags(Client* client, DomainSetVcpusFlagsArgs args) {
  require_flags(args.flags, affect_live | affect_config | maximum | guest | hotpluggable, "virDomainSetVcpusFlags");
  const unsigned count = args.nvcpus;
  if (count == 0) throw Error(ErrorCode::invalid_arg, "nvcpus in virDomainSetVcpusFlags must not be zero");
  if ((args.flags & maximum) && !(args.flags & affect_config))
    throw Error(ErrorCode::invalid_arg,
                "Flag 'VIR_DOMAIN_AFFECT_CONFIG' is required by flag 'VIR_DOMAIN_VCPU_MAXIMUM'");
  const auto [subject, job] = co_await claim(client, std::move(args.dom), "remoteDispatchDomainSetVcpusFlags");
  const Impact meant = impact(*subject, args.flags);
  if (args.flags & guest) ask_guest(*subject);
  if (meant.live) {
    if (args.flags & maximum)
      throw Error(ErrorCode::operation_unsupported, "maximum vcpu count of a live domain can't be modified");
    require_at_most(count, subject->running().live, "live");
  }
  std::optional<domain::Domain> config;
  if (meant.config) {
    config = *subject->config();
    if (args.flags & maximum) {
      config->vcpus = count;
      config->current_vcpus = std::min(config->current_vcpus, count);
      std::erase_if(config->cputune.vcpupin, [count](const auto& pin) { return pin.first >= count; });
      domain::validate(*config);
    } else {
      require_at_most(count, *config, "persistent");
      config->current_vcpus = count;
    }
  }
  if (meant.live && count != subject->running().live.current_vcpus) {
    throw Error(ErrorCode::operation_unsupported, "the vCPUs of a running machine stay '" +
                                                      std::to_string(subject->running().live.current_vcpus) + "': '" +
                                                      std::to_string(count) + "' can be set for the next start");
  }
  if (args.flags & hotpluggable)
    throw Error(ErrorCode::argument_unsupported, "vCPUs that can be taken from a running machine are not supported");
  if (config) co_await keep_config(client, subject, std::move(*config));
}
Task<void> set_vcpus(Client* client, DomainSetVcpusArgs args) {
  return set_vcpus_flags(client, {std::move(args.dom), args.nvcpus, affect_live});
}

Task<DomainGetVcpusRet> get_vcpus(Client* client, DomainGetVcpusArgs args) {
  require_cpumaps(args.maxinfo, args.maplen, "maxinfo");
  const auto subject = client->find(args.dom);
  if (!subject->active())
    throw Error(ErrorCode::operation_invalid, "cannot retrieve vcpu information for inactive domain");
  auto figures = co_await instance::ask(subject, {.vcpus = true}, instance::Monitor::command_limit);
  if (figures.failed) throw Error(*figures.failed);
  std::ranges::sort(figures.vcpus, {}, &emulator::Vcpu::index);
  const pid_t pid = subject->running().process.pid;
  DomainGetVcpusRet ret;
  for (const emulator::Vcpu& vcpu : figures.vcpus) {
    if (std::cmp_greater_equal(ret.info.size(), args.maxinfo)) break;
    const auto used = host::thread_statistics(pid, vcpu.thread_id);
    if (!used) throw Error(ErrorCode::operation_invalid, "domain is not running");
    enum { running = 1 };  // virVcpuState: libvirt tells of vCPUs that are there no other
    ret.info.push_back({vcpu.index, running, used->user_ns + used->system_ns, static_cast<std::int32_t>(used->cpu)});
    append_cpumap(ret.cpumaps, host::affinity(vcpu.thread_id), args.maplen);
  }
  co_return ret;
}

}  // namespace

void add_vcpu(Handlers& handlers) {
  using enum Procedure;
  handlers.add<domain_get_vcpus_flags>(get_vcpus_flags);
  handlers.add<domain_set_vcpus>(set_vcpus);
  handlers.add<domain_set_vcpus_flags>(set_vcpus_flags);
  handlers.add<domain_get_vcpus>(get_vcpus);
}

}  // namespace api
