#include "driver/registry/registry.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <new>
#include <set>

#include "base/file.h"
#include "driver/core/backoff.h"
#include "driver/core/error.h"
#include "driver/domain/general.h"
#include "driver/host/cgroup.h"
#include "driver/host/find_process.h"
#include "driver/host/hugepages.h"
#include "driver/host/nvram.h"
#include "driver/instance/firmware.h"
#include "driver/registry/defaults.h"

namespace registry {
namespace {

using core::Error;
using core::ErrorCode;
using core::Task;
using instance::Instance;
using namespace core::asio::experimental::awaitable_operators;
using Clock = std::chrono::steady_clock;
using Begun = instance::Running::Begun;

constexpr std::size_t state_limit = std::size_t{16} << 20;
/// What is not settled by then is so while clients are served.
constexpr std::chrono::seconds recover_limit{30};

/// Whose state file it is.
std::optional<core::Uuid> uuid_of(const std::string& path) {
  return core::parse_uuid(std::filesystem::path(path).stem().string());
}

/// N of "domain-N-NAME"; 0 where it is no domain's.
int id_of_folder(const std::string& name) {
  constexpr std::string_view begin = "domain-";
  constexpr int largest = 1 << 30;  // there is room for more
  int id = 0;
  if (!name.starts_with(begin)) return 0;
  const auto end = std::from_chars(name.data() + begin.size(), name.data() + name.size(), id);
  return end.ec == std::errc() && end.ptr < name.data() + name.size() && *end.ptr == '-' && id <= largest ? id : 0;
}

/// One that is neither defined nor runs is on its way to either, or away: it has no description to show.
bool shown(const Instance& one) {
  return one.persistent() || one.active();
}

host::NvramAside put_nvram_aside(const domain::Domain& domain, const core::Layout& layout) {
  const std::string path = instance::nvram_path(domain, layout);
  return path.empty() ? host::NvramAside() : host::NvramAside(path);
}

}  // namespace

Registry::Registry(core::Loop& loop, const core::Layout& layout, const instance::Settings& settings, OnProblem problem)
    : loop_(loop),
      layout_(layout),
      settings_(settings),
      store_(layout),
      problem_(std::move(problem)),
      prober_(loop, layout, settings, [this](const std::string& problem) { problem_(problem); }),
      environment_{loop,
                   layout,
                   settings,
                   prober_,
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
  co_await loop_.blocking([&, settings = settings_] { fill_from_host(description, layout_, settings); });
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
  co_await require_settled(subject->uuid());
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
  co_await loop_.blocking([&, settings = settings_] { fill_from_host(description, layout_, settings); });
  const auto [subject, job] = co_await claim(&description, "remoteDispatchDomainCreateXML");
  if (subject->active())
    throw Error(ErrorCode::operation_invalid, "domain '" + subject->name() + "' is already active");
  try {
    co_await require_settled(description.uuid);
    host::NvramAside old = reset_nvram ? put_nvram_aside(description, layout_) : host::NvramAside();
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
  co_await require_settled(subject->uuid());
  by_uuid(subject->uuid(), subject->name());  // it may have gone while this waited for its job
  host::NvramAside old = reset_nvram ? put_nvram_aside(*subject->config(), layout_) : host::NvramAside();
  co_await subject->start(*subject->config(), ++last_id_, paused);
  old.keep_new();
}

Task<void> Registry::set_autostart(InstancePtr subject, bool autostart) {
  if (!subject->persistent()) throw Error(ErrorCode::operation_invalid, "cannot set autostart for transient domain");
  if (subject->autostart() == autostart) co_return;
  co_await loop_.blocking([&] { store_.set_autostart(*subject->config(), autostart); });
  subject->set_autostart(autostart);
}

/// Refuses to start what may run already: what its state file says cannot be known at the moment, or is damaged.
Task<void> Registry::require_settled(core::Uuid uuid) {
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorCode::operation_failed, "domain with uuid '" + core::to_string(uuid) + "' may be running: " + why);
  };
  if (const auto why = unknown_.find(uuid); why != unknown_.end()) refuse(why->second);
  const std::string text = core::to_string(uuid), path = layout_.state + "/" + text;
  std::error_code ignored;
  for (const std::string& kept : {path + ".json.broken", path + ".starting.broken"}) {
    if (!std::filesystem::exists(kept, ignored)) continue;
    const auto pid = co_await loop_.blocking([&] { return host::find_emulator(text); });
    if (pid) refuse("its state file '" + kept + "' is damaged, and process " + std::to_string(*pid) + " has its uuid");
  }
}

