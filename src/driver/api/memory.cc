#include <algorithm>

#include "driver/api/change.h"
#include "driver/core/error.h"
#include "driver/protocol/domain_resources.h"

// How much memory a domain has, and how often its guest reports on it.
namespace api {
namespace {

using namespace protocol;
using core::Error;
using core::ErrorCode;
using core::Task;

enum : std::uint32_t { maximum = 4 };  // VIR_DOMAIN_MEM_MAXIMUM

bool has_balloon(const domain::Domain& what) {
  return what.memballoon && what.memballoon->model == domain::Memballoon::Model::virtio;
}

void require_at_most(std::uint64_t kib, const domain::Domain& what) {
  if (kib > what.memory_kib) throw Error(ErrorCode::invalid_arg, "cannot set memory higher than max memory");
}

Task<void> set_memory_flags(Client* client, DomainSetMemoryFlagsArgs args) {
  require_flags(args.flags, affect_live | affect_config | maximum, "virDomainSetMemoryFlags");
  const std::uint64_t kib = args.memory;
  if (kib == 0) throw Error(ErrorCode::invalid_arg, "memory in virDomainSetMemoryFlags must not be zero");
  const auto [subject, job] = co_await claim(client, std::move(args.dom), "remoteDispatchDomainSetMemoryFlags");
  const Impact meant = impact(*subject, args.flags);
  std::optional<domain::Domain> config;
  if (meant.config) config = *subject->config();
  if (args.flags & maximum) {
    if (meant.live) throw Error(ErrorCode::operation_invalid, "cannot resize the maximum memory on an active domain");
    config->memory_kib = kib;
    config->current_memory_kib = std::min(config->current_memory_kib, kib);
  } else {
    if (config) require_at_most(kib, *config);
    if (meant.live) {
      const instance::Running& now = subject->running();
      require_at_most(kib, now.live);
      if (!has_balloon(now.live))
        throw Error(ErrorCode::operation_invalid,
                    "Unable to change memory of active domain without the balloon device and guest OS balloon driver");
      const auto monitor = now.connected();
      co_await monitor->execute(emulator::set_balloon(kib));
    }
    if (config) config->current_memory_kib = kib;
  }
  if (config) co_await keep_config(client, subject, std::move(*config));
}
Task<void> set_memory(Client* client, DomainSetMemoryArgs args) {
  return set_memory_flags(client, {std::move(args.dom), args.memory, affect_live});
}
Task<void> set_max_memory(Client* client, DomainSetMaxMemoryArgs args) {
  return set_memory_flags(client, {std::move(args.dom), args.memory, maximum});
}

void set_period(domain::Domain& what, unsigned seconds) {
  if (!has_balloon(what)) {
    throw Error(ErrorCode::internal_error, "No memory balloon device configured, can not set the collection period");
  }
  what.memballoon->stats_period = seconds ? std::optional(seconds) : std::nullopt;
}

Task<void> set_memory_stats_period(Client* client, DomainSetMemoryStatsPeriodArgs args) {
  require_flags(args.flags, affect_live | affect_config, "virDomainSetMemoryStatsPeriod");
  if (args.period < 0)
    throw Error(ErrorCode::invalid_arg, "period in virDomainSetMemoryStatsPeriod must be zero or greater");
  const auto seconds = static_cast<unsigned>(args.period);
  const auto [subject, job] = co_await claim(client, std::move(args.dom), "remoteDispatchDomainSetMemoryStatsPeriod");
  const Impact meant = impact(*subject, args.flags);
  std::optional<domain::Domain> config;
  if (meant.config) set_period(config.emplace(*subject->config()), seconds);
  if (meant.live) {
    const instance::Running& now = subject->running();
    domain::Domain after = now.live;
    set_period(after, seconds);
    auto request = emulator::set_balloon_period(after, seconds, now.capabilities);
    if (!request) {
      throw Error(ErrorCode::operation_unsupported,
                  "period '" + std::to_string(seconds) + "': this emulator's balloon keeps no statistics");
    }
    const auto monitor = now.connected();
    co_await monitor->execute(std::move(*request));
    edit_live(*subject, [&](domain::Domain& live) { set_period(live, seconds); });
  }
  if (config) co_await keep_config(client, subject, std::move(*config));
}

}  // namespace

void add_memory(Handlers& handlers) {
  using enum Procedure;
  handlers.add<domain_set_memory>(set_memory);
  handlers.add<domain_set_memory_flags>(set_memory_flags);
  handlers.add<domain_set_max_memory>(set_max_memory);
  handlers.add<domain_set_memory_stats_period>(set_memory_stats_period);
}

}  // namespace api
