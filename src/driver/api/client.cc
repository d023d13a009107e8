#include "driver/api/client.h"

#include "driver/core/error.h"

namespace api {

using core::Error;
using core::ErrorCode;

namespace {

bool comes_before_open(const rpc::Header& call) {
  using enum protocol::Procedure;
  const auto procedure = static_cast<protocol::Procedure>(call.procedure);
  return call.program == protocol::remote_program &&
         (procedure == connect_open || procedure == connect_close || procedure == connect_supports_feature);
}

}  // namespace

const Handlers& handlers() {
  static const auto table = [] {
    auto all = std::make_unique<Handlers>();
    for (auto add : {add_connect, add_domain, add_lifecycle, add_console, add_event, add_node, add_stats,
                     add_device_stats, add_guest, add_snapshot, add_metadata, add_monitor, add_memory, add_vcpu,
                     add_pinning, add_tuning, add_device})
      add(*all);
    return all;
  }();
  return *table;
}

void Client::serve(rpc::Call& call) {
  const protocol::Row& row = protocol::admit(connection_, call.header);
  if (!opened_ && row.access != protocol::Access::authentication && !comes_before_open(call.header)) {
    throw Error(ErrorCode::internal_error, "hypervisor connection not open", core::ErrorDomain::rpc);
  }
  handlers().serve(*this, connection_, call);
}

void Client::open() {
  if (opened_) throw Error(ErrorCode::internal_error, "connection already open", core::ErrorDomain::rpc);
  opened_ = true;
}

void Client::closed() {
  callbacks_.clear();
  monitor_callbacks_.clear();
  for (const auto& weak : autodestroy_) {
    const auto subject = weak.lock();
    if (!subject || !subject->active()) continue;
    driver_.loop.spawn([](registry::InstancePtr doomed) -> core::Task<void> {
      try {
        const auto job = co_await doomed->job().acquire("autodestroy");
        if (doomed->active()) co_await doomed->destroy(false);
      } catch (const Error&) {
        // Nobody is left to be told; the domain shows its state.
      }
    }(subject));
  }
  autodestroy_.clear();
}

protocol::Domain wire(const instance::Instance& subject) {
  return {subject.name(), subject.uuid(), subject.id()};
}

void require_flags(std::uint32_t flags, std::uint32_t known, const char* function) {
  if (const std::uint32_t unknown = flags & ~known) {
    char text[16];
    std::snprintf(text, sizeof text, "0x%x", unknown);
    throw Error::plain(ErrorCode::invalid_arg, std::string("unsupported flags (") + text + ") in function " + function);
  }
}

}  // namespace api
