#include "driver/api/agent.h"
#include "driver/api/client.h"
#include "driver/api/disk.h"
#include "driver/core/error.h"
#include "driver/protocol/domain.h"
#include "driver/protocol/domain_resources.h"

// What a domain is asked about itself besides its state: its control, its jobs, its limits, and what only an agent in
// the guest could tell.
namespace api {

using core::Error;
using core::ErrorCode;

void refuse_agent(const instance::Instance& subject) {
  if (subject.status().state != instance::State::running)
    throw Error(ErrorCode::operation_invalid, "domain is not running");
  throw Error(ErrorCode::argument_unsupported, "QEMU guest agent is not configured");
}

namespace {

using namespace protocol;

template <auto P>
typename Wire<P>::Ret ask_agent(Client& client, const typename Wire<P>::Args& args) {
  refuse_agent(*client.find(args.dom));
}

DomainGetHostnameRet get_hostname(Client& client, const DomainGetHostnameArgs& args) {
  enum { lease = 1, agent = 2 };
  require_flags(args.flags, lease | agent, "virDomainGetHostname");
  const auto subject = client.find(args.dom);
  if (args.flags != lease) refuse_agent(*subject);
  subject->running();
  throw Error(ErrorCode::no_hostname, "no hostname found for domain " + subject->name());
}

/// virDomainControlState: whether calls that need the emulator can be made.
DomainGetControlInfoRet control_info(Client& client, const DomainGetControlInfoArgs& args) {
  require_flags(args.flags, 0, "virDomainGetControlInfo");
  enum { ok = 0, job = 1, error = 3 };
  const auto subject = client.find(args.dom);
  const instance::Running& now = subject->running();
  const bool lost = !now.monitor || now.monitor->broken();
  return {static_cast<std::uint32_t>(lost ? error : subject->job().held() ? job : ok), 0, 0};
}

/// Only migration, saving and dumping are jobs to libvirt's clients, and none of them is under way.
DomainGetJobInfoRet job_info(Client& client, const DomainGetJobInfoArgs& args) {
  client.find(args.dom)->running();
  return {};
}

DomainGetJobStatsRet job_stats(Client& client, const DomainGetJobStatsArgs& args) {
  enum { completed = 1, keep_completed = 2 };
  require_flags(args.flags, completed | keep_completed, "virDomainGetJobStats");
  const auto subject = client.find(args.dom);
  if (!(args.flags & completed)) subject->running();
  return {};
}

void no_job_to_abort(const instance::Instance& subject) {
  if (!subject.active()) throw Error(ErrorCode::operation_invalid, "domain is not running");
  throw Error(ErrorCode::operation_invalid, "no job is active on the domain");
}
void abort_job(Client& client, const DomainAbortJobArgs& args) {
  no_job_to_abort(*client.find(args.dom));
}
void abort_job_flags(Client& client, const DomainAbortJobFlagsArgs& args) {
  require_flags(args.flags, 1, "virDomainAbortJobFlags");
  no_job_to_abort(*client.find(args.dom));
}

/// No job of a disk either.
DomainGetBlockJobInfoRet block_job_info(Client& client, const DomainGetBlockJobInfoArgs& args) {
  require_flags(args.flags, 1, "virDomainGetBlockJobInfo");
  if (!find_disk(client.find(args.dom)->running().live, args.path))
    throw Error(ErrorCode::invalid_arg, "disk '" + std::string(args.path) + "' not found in domain");
  return {};
}

DomainGetMessagesRet get_messages(Client& client, const DomainGetMessagesArgs& args) {
  enum { deprecation = 1, tainting = 2 };
  require_flags(args.flags, deprecation | tainting, "virDomainGetMessages");
  const auto subject = client.find(args.dom);
  DomainGetMessagesRet ret{};
  if ((!args.flags || (args.flags & tainting)) && subject->active() && subject->running().tainted) {
    ret.msgs.emplace_back("tainted: custom monitor control issued");
  }
  return ret;
}

DomainGetMaxMemoryRet get_max_memory(Client& client, const DomainGetMaxMemoryArgs& args) {
  return {client.find(args.dom)->description().memory_kib};
}

DomainGetMaxVcpusRet get_max_vcpus(Client& client, const DomainGetMaxVcpusArgs& args) {
  return {static_cast<std::int32_t>(client.find(args.dom)->running().live.vcpus)};
}

/// No security driver labels anything: an empty text, not enforced.
DomainGetSecurityLabelRet get_security_label(Client& client, const DomainGetSecurityLabelArgs& args) {
  client.find(args.dom);
  DomainGetSecurityLabelRet ret{};
  ret.label.push_back('\0');
  return ret;
}

}  // namespace

void add_guest(Handlers& handlers) {
  using enum Procedure;
  handlers.add<domain_get_time>(ask_agent<domain_get_time>);
  handlers.add<domain_set_time>(ask_agent<domain_set_time>);
  handlers.add<domain_get_guest_info>(ask_agent<domain_get_guest_info>);
  handlers.add<domain_get_fsinfo>(ask_agent<domain_get_fsinfo>);
  handlers.add<domain_fstrim>(ask_agent<domain_fstrim>);
  handlers.add<domain_get_hostname>(get_hostname);
  handlers.add<domain_get_control_info>(control_info);
  handlers.add<domain_get_job_info>(job_info);
  handlers.add<domain_get_job_stats>(job_stats);
  handlers.add<domain_abort_job>(abort_job);
  handlers.add<domain_abort_job_flags>(abort_job_flags);
  handlers.add<domain_get_block_job_info>(block_job_info);
  handlers.add<domain_get_messages>(get_messages);
  handlers.add<domain_get_max_memory>(get_max_memory);
  handlers.add<domain_get_max_vcpus>(get_max_vcpus);
  handlers.add<domain_get_security_label>(get_security_label);
}

}  // namespace api
