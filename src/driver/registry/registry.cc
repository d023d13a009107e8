#include "driver/registry/registry.h"

#include <boost/asio/co_spawn.hpp>
#include <filesystem>
#include <set>

#include "base/file.h"
#include "driver/core/error.h"
#include "driver/domain/general.h"
#include "driver/host/cgroup.h"
#include "driver/host/hugepages.h"
#include "driver/host/nvram.h"
#include "driver/registry/defaults.h"

namespace registry {
namespace {

using core::Error;
using core::ErrorCode;
using core::Task;
using instance::Instance;

constexpr std::size_t state_limit = std::size_t{16} << 20;

/// One that is neither defined nor runs is on its way to either, or away: it has no description to show.
bool shown(const Instance& one) {
  return one.persistent() || one.active();
}

host::NvramAside put_nvram_aside(const domain::Domain& domain) {
  return domain.os.nvram ? host::NvramAside(domain.os.nvram->path) : host::NvramAside();
}

}  // namespace

Registry::Registry(core::Loop& loop, const core::Layout& layout, const instance::Settings& settings, OnProblem problem)
    : loop_(loop),
      layout_(layout),
      settings_(settings),
      store_(layout),
      problem_(std::move(problem)),
      environment_{loop,
                   layout,
                   settings,
                   [this](const Instance& from, const instance::Event& event) {
                     if (on_event_) on_event_(from, event);
                   },
                   [this](Instance& from) { forget_unused(from); },
                   [this](const std::string& problem) { problem_(problem); }} {}

InstancePtr Registry::by_name(const std::string& name) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end() || !shown(*found->second))
    throw Error(ErrorCode::no_domain, "no domain with matching name '" + name + "'");
  return found->second;
}

