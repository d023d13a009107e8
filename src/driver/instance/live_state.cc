#include "driver/instance/live_state.h"

#include <array>
#include <string_view>
#include <utility>

#include "driver/core/error.h"
#include "qmp/message.h"

namespace instance {
namespace {

using core::Error;
using core::ErrorCode;
using nlohmann::json;

constexpr std::array<std::pair<Trigger, std::string_view>, 5> endings = {{
    {Trigger::exit_shutdown, "shutdown"},
    {Trigger::exit_destroyed, "destroyed"},
    {Trigger::exit_crashed, "crashed"},
    {Trigger::exit_panicked, "panicked"},
    {Trigger::exit_failed, "failed"},
}};

[[noreturn]] void refuse(const std::string& member, const json& value) {
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (text.size() > 80) text.resize(80);
  throw Error(ErrorCode::internal_error, "'" + member + "' of '" + text + "' is not what a state file holds");
}

/// A number that is what it seems: JSON's own conversion makes another of one that is too large.
template <class T>
T whole(const std::string& member, const json& value) {
  if (value.is_number_unsigned() && std::in_range<T>(value.get<std::uint64_t>())) return value.get<T>();
  if (!value.is_number_unsigned() && value.is_number_integer() && std::in_range<T>(value.get<std::int64_t>()))
    return value.get<T>();
  refuse(member, value);
}

/// Takes the members of an object one by one; what is left is a newer daemon's.
class Members {
 public:
  explicit Members(json object) : left_(std::move(object)) {}

  std::optional<json> take(const char* name) {
    const auto found = left_.find(name);
    if (found == left_.end()) return std::nullopt;
    json value = std::move(*found);
    left_.erase(found);
    return value;
  }
  json required(const char* name) {
    if (auto value = take(name)) return *std::move(value);
    throw Error(ErrorCode::internal_error, std::string("it has no '") + name + "'");
  }
  template <class T>
  void read(const char* name, T& into) {
    if (const auto value = take(name)) into = whole<T>(name, *value);
  }
  void read(const char* name, bool& into) {
    if (const auto value = take(name)) into = value->is_boolean() ? value->get<bool>() : (refuse(name, *value), false);
  }
  void read(const char* name, std::string& into) {
    if (const auto value = take(name)) into = text(name, *value);
  }
  static std::string text(const char* name, const json& value) {
    if (!value.is_string()) refuse(name, value);
    return value.get<std::string>();
  }
  json rest() && { return std::move(left_); }

 private:
  json left_;
};

State state_of(std::uint8_t number) {
  switch (const State state{number}) {
    case State::running:
    case State::paused:
    case State::shutdown:
    case State::shutoff:
    case State::crashed: return state;
    default: return State::nostate;
  }
}

std::vector<std::string> texts(const char* name, const json& list) {
  if (!list.is_array()) refuse(name, list);
  std::vector<std::string> result;
  for (const json& item : list) result.push_back(Members::text(name, item));
  return result;
}

std::vector<host::FileOwner> owners_of(const json& list) {
  if (!list.is_array()) refuse("owners", list);
  std::vector<host::FileOwner> result;
  for (const json& item : list) {
    if (!item.is_array() || item.size() < 3) refuse("owners", item);
    result.push_back({Members::text("owners", item[0]), whole<uid_t>("owners", item[1]),
                      whole<gid_t>("owners", item[2]),
                      item.size() > 3 ? std::optional(whole<mode_t>("owners", item[3])) : std::nullopt});
  }
  return result;
}

}  // namespace

LiveState LiveState::read(const std::string& text) {
  Members members = [&] {
    try {
      return Members(qmp::parse_object(text));  // which bounds the depth
    } catch (const qmp::ProtocolError& error) {
      throw Error(ErrorCode::internal_error, error.what());
    }
  }();
  LiveState state;
  state.version = 0;
  members.read("version", state.version);
  members.read("id", state.id);
  std::uint8_t number = 0;
  members.read("state", number);
  members.read("reason", state.status.reason);
  state.status.state = state_of(number);
  if (state.status.state == State::nostate) state.status.reason = 0;
  state.pid = whole<pid_t>("pid", members.required("pid"));
  members.read("start_ticks", state.start_ticks);
  if (const auto line = members.take("emulator"))
    state.emulator = emulator::read_version(Members::text("emulator", *line));
  members.read("folder", state.folder);
  members.read("hugepages", state.hugepages);
  if (const auto list = members.take("cgroup")) state.cgroup = texts("cgroup", *list);
  if (const auto list = members.take("owners")) state.owners = owners_of(*list);
  members.read("tainted", state.tainted);
  members.read("reboot", state.reboot_when_off);
  if (const auto why = members.take("ending")) {
    const std::string word = Members::text("ending", *why);
    state.ending = Trigger::exit_crashed;  // a newer daemon's reason
    for (const auto& [trigger, name] : endings)
      if (name == word) state.ending = trigger;
  }
  state.live = domain::parse_live(Members::text("description", members.required("description")));
  state.others = std::move(members).rest();
  return state;
}

std::string LiveState::write() const {
  json list = json::array();
  for (const host::FileOwner& owner : owners) {
    list.push_back({owner.path, owner.uid, owner.gid});
    if (owner.mode) list.back().push_back(*owner.mode);
  }
  json object = others;
  object.update({
      {"version", std::max(version, current_version)},
      {"id", id},
      {"state", static_cast<int>(status.state)},
      {"reason", status.reason},
      {"pid", pid},
      {"start_ticks", start_ticks},
      {"folder", folder},
      {"hugepages", hugepages},
      {"cgroup", cgroup},
      {"owners", std::move(list)},
      {"tainted", tainted},
      {"reboot", reboot_when_off},
      {"description", domain::format(live, {.id = id, .live = true})},
  });
  if (emulator) object["emulator"] = emulator::version_line(*emulator);
  if (ending) {
    for (const auto& [trigger, name] : endings)
      if (trigger == *ending) object["ending"] = name;
  }
  return object.dump();
}

}  // namespace instance
