#include <regex.h>
#include <strings.h>

#include <memory>

#include "driver/api/agent.h"
#include "driver/api/client.h"
#include "driver/core/error.h"
#include "driver/protocol/qemu.h"

// The way past this driver to an emulator's monitor: libvirt's qemu program.
namespace api {
namespace {

using namespace protocol;
using core::Error;
using core::ErrorCode;
using core::Task;

/// QMP as it is; HMP through QMP's command for it, where the emulator has one.
Task<QemuDomainMonitorCommandRet> monitor_command(Client* client, QemuDomainMonitorCommandArgs args) {
  enum : std::uint32_t { hmp = 1 };
  require_flags(args.flags, hmp, "virDomainQemuMonitorCommand");
  const auto subject = client->find(args.dom);
  const auto job = co_await subject->job().acquire("remoteDispatchQemuDomainMonitorCommand");
  const instance::Running& now = subject->running();
  const auto monitor = now.connected();
  if (!(args.flags & hmp)) {
    subject->taint();
    co_return QemuDomainMonitorCommandRet{co_await monitor->pass_through(args.cmd)};
  }
  constexpr char human[] = "human-monitor-command";
  if (now.capabilities.kind != emulator::Kind::qemu) {
    throw Error(ErrorCode::operation_unsupported, "a StratoVirt machine has no human monitor");
  }
  subject->taint();
  const emulator::Json reply = co_await monitor->execute({human, {{"command-line", std::string(args.cmd)}}});
  if (!reply.is_string()) throw Error(ErrorCode::internal_error, std::string(human) + " reply was missing return data");
  co_return QemuDomainMonitorCommandRet{reply.get<std::string>()};
}

/// Which events a pattern means. Names of events are capitals, digits and '_', so a pattern needs neither counted
/// repetitions nor references back, which let a short one cost any amount of memory and time.
std::function<bool(const std::string&)> event_filter(const std::string& pattern, std::uint32_t flags) {
  enum : std::uint32_t { by_regex = 1, no_case = 2 };
  require_flags(flags, by_regex | no_case, "virConnectDomainQemuMonitorEventRegister");
  if (!(flags & by_regex)) {
    const auto compare = flags & no_case ? ::strcasecmp : ::strcmp;
    return [pattern, compare](const std::string& event) { return compare(pattern.c_str(), event.c_str()) == 0; };
  }
  constexpr std::size_t longest = 256;
  if (pattern.size() > longest || pattern.find_first_of("{\\") != std::string::npos) {
    throw Error(ErrorCode::invalid_arg, "the pattern of an event's name is too long, or has '{' or '\\': " + pattern);
  }
  const std::shared_ptr<regex_t> expression(new regex_t{}, [](regex_t* one) {
    regfree(one);
    delete one;
  });
  if (const int wrong =
          regcomp(expression.get(), pattern.c_str(), REG_EXTENDED | REG_NOSUB | (flags & no_case ? REG_ICASE : 0))) {
    char why[128];
    regerror(wrong, expression.get(), why, sizeof why);
    throw Error(ErrorCode::invalid_arg, "failed to compile regex '" + pattern + "': " + why);
  }
  return
      [expression](const std::string& event) { return regexec(expression.get(), event.c_str(), 0, nullptr, 0) == 0; };
}

QemuConnectDomainMonitorEventRegisterRet register_event(Client& client,
                                                        const QemuConnectDomainMonitorEventRegisterArgs& args) {
  Client::MonitorCallback callback;
  if (args.event) callback.wanted = event_filter(*args.event, args.flags);
  if (args.dom) callback.domain = client.find(*args.dom)->uuid();
  return {client.add(std::move(callback))};
}

void deregister_event(Client& client, const QemuConnectDomainMonitorEventDeregisterArgs& args) {
  if (!client.remove_monitor_callback(args.callback_id)) {
    throw Error(ErrorCode::internal_error,
                "monitor event callback " + std::to_string(args.callback_id) + " not registered");
  }
}

QemuDomainAgentCommandRet agent_command(Client& client, const QemuDomainAgentCommandArgs& args) {
  require_flags(args.flags, 0, "virDomainQemuAgentCommand");
  refuse_agent(*client.find(args.dom));
}

}  // namespace

void deliver_monitor_event(Driver& driver, const instance::Instance& from, const instance::MonitorEvent& event) {
  QemuDomainMonitorEventMsg message{
      0, wire(from), event.name, event.seconds, static_cast<std::uint32_t>(event.microseconds), {}};
  if (event.details != "null") message.details = event.details;
  for (Client* client : driver.clients) {
    for (const auto& [id, callback] : client->monitor_callbacks()) {
      if ((callback.domain && *callback.domain != from.uuid()) || (callback.wanted && !callback.wanted(event.name)))
        continue;
      message.callback_id = id;
      send_event<QemuProcedure::domain_monitor_event>(client->connection(), message);
    }
  }
}

void add_monitor(Handlers& handlers) {
  using enum QemuProcedure;
  handlers.add<domain_monitor_command>(monitor_command);
  handlers.add<domain_agent_command>(agent_command);
  handlers.add<connect_domain_monitor_event_register>(register_event);
  handlers.add<connect_domain_monitor_event_deregister>(deregister_event);
}

}  // namespace api