InstancePtr Registry::by_uuid(const core::Uuid& uuid, const std::string& name) const {
  const auto found = by_uuid_.find(uuid);
  if (found == by_uuid_.end() || !shown(*found->second)) {
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
  for (const auto& [name, one] : by_name_) {
    if (shown(*one) && one->name() == name) list.push_back(one);  // it has two while it is renamed
  }
  return list;
}

std::size_t Registry::active_count() const {
  std::size_t count = 0;
  for (const auto& [name, one] : by_name_) count += one->active();
  return count;
}

/// The instance a description speaks of, made where there is none.
InstancePtr Registry::find_or_add(const domain::Domain& description) {
  const auto same_uuid = by_uuid_.find(description.uuid);
  if (same_uuid != by_uuid_.end()) {
    const InstancePtr& known = same_uuid->second;
    if (known->name() == description.name) return known;
    throw Error(ErrorCode::operation_failed,
                "domain '" + known->name() + "' is already defined with uuid " + core::to_string(description.uuid));
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

/// That instance with its job held. `description` outlives it.
Task<Registry::Claim> Registry::claim(const domain::Domain* description, const char* caller) {
  for (;;) {
    InstancePtr subject = find_or_add(*description);
    auto job = co_await subject->job().acquire(caller);
    // Whoever held it before may have undefined it.
    const auto still = by_uuid_.find(description->uuid);
    if (still != by_uuid_.end() && still->second == subject && subject->name() == description->name) {
      co_return Claim{std::move(subject), std::move(job)};
    }
  }
}

void Registry::forget_unused(const Instance& one) {
  if (shown(one)) return;
  const auto known = by_uuid_.find(one.uuid());
  if (known == by_uuid_.end() || known->second.get() != &one) return;
  by_name_.erase(one.name());
  by_uuid_.erase(known);
}

Task<InstancePtr> Registry::define(domain::Domain description) {
  fill_from_host(description, layout_, settings_);
  const auto [subject, job] = co_await claim(&description, "remoteDispatchDomainDefineXMLFlags");
  const bool fresh = !subject->persistent();
  try {
    co_await loop_.blocking([&] { store_.write(description); });
  } catch (...) {
    forget_unused(*subject);
    throw;
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
  forget_unused(*subject);
}

Task<void> Registry::redefine(InstancePtr subject, domain::Domain description) {
  co_await loop_.blocking([&] { store_.write(description); });
  subject->set_config(std::move(description));
}

Task<void> Registry::rename(InstancePtr subject, std::string name) {
  const auto refuse = [](const std::string& why) { throw Error(ErrorCode::operation_invalid, why); };
  if (subject->active()) refuse("cannot rename active domain");
  if (!subject->persistent()) refuse("cannot rename a transient domain");
  if (name == subject->name()) refuse("Can't rename domain to itself");
  domain::check_name(name);
  if (!by_name_.emplace(name, subject).second) refuse("domain with name '" + name + "' already exists");
  const domain::Domain before = *subject->config();
  domain::Domain after = before;
  after.name = name;
  try {
    co_await loop_.blocking([&] {
      store_.write(after);
      try {
        if (subject->autostart()) store_.set_autostart(after, true);
        store_.remove(before);
      } catch (...) {
        store_.remove(after);
        throw;
      }
    });
  } catch (...) {
    by_name_.erase(name);
    throw;
  }
  environment_.notify(*subject, instance::lifecycle::undefined_renamed);
  by_name_.erase(before.name);
  subject->rename(std::move(name));
  subject->set_config(std::move(after));
  environment_.notify(*subject, instance::lifecycle::defined_renamed);
}

Task<InstancePtr> Registry::create(domain::Domain description, bool paused, bool reset_nvram) {
  fill_from_host(description, layout_, settings_);
  const auto [subject, job] = co_await claim(&description, "remoteDispatchDomainCreateXML");
  if (subject->active())
    throw Error(ErrorCode::operation_invalid, "domain '" + subject->name() + "' is already active");
  try {
    host::NvramAside old = reset_nvram ? put_nvram_aside(description) : host::NvramAside();
    co_await subject->start(std::move(description), ++last_id_, paused);
    old.keep_new();
  } catch (...) {
    forget_unused(*subject);
    throw;
  }
  co_return subject;
}

Task<void> Registry::start(InstancePtr subject, bool paused, bool reset_nvram) {
  if (subject->active()) throw Error(ErrorCode::operation_invalid, "domain is already running");
  by_uuid(subject->uuid(), subject->name());  // it may have gone while this waited for its job
  host::NvramAside old = reset_nvram ? put_nvram_aside(*subject->config()) : host::NvramAside();
  co_await subject->start(*subject->config(), ++last_id_, paused);
  old.keep_new();
}

Task<void> Registry::set_autostart(InstancePtr subject, bool autostart) {
  if (!subject->persistent()) throw Error(ErrorCode::operation_invalid, "cannot set autostart for transient domain");
  if (subject->autostart() == autostart) co_return;
  co_await loop_.blocking([&] { store_.set_autostart(*subject->config(), autostart); });
  subject->set_autostart(autostart);
}

Task<void> Registry::recover_running(std::string path) {
  InstancePtr subject;
  try {
    const std::string text = base::read_file(path, state_limit);
    const domain::Domain live = domain::parse_live(emulator::Json::parse(text).at("description").get<std::string>());
    if (const std::string own = core::to_string(live.uuid) + ".json"; std::filesystem::path(path).filename() != own)
      throw Error(ErrorCode::internal_error, "it is of the domain whose file is '" + own + "'");
    subject = find_or_add(live);
    co_await subject->reconnect(text);
    last_id_ = std::max(last_id_, subject->id());
  } catch (const std::exception& error) {
    problem_("the state file '" + path + "' is kept aside, its machine is not managed: " + error.what());
    std::error_code ignored;
    std::filesystem::rename(path, path + ".broken", ignored);
  }
  if (subject) forget_unused(*subject);
}

/// All that ran, at once: an emulator that does not answer holds up no other.
Task<void> Registry::recover_all_running() {
  std::vector<std::string> states;
  for (const auto& entry : std::filesystem::directory_iterator(layout_.state)) {
    std::error_code none;
    if (entry.is_regular_file(none) && entry.path().extension() == ".json") states.push_back(entry.path());
  }
  std::size_t under_way = states.size();
  core::Signal ended(loop_.context());
  for (std::string& path : states) {
    core::asio::co_spawn(loop_.context(), recover_running(std::move(path)), [&](const std::exception_ptr&) {
      --under_way;
      ended.notify();
    });
  }
  while (under_way > 0) co_await ended.wait();
}

/// What a daemon that died amid a start had taken before it came to write down which. A folder is the first of it.
void Registry::give_back_unused() const {
  std::set<std::string> used;
  for (const InstancePtr& one : all()) {
    if (one->active()) used.insert(one->running().folder.path());
  }
  std::vector<std::filesystem::path> unused;
  for (const auto& entry : std::filesystem::directory_iterator(layout_.state)) {
    if (entry.path().extension() == ".broken") return;  // of a machine that may run, and nobody knows which is its own
    const std::string name = entry.path().filename();
    const bool folder = name.starts_with("domain-") && !used.contains(entry.path());
    if (folder || name.ends_with(".json.new")) unused.push_back(entry.path());
  }
  for (const auto& path : unused) {
    host::HugepageFolder::remove_all(path.filename());
    host::Cgroup::find(path.filename());
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
}

Task<void> Registry::recover() {
  base::remove_temporaries(layout_.nvram);
  for (Store::Loaded& loaded : store_.load([this](const std::string& path, const std::string& why) {
         problem_("the definition '" + path + "' is kept aside: " + why);
       })) {
    try {
      const InstancePtr subject = find_or_add(loaded.domain);
      subject->set_config(std::move(loaded.domain));
      subject->set_autostart(loaded.autostart);
    } catch (const Error& error) {
      problem_(error.what());
    }
  }
  co_await recover_all_running();
  give_back_unused();
  for (const InstancePtr& one : all()) {
    if (!one->autostart() || one->active()) continue;
    try {
      const auto job = co_await one->job().acquire("autostart");
      co_await start(one, false);
    } catch (const std::exception& error) {
      problem_("cannot start '" + one->name() + "' with the host: " + error.what());
    }
  }
}

}  // namespace registry
