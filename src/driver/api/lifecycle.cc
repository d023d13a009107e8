#include <sys/stat.h>
#include <unistd.h>

#include "driver/api/agent.h"
#include "driver/api/client.h"
#include "driver/core/error.h"
#include "driver/domain/schema.h"
#include "driver/instance/firmware.h"
#include "driver/protocol/domain.h"

namespace api {
namespace {

using namespace protocol;
using core::Error;
using core::ErrorCode;
using core::Task;

/// virDomainCreateFlags, of which a description that is handed over has the last as well.
enum {
  start_paused = 1,
  start_autodestroy = 2,
  start_bypass_cache = 4,
  start_force_boot = 8,
  start_validate = 16,
  start_reset_nvram = 32
};
/// virDomainDefineFlags.
enum { define_validate = 1 };

constexpr const char* schemas = "/usr/share/libvirt/schemas";

/// The description, held against libvirt's schema first where that is asked for.
Task<domain::Domain> read(Client* client, std::string xml, bool against_schema = false) {
  if (against_schema) co_await client->driver().loop.blocking([&xml] { domain::validate_schema(xml, schemas); });
  domain::Domain description = domain::parse(xml);
  domain::validate(description);
  co_return description;
}

Task<DomainDefineXmlFlagsRet> define_flags(Client* client, DomainDefineXmlFlagsArgs args) {
  require_flags(args.flags, define_validate, "virDomainDefineXMLFlags");
  domain::Domain description = co_await read(client, std::move(args.xml), args.flags & define_validate);
  co_return DomainDefineXmlFlagsRet{wire(*co_await client->registry().define(std::move(description)))};
}
Task<DomainDefineXmlRet> define(Client* client, DomainDefineXmlArgs args) {
  domain::Domain description = co_await read(client, std::move(args.xml));
  co_return DomainDefineXmlRet{wire(*co_await client->registry().define(std::move(description)))};
}

Task<DomainRenameRet> rename(Client* client, DomainRenameArgs args) {
  require_flags(args.flags, 0, "virDomainRename");
  const auto subject = client->find(args.dom);
  const auto job = co_await subject->job().acquire("remoteDispatchDomainRename");
  if (!args.new_name) throw Error(ErrorCode::invalid_arg, "the new name is missing");
  co_await client->registry().rename(subject, std::move(*args.new_name));
  co_return DomainRenameRet{0};
}

Task<void> undefine_flags(Client* client, DomainUndefineFlagsArgs args) {
  enum { managed_save = 1, snapshots = 2, nvram = 4, keep_nvram = 8, checkpoints = 16, tpm = 32, keep_tpm = 64 };
  require_flags(args.flags, 0x7f, "virDomainUndefineFlags");
  const auto refuse_both = [&](std::uint32_t flags, const char* what) {
    if ((args.flags & flags) == flags)
      throw Error(ErrorCode::operation_invalid, std::string("cannot both keep and delete ") + what);
  };
  refuse_both(nvram | keep_nvram, "nvram");
  refuse_both(tpm | keep_tpm, "TPM");
  const auto subject = client->find(args.dom);
  const auto job = co_await subject->job().acquire("remoteDispatchDomainUndefineFlags");
  if (!subject->persistent()) throw Error(ErrorCode::operation_invalid, "cannot undefine transient domain");
  const std::string store = instance::nvram_path(*subject->config(), client->driver().layout);
  if (struct stat there{}; (args.flags & nvram) && ::lstat(store.c_str(), &there) == 0 && !S_ISREG(there.st_mode)) {
    throw Error(ErrorCode::operation_invalid, "cannot delete nvram '" + store + "', which is not a regular file");
  }
  co_await client->registry().undefine(subject);
  if ((args.flags & nvram) && !store.empty() && ::unlink(store.c_str()) < 0 && errno != ENOENT) {
    throw Error::system(errno, "failed to remove nvram: " + store);
  }
}
Task<void> undefine(Client* client, DomainUndefineArgs args) {
  return undefine_flags(client, {args.dom, 0});
}

/// To be held by a start until it has called autodestroy(), where `flags` say that it will; the end of the daemon waits
/// for it. Throws Error where that has begun.
std::shared_ptr<void> to_be_destroyed(Client& client, std::uint32_t flags) {
  if (!(flags & start_autodestroy)) return nullptr;
  if (client.driver().ending) throw Error(ErrorCode::operation_invalid, "the daemon is ending");
  return client.driver().autodestroy;
}

Task<registry::InstancePtr> start(Client* client, Domain dom, std::uint32_t flags) {
  require_flags(flags, start_paused | start_autodestroy | start_bypass_cache | start_force_boot | start_reset_nvram,
                "virDomainCreateWithFlags");
  const auto pending = to_be_destroyed(*client, flags);
  const auto subject = client->find(dom);
  const auto job = co_await subject->job().acquire("remoteDispatchDomainCreateWithFlags");
  co_await client->registry().start(subject, flags & start_paused, flags & start_reset_nvram);
  if (flags & start_autodestroy) client->autodestroy(subject);
  co_return subject;
}
Task<void> create(Client* client, DomainCreateArgs args) {
  co_await start(client, std::move(args.dom), 0);
}
Task<DomainCreateWithFlagsRet> create_with_flags(Client* client, DomainCreateWithFlagsArgs args) {
  co_return DomainCreateWithFlagsRet{wire(*co_await start(client, std::move(args.dom), args.flags))};
}
Task<DomainCreateXmlRet> create_xml(Client* client, DomainCreateXmlArgs args) {
  require_flags(args.flags, start_paused | start_autodestroy | start_validate | start_reset_nvram,
                "virDomainCreateXML");
  const auto pending = to_be_destroyed(*client, args.flags);
  domain::Domain description = co_await read(client, std::move(args.xml_desc), args.flags & start_validate);
  const auto subject = co_await client->registry().create(std::move(description), args.flags & start_paused,
                                                          args.flags & start_reset_nvram);
  if (args.flags & start_autodestroy) client->autodestroy(subject);
  co_return DomainCreateXmlRet{wire(*subject)};
}

/// Finds the domain, takes its job and does `what` to it.
template <class F>
Task<void> under_job(Client* client, Domain dom, const char* name, F what) {
  const auto subject = client->find(dom);
  const auto job = co_await subject->job().acquire(name);
  co_await what(*subject);
}

Task<void> suspend(Client* client, DomainSuspendArgs args) {
  return under_job(client, std::move(args.dom), "remoteDispatchDomainSuspend", [](auto& one) { return one.suspend(); });
}
Task<void> resume(Client* client, DomainResumeArgs args) {
  return under_job(client, std::move(args.dom), "remoteDispatchDomainResume", [](auto& one) { return one.resume(); });
}
/// virDomainShutdownFlagValues and virDomainRebootFlagValues agree on the ways to tell a guest: the ACPI button and its
/// agent; where both are asked for, either will do.
enum { by_acpi = 1, by_agent = 2 };

Task<void> shutdown_flags(Client* client, DomainShutdownFlagsArgs args) {
  require_flags(args.flags, by_acpi | by_agent, "virDomainShutdownFlags");
  return under_job(client, std::move(args.dom), "remoteDispatchDomainShutdownFlags",
                   [by = args.flags](instance::Instance& one) {
                     if (by == by_agent) refuse_agent(one);
                     if (one.status().state != instance::State::running)
                       throw Error(ErrorCode::operation_invalid, "domain is not running");
                     return one.shutdown(false);
                   });
}
Task<void> shutdown(Client* client, DomainShutdownArgs args) {
  return shutdown_flags(client, {std::move(args.dom), 0});
}
Task<void> reboot(Client* client, DomainRebootArgs args) {
  require_flags(args.flags, by_acpi | by_agent, "virDomainReboot");
  return under_job(client, std::move(args.dom), "remoteDispatchDomainReboot",
                   [by = args.flags](instance::Instance& one) {
                     if (by == by_agent) refuse_agent(one);
                     return one.shutdown(true);
                   });
}
Task<void> reset(Client* client, DomainResetArgs args) {
  require_flags(args.flags, 0, "virDomainReset");
  return under_job(client, std::move(args.dom), "remoteDispatchDomainReset", [](auto& one) { return one.reset(); });
}
Task<void> destroy_flags(Client* client, DomainDestroyFlagsArgs args) {
  enum { graceful = 1, remove_logs = 2 };
  require_flags(args.flags, graceful | remove_logs, "virDomainDestroyFlags");
  const auto subject = client->find(args.dom);
  const auto job = co_await subject->job().acquire("remoteDispatchDomainDestroyFlags");
  co_await subject->destroy(args.flags & graceful);
  if (args.flags & remove_logs) subject->remove_log();
}
Task<void> destroy(Client* client, DomainDestroyArgs args) {
  return destroy_flags(client, {std::move(args.dom), 0});
}

}  // namespace

void add_lifecycle(Handlers& handlers) {
  using enum Procedure;
  handlers.add<domain_define_xml>(define);
  handlers.add<domain_define_xml_flags>(define_flags);
  handlers.add<domain_rename>(rename);
  handlers.add<domain_undefine>(undefine);
  handlers.add<domain_undefine_flags>(undefine_flags);
  handlers.add<domain_create>(create);
  handlers.add<domain_create_with_flags>(create_with_flags);
  handlers.add<domain_create_xml>(create_xml);
  handlers.add<domain_suspend>(suspend);
  handlers.add<domain_resume>(resume);
  handlers.add<domain_shutdown>(shutdown);
  handlers.add<domain_shutdown_flags>(shutdown_flags);
  handlers.add<domain_reboot>(reboot);
  handlers.add<domain_reset>(reset);
  handlers.add<domain_destroy>(destroy);
  handlers.add<domain_destroy_flags>(destroy_flags);
}

}  // namespace api