void Registry::set_unknown(const std::optional<core::Uuid>& uuid, const std::string& why) {
  if (!uuid) return;
  if (why.empty()) {
    unknown_.erase(*uuid);
  } else {
    unknown_[*uuid] = why;
  }
  if (const auto known = by_uuid_.find(*uuid); known != by_uuid_.end()) known->second->set_unknown(!why.empty());
}

Task<void> Registry::keep_aside(std::string path, std::string why) {
  problem_("the state file '" + path + "' is kept aside, its machine is not managed: " + why);
  std::error_code failed;
  std::filesystem::rename(path, path + ".broken", failed);
  const std::string stem = std::filesystem::path(path).stem();
  const auto uuid = core::parse_uuid(stem);
  if (failed) {
    set_unknown(uuid, "'" + path + "' is damaged");
    co_return;
  }
  set_unknown(uuid, "");
  try {
    const bool runs = uuid && co_await loop_.blocking([&] { return host::find_emulator(stem); });
    if (const auto known = by_uuid_.find(uuid.value_or(core::Uuid())); runs && known != by_uuid_.end())
      known->second->set_unknown(true);
  } catch (const Error&) {  // start() asks again
  }
}

/// Whether it is settled what the file says: a machine that runs, one that has ended, or that the file is damaged.
/// `others`: as of Instance::reconnect().
Task<bool> Registry::recover_running(std::string path, bool again, std::function<Task<void>()> others) {
  const auto uuid = uuid_of(path);
  std::string text;
  try {
    text = co_await loop_.blocking([&] { return base::read_file(path, state_limit); });
  } catch (const std::system_error& error) {
    const int number = error.code().value();
    if (number == ENOENT) {
      set_unknown(uuid, "");
      co_return true;
    }
    if (number != EFBIG) {
      if (!again) problem_(std::string("a machine is not known, and looked for again: ") + error.what());
      set_unknown(uuid, error.what());
      co_return false;
    }
  }
  InstancePtr subject;
  std::optional<std::string> damaged;
  try {
    instance::LiveState state = instance::LiveState::read(text);
    if (state.live.uuid != uuid)
      throw Error(ErrorCode::internal_error,
                  "it is of the domain with uuid '" + core::to_string(state.live.uuid) + "'");
    try {
      subject = find_or_add(state.live);
    } catch (const Error& error) {  // another has its name, until that is undefined
      if (!again) problem_("the machine of '" + path + "' is not managed, and looked for again: " + error.detail());
      set_unknown(uuid, error.detail());
      co_return false;
    }
    if (subject->active()) throw Error(ErrorCode::internal_error, "the domain runs already");
    set_unknown(uuid, "");
    if (state.id < 0) state.id = last_id_ + 1;
    last_id_ = std::max(last_id_, state.id);
    const bool begun = std::filesystem::path(path).extension() == ".json";
    co_await subject->reconnect(std::move(state), begun ? Begun::yes : Begun::no, std::move(others));
  } catch (const std::bad_alloc&) {
    set_unknown(uuid, "there is no memory to read '" + path + "'");
    co_return false;
  } catch (const std::exception& error) {
    damaged = error.what();
  }
  if (damaged) co_await keep_aside(path, *damaged);
  if (subject) forget_unused(*subject);
  co_return true;
}

Task<void> Registry::recover_later(std::string path) {
  core::Backoff backoff;
  do co_await core::sleep(backoff.next());
  while (!co_await recover_running(path, true, {}));
}

