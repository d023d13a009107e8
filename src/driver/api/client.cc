#include "driver/api/client.h"

#include <algorithm>
#include <chrono>
#include <ranges>

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

Error tracked() {
  return {ErrorCode::invalid_arg, "event callback already tracked", core::ErrorDomain::none};
}

}  // namespace

const Handlers& handlers() {
  static const auto table = [] {
    auto all = std::make_unique<Handlers>();
    for (auto add : {add_connect, add_domain, add_lifecycle, add_console, add_event, add_node, add_stats,
                     add_device_stats, add_guest, add_metadata, add_monitor, add_memory, add_vcpu, add_pinning,
                     add_tuning, add_device, add_object_event, add_absent})
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

template <class T>
int Client::add_to(std::map<int, T>& callbacks, T callback) {
  if (callbacks.size() >= most_callbacks)
    throw Error(ErrorCode::operation_failed, "too many event callbacks of one client");
  callbacks.emplace(++last_callback_, std::move(callback));
  count_callbacks();
  return last_callback_;
}

int Client::add(Callback callback) {
  const auto same = [&](const Callback& one) { return one == callback; };
  if (std::ranges::any_of(callbacks_ | std::views::values, same)) throw tracked();
  return add_to(callbacks_, callback);
}

int Client::add(MonitorCallback callback) {
  const auto same = [&](const MonitorCallback& one) {
    return !one.wanted && !callback.wanted && one.domain == callback.domain;
  };
  if (std::ranges::any_of(monitor_callbacks_ | std::views::values, same)) throw tracked();
  return add_to(monitor_callbacks_, std::move(callback));
}

int Client::add(ObjectCallback callback) {
  return add_to(object_callbacks_, callback);
}

bool Client::remove_callback(int id) {
  const bool there = callbacks_.erase(id) > 0;
  count_callbacks();
  return there;
}

bool Client::remove_monitor_callback(int id) {
  const bool there = monitor_callbacks_.erase(id) > 0;
  count_callbacks();
  return there;
}

bool Client::remove_object_callback(int id, std::size_t kind) {
  const auto found = object_callbacks_.find(id);
  if (found == object_callbacks_.end() || found->second.kind != kind) return false;
  object_callbacks_.erase(found);
  count_callbacks();
  return true;
}

void Client::count_callbacks() {
  constexpr std::size_t node = 4 * sizeof(void*);  // of a map
  held_.set(callbacks_.size() * (sizeof(Callback) + node) +
            monitor_callbacks_.size() * (sizeof(MonitorCallback) + node) +
            object_callbacks_.size() * (sizeof(ObjectCallback) + node));
}

namespace {

/// Destroys that run of a domain, whatever others do to it meanwhile.
core::Task<void> destroy_run(registry::InstancePtr doomed, int id, std::shared_ptr<void>) {
  constexpr std::chrono::seconds pause{1};
  while (doomed->id() == id) {
    try {
      const auto job = co_await doomed->job().acquire("autodestroy");
      if (doomed->id() == id) co_await doomed->destroy(false);
      co_return;
    } catch (const std::exception&) {
      // Its job is held for long, or its process outlives SIGKILL for now.
    }
    co_await core::sleep(pause);
  }
}

}  // namespace

void Client::autodestroy(const registry::InstancePtr& instance) {
  if (!instance->active()) return;
  if (connection_.closed() || driver_.ending)
    return driver_.loop.spawn(destroy_run(instance, instance->id(), driver_.autodestroy));
  std::erase_if(autodestroy_, [](const Run& run) {
    const auto known = run.instance.lock();
    return !known || known->id() != run.id;
  });
  autodestroy_.push_back({instance, instance->id()});
}

void Client::closed() {
  callbacks_.clear();
  monitor_callbacks_.clear();
  object_callbacks_.clear();
  count_callbacks();
  for (const Run& run : take_runs()) {
    if (const auto doomed = run.instance.lock()) driver_.loop.spawn(destroy_run(doomed, run.id, driver_.autodestroy));
  }
}

core::Task<void> destroy_all_runs(Driver* driver) {
  constexpr std::chrono::seconds limit{20};  // longer than a process may take that has to be killed
  constexpr std::chrono::milliseconds pause{10};
  const auto end = std::chrono::steady_clock::now() + limit;
  driver->ending = true;  // what is being started now is destroyed as soon as it runs
  for (Client* client : driver->clients) {
    for (const Client::Run& run : client->take_runs()) {
      if (const auto doomed = run.instance.lock()) driver->loop.spawn(destroy_run(doomed, run.id, driver->autodestroy));
    }
  }
  while (driver->autodestroy.use_count() > 1 && std::chrono::steady_clock::now() < end) co_await core::sleep(pause);
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
