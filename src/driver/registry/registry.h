#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "driver/instance/instance.h"
#include "driver/registry/store.h"

namespace registry {

using InstancePtr = std::shared_ptr<instance::Instance>;

/// All domains: their names and uuids, their definitions on disk, and the news of them.
class Registry {
 public:
  using OnEvent = std::function<void(const instance::Instance&, const instance::Event&)>;
  using OnProblem = std::function<void(const std::string&)>;

  Registry(core::Loop& loop, const core::Layout& layout, const instance::Settings& settings, OnProblem problem);

  void on_event(OnEvent on_event) { on_event_ = std::move(on_event); }
  /// What the emulators of this host can do.
  instance::Prober& prober() { return prober_; }

  /// Reads the definitions, finds what runs, and starts what is to start with the host, once a boot. Serve clients
  /// after it.
  core::Task<void> recover();
  /// The settings are others now.
  void reconfigured();

  /// Throw Error: NO_DOMAIN with libvirt's texts.
  InstancePtr by_name(const std::string& name) const;
  InstancePtr by_uuid(const core::Uuid& uuid, const std::string& name) const;
  InstancePtr by_id(int id) const;
  /// By name order.
  std::vector<InstancePtr> all() const;
  std::size_t active_count() const;

  /// Makes the description persistent: a new domain, or the next start of the one with this name and uuid. Durable when
  /// it returns. Throws Error: OPERATION_FAILED where name and uuid belong to two domains.
  core::Task<InstancePtr> define(domain::Domain description);
  core::Task<void> undefine(InstancePtr instance);
  /// Puts `description` in the place of the definition that a domain has, whose job is held. Durable when it returns.
  core::Task<void> redefine(InstancePtr instance, domain::Domain description);
  /// Gives a domain that is shut off, whose job is held, another name. Throws Error: OPERATION_INVALID, with libvirt's
  /// words; as domain::check_name.
  core::Task<void> rename(InstancePtr instance, std::string name);
  /// A transient domain, running at once. With `reset_nvram` its variable store is made anew from its template.
  core::Task<InstancePtr> create(domain::Domain description, bool paused, bool reset_nvram = false);
  core::Task<void> start(InstancePtr instance, bool paused, bool reset_nvram = false);
  core::Task<void> set_autostart(InstancePtr instance, bool autostart);

 private:
  struct Claim {
    InstancePtr instance;
    instance::Job::Guard job;
  };
  InstancePtr find_or_add(const domain::Domain& description);
  core::Task<Claim> claim(const domain::Domain* description, const char* caller);
  void forget_unused(const instance::Instance& instance);
  core::Task<bool> recover_running(std::string path, bool again, std::function<core::Task<void>()> others);
  core::Task<void> recover_later(std::string path);
  core::Task<void> recover_all_running();
  core::Task<void> keep_aside(std::string path, std::string why);
  void set_unknown(const std::optional<core::Uuid>& uuid, const std::string& why);
  core::Task<void> require_settled(core::Uuid uuid);
  void give_back_unused() const;
  core::Task<void> start_with_host();

  core::Loop& loop_;
  const core::Layout& layout_;
  const instance::Settings& settings_;
  Store store_;
  OnProblem problem_;
  OnEvent on_event_;
  instance::Prober prober_;
  instance::Environment environment_;
  std::map<std::string, InstancePtr> by_name_;
  std::map<core::Uuid, InstancePtr> by_uuid_;
  int last_id_ = 0;
  /// Domains of which it is not known whether they run, and why: a state file cannot be read at the moment.
  std::map<core::Uuid, std::string> unknown_;
};

}  // namespace registry
