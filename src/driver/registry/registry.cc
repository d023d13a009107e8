#include "driver/registry/registry.h"

#include <filesystem>

#include "base/file.h"
#include "driver/core/error.h"
#include "driver/registry/defaults.h"

namespace registry {
namespace {

using core::Error;
using core::ErrorCode;
using core::Task;
using instance::Instance;

constexpr std::size_t state_limit = std::size_t{16} << 20;

}  // namespace

Registry::Registry(core::Loop& loop, const core::Layout& layout, const instance::Settings& settings, OnProblem problem)
    : loop_(loop),
      layout_(layout),
      settings_(settings),
      store_(layout),
      problem_(std::move(problem)),
      environment_{loop, layout, settings,
                   [this](const Instance& from, const instance::Event& event) {
                     if (on_event_) on_event_(from, event);
                   },
                   [this](Instance& from) { ended(from); }} {}

InstancePtr Registry::by_name(const std::string& name) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) throw Error(ErrorCode::no_domain, "no domain with matching name '" + name + "'");
  return found->second;
}

InstancePtr Registry::by_uuid(const core::Uuid& uuid, const std::string& name) const {
  const auto found = by_uuid_.find(uuid);
  if (found == by_uuid_.end()) {
    throw Error(ErrorCode::no_domain, "no domain with matching uuid '" + core::to_string(uuid) + "'" +
                                          (name.empty() ? std::string() : " (" + name + ")"));
  }
  return found->second;
}

InstancePtr Registry::by_id(int id) const {
  for (const auto& [name, one] : by_name_) {
    if (one->active() && one->id() == id) return one;
  }
  throw Error(ErrorCode::no_domain, "no domain with matching id " + std::to_string(id));
}

std::vector<InstancePtr> Registry::all() const {
  std::vector<InstancePtr> list;
  list.reserve(by_name_.size());
  for (const auto& [name, one] : by_name_) list.push_back(one);
  return list;
}

std::size_t Registry::active_count() const {
  std::size_t count = 0;
  for (const auto& [name, one] : by_name_) count += one->active();
  return count;
}

/// The instance a description speaks of, made where there is none.
InstancePtr Registry::claim(const domain::Domain& description, bool must_be_idle) {
  const auto same_uuid = by_uuid_.find(description.uuid);
  if (same_uuid != by_uuid_.end()) {
    const InstancePtr& known = same_uuid->second;
    if (known->name() != description.name) {
      throw Error(ErrorCode::operation_failed,
                  "domain '" + known->name() + "' is already defined with uuid " + core::to_string(description.uuid));
    }
    if (must_be_idle && known->active()) {
      throw Error(ErrorCode::operation_invalid, "domain '" + known->name() + "' is already active");
    }
    return known;
  }
  if (const auto same_name = by_name_.find(description.name); same_name != by_name_.end()) {
    throw Error(ErrorCode::operation_failed, "domain '" + description.name + "' already exists with uuid " +
                                                 core::to_string(same_name->second->uuid()));
  }
  auto fresh = std::make_shared<Instance>(environment_, description.uuid, description.name);
  by_name_[description.name] = fresh;
  by_uuid_[description.uuid] = fresh;
  return fresh;
}

void Registry::forget(const Instance& gone) {
  by_name_.erase(gone.name());
  by_uuid_.erase(gone.uuid());
}

void Registry::ended(Instance& over) {
  if (!over.persistent()) forget(over);
}

Task<InstancePtr> Registry::define(domain::Domain description) {
  fill_from_host(description, layout_, settings_);
  const InstancePtr subject = claim(description, false);
  const auto job = co_await subject->job().acquire("remoteDispatchDomainDefineXMLFlags");
  const bool fresh = !subject->persistent();
  try {
    co_await loop_.blocking([&] { store_.write(description); });
  } catch (...) {
    if (fresh && !subject->active()) forget(*subject);
    throw;
  }
  if (!by_uuid_.contains(subject->uuid())) {  // undefined, or ended, while this waited for the job
    by_name_[subject->name()] = subject;
    by_uuid_[subject->uuid()] = subject;
  }
  subject->set_config(std::move(description));
  environment_.notify(*subject, fresh ? instance::lifecycle::defined_added : instance::lifecycle::defined_updated);
  co_return subject;
}

Task<void> Registry::undefine(InstancePtr subject) {
  if (!subject->persistent()) throw Error(ErrorCode::operation_invalid, "cannot undefine transient domain");
  co_await loop_.blocking([&] { store_.remove(*subject->config()); });
  subject->set_config({});
  subject->set_autostart(false);
  environment_.notify(*subject, instance::lifecycle::undefined_removed);
  if (!subject->active()) forget(*subject);
}

Task<InstancePtr> Registry::create(domain::Domain description, bool paused) {
  fill_from_host(description, layout_, settings_);
  const InstancePtr subject = claim(description, true);
  const auto job = co_await subject->job().acquire("remoteDispatchDomainCreateXML");
  if (subject->active())
    throw Error(ErrorCode::operation_invalid, "domain '" + subject->name() + "' is already active");
  try {
    co_await subject->start(std::move(description), ++last_id_, paused);
  } catch (...) {
    if (!subject->persistent()) forget(*subject);
    throw;
  }
  co_return subject;
}

Task<void> Registry::start(InstancePtr subject, bool paused) {
  if (subject->active()) throw Error(ErrorCode::operation_invalid, "domain is already running");
  co_await subject->start(*subject->config(), ++last_id_, paused);
}

Task<void> Registry::set_autostart(InstancePtr subject, bool autostart) {
  if (!subject->persistent()) throw Error(ErrorCode::operation_invalid, "cannot set autostart for transient domain");
  if (subject->autostart() == autostart) co_return;
  co_await loop_.blocking([&] { store_.set_autostart(*subject->config(), autostart); });
  subject->set_autostart(autostart);
}

Task<void> Registry::recover_running(std::string path) {
  try {
    const std::string text = base::read_file(path, state_limit);
    const domain::Domain live = domain::parse_live(emulator::Json::parse(text).at("description").get<std::string>());
    const InstancePtr subject = claim(live, true);
    co_await subject->reconnect(text);
    last_id_ = std::max(last_id_, subject->id());
    if (!subject->active() && !subject->persistent()) forget(*subject);
  } catch (const std::exception& error) {
    problem_("the state file '" + path + "' is kept aside, its machine is not managed: " + error.what());
    std::error_code ignored;
    std::filesystem::rename(path, path + ".broken", ignored);
  }
}

Task<void> Registry::recover() {
  for (Store::Loaded& loaded : store_.load([this](const std::string& path, const std::string& why) {
         problem_("the definition '" + path + "' is kept aside: " + why);
       })) {
    try {
      const InstancePtr subject = claim(loaded.domain, false);
      subject->set_config(std::move(loaded.domain));
      subject->set_autostart(loaded.autostart);
    } catch (const Error& error) {
      problem_(error.what());
    }
  }
  std::vector<std::string> states;
  for (const auto& entry : std::filesystem::directory_iterator(layout_.state)) {
    if (entry.path().extension() == ".json") states.push_back(entry.path());
  }
  for (std::string& path : states) co_await recover_running(std::move(path));
  for (const InstancePtr& one : all()) {
    if (!one->autostart() || one->active()) continue;
    try {
      const auto job = co_await one->job().acquire("autostart");
      co_await start(one, false);
    } catch (const Error& error) {
      problem_("cannot start '" + one->name() + "' with the host: " + error.what());
    }
  }
}

}  // namespace registry