/// All that ran, at once: an emulator that does not answer holds up no other, and nobody for ever. No process is looked
/// for before all files are read.
Task<void> Registry::recover_all_running() {
  std::vector<std::string> states;
  for (const auto& entry : std::filesystem::directory_iterator(layout_.state)) {
    last_id_ = std::max(last_id_, id_of_folder(entry.path().filename()));
    const auto extension = entry.path().extension();
    std::error_code untold;  // then reading says why
    const bool file = entry.is_regular_file(untold) || untold;
    if (file && (extension == ".json" || extension == ".starting")) states.push_back(entry.path());
  }
  struct Progress {
    std::size_t unread, under_way;
    Clock::time_point end;
    core::Signal changed;
    Task<void> wait_for(const std::size_t* left) {
      while (*left > 0 && Clock::now() < end) co_await (changed.wait() || core::sleep(end - Clock::now()));
    }
    void count_down(std::size_t& left) {
      --left;
      changed.notify();
    }
  };
  const auto progress = std::make_shared<Progress>(states.size(), states.size(), Clock::now() + recover_limit,
                                                   core::Signal(loop_.context()));
  const auto recover_one = [](Registry* all, std::string path, std::shared_ptr<Progress> progress) -> Task<void> {
    bool settled = false, read = false;
    const auto is_read = [&] {
      if (!std::exchange(read, true)) progress->count_down(progress->unread);
    };
    try {
      settled = co_await all->recover_running(path, false, [&] {
        is_read();
        return progress->wait_for(&progress->unread);
      });
    } catch (const std::exception& error) {
      all->problem_("the state file '" + path + "' is read again: " + error.what());
      all->set_unknown(uuid_of(path), error.what());
    }
    if (!settled) all->loop_.spawn(all->recover_later(path), "the state file '" + path + "'");
    is_read();
    progress->count_down(progress->under_way);
  };
  for (const std::string& path : states) set_unknown(uuid_of(path), "'" + path + "' is being read");
  for (const std::string& path : states)
    loop_.spawn(recover_one(this, path, progress), "the state file '" + path + "'");
  co_await progress->wait_for(&progress->under_way);
}

/// What a daemon that died amid a start had taken before it came to write down which. A folder is the first of it.
void Registry::give_back_unused() const {
  if (!unknown_.empty()) return;
  std::set<std::string> used;
  for (const InstancePtr& one : all()) {
    if (one->active()) used.insert(one->running().folder.path());
  }
  if (used.contains("")) return;  // of a machine whose process is still looked for
  std::vector<std::filesystem::path> unused;
  for (const auto& entry : std::filesystem::directory_iterator(layout_.state)) {
    if (entry.path().extension() == ".broken") return;  // of a machine that may run, and nobody knows which is its own
    const std::string name = entry.path().filename();
    const bool folder = name.starts_with("domain-") && !used.contains(entry.path());
    if (folder || name.ends_with(".json.new")) unused.push_back(entry.path());
  }
  for (const auto& path : unused) {
    try {
      host::HugepageFolder::remove_all(path.filename());
      host::Cgroup::find(path.filename());
      std::filesystem::remove_all(path);
    } catch (const std::exception& error) {
      problem_("what '" + path.string() + "' is of stays: " + error.what());
    }
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
  try {
    give_back_unused();
  } catch (const std::exception& error) {
    problem_(std::string("what daemons before left stays: ") + error.what());
  }
  co_await start_with_host();
}

void Registry::reconfigured() {
  for (const auto& [uuid, one] : by_uuid_) one->job().limit(settings_.max_queued);
}

/// A later daemon leaves alone what an administrator has shut off since. libvirt's mark, which here says of which boot
/// it is: without XDG_RUNTIME_DIR the folder outlives the host. Made last: what a daemon that is ended amid this had
/// not come to is the next one's.
Task<void> Registry::start_with_host() {
  const std::string mark = layout_.state + "/autostarted";
  std::string boot;
  try {
    constexpr std::size_t longest = 4096;
    boot = base::read_file("/proc/sys/kernel/random/boot_id", longest);
    const auto made = base::read_file_if_exists(mark, longest);
    if (made && (made->empty() || *made == boot)) co_return;
  } catch (const std::exception& error) {
    problem_(std::string("what is to start with the host is left alone: ") + error.what());
    co_return;
  }
  for (const InstancePtr& one : all()) {
    if (!one->autostart() || one->active()) continue;
    try {
      const auto job = co_await one->job().acquire("autostart");
      co_await start(one, false);
    } catch (const std::exception& error) {
      problem_("cannot start '" + one->name() + "' with the host: " + error.what());
    }
  }
  try {
    base::replace_file(mark, boot, 0600);
  } catch (const std::exception& error) {
    problem_(std::string("the next daemon starts again what is to start with the host: ") + error.what());
  }
}

}  // namespace registry
