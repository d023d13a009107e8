#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "driver/core/gate.h"
#include "driver/core/layout.h"
#include "driver/protocol/handlers.h"
#include "driver/registry/registry.h"
#include "driver/rpc/connection.h"

namespace api {

class Client;
using Handlers = protocol::Handlers<Client>;

/// What all clients share.
struct Driver {
  core::Loop& loop;
  const core::Layout& layout;
  registry::Registry& registry;
  std::set<Client*> clients;
  /// The console sessions under way, by domain and device.
  std::map<std::pair<core::Uuid, std::string>, std::weak_ptr<rpc::Stream>> consoles;
  std::vector<std::string> uri_aliases;  ///< other URIs than its own under which this driver is opened
  /// Of readers at images, which storage may keep waiting: most of the pool's threads are left to others.
  core::Gate reader_looks{4};
  bool ending = false;
  /// Of this a copy is held by whatever starts or destroys a run that goes with its client.
  std::shared_ptr<void> autodestroy = std::make_shared<bool>();

  std::string uri() const { return layout.session ? "stratovirt:///session" : "stratovirt:///system"; }
};

/// One client of the driver.
class Client : public rpc::Session {
 public:
  Client(Driver& driver, rpc::Connection& connection) : driver_(driver), connection_(connection), held_(connection) {
    driver_.clients.insert(this);
  }
  ~Client() override { driver_.clients.erase(this); }

  void serve(rpc::Call& call) override;
  void closed() override;

  Driver& driver() { return driver_; }
  registry::Registry& registry() { return driver_.registry; }
  rpc::Connection& connection() { return connection_; }
  /// By which it opened the driver.
  const std::string& uri() const { return uri_; }
  void set_uri(std::string uri) { uri_ = std::move(uri); }
  /// The domain that a call names; by its uuid, as libvirt does. Throws Error: NO_DOMAIN.
  registry::InstancePtr find(const protocol::Domain& domain) const {
    return driver_.registry.by_uuid(domain.uuid, domain.name);
  }

  /// virConnectOpen, which comes before all calls but a few. Throws Error where it has come already.
  void open();

  /// Has what runs of this domain now destroyed when this client goes (START_AUTODESTROY); at once where it is gone, or
  /// the daemon is ending.
  void autodestroy(const registry::InstancePtr& instance);
  struct Run {  ///< of a domain, which another client may start again
    std::weak_ptr<instance::Instance> instance;
    int id;
  };
  std::vector<Run> take_runs() { return std::exchange(autodestroy_, {}); }

  /// One registration for an event; `domain` absent: of every domain.
  struct Callback {
    int event;
    std::optional<core::Uuid> domain;
    bool operator==(const Callback&) const = default;
  };
  const std::map<int, Callback>& callbacks() const { return callbacks_; }
  /// One for an emulator's own events: of those whose names are `wanted`, or of all.
  struct MonitorCallback {
    std::function<bool(const std::string&)> wanted;
    std::optional<core::Uuid> domain;
  };
  /// One for events of objects that are not here: the kind of object (object_event.cc).
  struct ObjectCallback {
    std::size_t kind;
  };
  const std::map<int, MonitorCallback>& monitor_callbacks() const { return monitor_callbacks_; }
  static constexpr std::size_t most_callbacks = 1024;  ///< of each of the three kinds
  /// Its id. Throws Error where there are too many, or the same is there, as libvirt does.
  int add(Callback callback);
  int add(MonitorCallback callback);
  int add(ObjectCallback callback);
  /// Whether there was one.
  bool remove_callback(int id);
  bool remove_monitor_callback(int id);
  bool remove_object_callback(int id, std::size_t kind);

 private:
  template <class T>
  int add_to(std::map<int, T>& callbacks, T callback);
  void count_callbacks();

  Driver& driver_;
  rpc::Connection& connection_;
  std::map<int, Callback> callbacks_;
  std::map<int, MonitorCallback> monitor_callbacks_;
  std::map<int, ObjectCallback> object_callbacks_;
  int last_callback_ = 0;
  rpc::Connection::Held held_;  // for callbacks
  bool opened_ = false;
  std::vector<Run> autodestroy_;
  std::string uri_ = driver_.uri();
};

/// Destroys what is to go with its client, as the end of the daemon ends every connection; waits for it, within bounds.
core::Task<void> destroy_all_runs(Driver* driver);

/// The table of all handlers, a function a group.
const Handlers& handlers();
void add_connect(Handlers& handlers);
void add_domain(Handlers& handlers);
void add_lifecycle(Handlers& handlers);
void add_console(Handlers& handlers);
void add_event(Handlers& handlers);
void add_node(Handlers& handlers);
void add_stats(Handlers& handlers);
void add_device_stats(Handlers& handlers);
void add_guest(Handlers& handlers);
void add_metadata(Handlers& handlers);
void add_monitor(Handlers& handlers);
void add_memory(Handlers& handlers);
void add_vcpu(Handlers& handlers);
void add_pinning(Handlers& handlers);
void add_tuning(Handlers& handlers);
void add_device(Handlers& handlers);
void add_object_event(Handlers& handlers);
void add_absent(Handlers& handlers);

/// Tells every client that asked for it what happened to a domain.
void deliver(Driver& driver, const instance::Instance& from, const instance::Event& event);
void deliver_monitor_event(Driver& driver, const instance::Instance& from, const instance::MonitorEvent& event);

/// The domain as the wire names it.
protocol::Domain wire(const instance::Instance& instance);

/// Throws Error INVALID_ARG, with libvirt's words, for a flag beyond `known`.
void require_flags(std::uint32_t flags, std::uint32_t known, const char* function);

/// virConnectListAllDomainsFlags, in pairs and groups: a domain is listed when in each group that is asked for it has
/// one of the properties asked for.
bool listed(const instance::Instance& one, std::uint32_t flags);

}  // namespace api
