#include "vmm/monitor/commands.h"

#include <algorithm>
#include <cctype>

#include "qmp/message.h"
#include "vmm/monitor/command_table.h"

namespace monitor {
namespace {

std::string written(const Json& object) {
  // A name of the command line may be no UTF-8.
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

const char* to_string(Refusal::Class which) {
  switch (which) {
    case Refusal::Class::generic_error: return "GenericError";
    case Refusal::Class::command_not_found: return "CommandNotFound";
    case Refusal::Class::device_not_found: return "DeviceNotFound";
    case Refusal::Class::device_not_active: return "DeviceNotActive";
    case Refusal::Class::kvm_missing_cap: return "KVMMissingCap";
  }
  return "GenericError";
}

Json error_reply(Refusal::Class which, const std::string& why) {
  return {{"error", {{"class", to_string(which)}, {"desc", why}}}};
}

const char* name_of(Type type) {
  constexpr const char* names[] = {"string", "integer", "boolean", "object", "array", "any"};
  return names[static_cast<int>(type)];
}

bool is(const Json& value, Type type) {
  switch (type) {
    case Type::text: return value.is_string();
    case Type::number: return value.is_number_unsigned();
    case Type::boolean: return value.is_boolean();
    case Type::object: return value.is_object();
    case Type::list: return value.is_array();
    case Type::any: return true;
  }
  return false;
}

void check(const Command& command, const Json& arguments) {
  for (const Argument& one : command.arguments) {
    const auto found = arguments.find(one.name);
    if (found == arguments.end()) {
      if (one.mandatory) generic("Parameter '" + std::string(one.name) + "' is missing");
    } else if (!is(*found, one.type)) {
      generic("Invalid parameter type for '" + std::string(one.name) + "', expected: " + name_of(one.type));
    }
  }
  if (command.open) return;
  for (const auto& [name, value] : arguments.items()) {
    if (std::ranges::find(command.arguments, name, &Argument::name) == command.arguments.end()) {
      generic("Parameter '" + name.substr(0, 200) + "' is unexpected");
    }
  }
}

const Command* find_command(std::string_view name) {
  for (const auto table : {queries(), control_commands(), hotplug_commands()}) {
    const auto found = std::ranges::find(table, name, &Command::name);
    if (found != table.end()) return &*found;
  }
  return nullptr;
}

constexpr std::string_view negotiation = "qmp_capabilities";

/// The order of QEMU's checks: the request's form, the command, its arguments.
Json execute(const Json& request, MachineControl& machine, Client& client) {
  using Stage = Client::Stage;
  for (const auto& [name, value] : request.items()) {
    if (name == "execute") {
      if (!value.is_string()) generic("QMP input member 'execute' must be a string");
    } else if (name == "arguments") {
      if (!value.is_object()) generic("QMP input member 'arguments' must be an object");
    } else if (name != "id") {
      generic("QMP input member '" + name.substr(0, 200) + "' is unexpected");
    }
  }
  const auto found = request.find("execute");
  if (found == request.end()) generic("QMP input lacks member 'execute'");
  const auto& name = found->get_ref<const std::string&>();
  const Command* const command = find_command(name);
  if (command && client.stage == Stage::silent) {
    client.stage = name == negotiation ? Stage::negotiating : Stage::served;
  }
  if (client.stage == Stage::negotiating && name != negotiation) {
    throw Refusal(Refusal::Class::command_not_found, "Expecting capabilities negotiation with 'qmp_capabilities'");
  }
  if (!command) {
    throw Refusal(Refusal::Class::command_not_found, "The command " + name.substr(0, 200) + " has not been found");
  }
  static const Json none = Json::object();
  const auto arguments = request.find("arguments");
  Call call{machine, client, arguments == request.end() ? none : *arguments};
  check(*command, call.arguments);
  return command->run(call);
}

// --- what changes the machine

Json nothing() {
  return Json::object();
}

Json capabilities(Call& call) {
  if (call.client.stage == Client::Stage::negotiated) {
    throw Refusal(Refusal::Class::command_not_found, "Capabilities negotiation is already complete, command ignored");
  }
  if (call.has("enable")) {
    for (const Json& one : call.arguments["enable"]) {
      if (!one.is_string()) generic("Invalid parameter type for 'enable', expected: array of string");
      generic("Capability " + one.get<std::string>().substr(0, 200) + " not available");
    }
  }
  call.client.stage = Client::Stage::negotiated;
  return nothing();
}
Json stop(Call& call) {
  call.machine.stop();
  return nothing();
}
Json cont(Call& call) {
  call.machine.cont();
  return nothing();
}
Json reset(Call& call) {
  call.machine.reset();
  return nothing();
}
Json powerdown(Call& call) {
  call.machine.powerdown();
  return nothing();
}
Json quit(Call& call) {
  call.machine.quit();
  return nothing();
}

Json set_balloon(Call& call) {
  if (!call.machine.balloon()) {
    throw Refusal(Refusal::Class::device_not_active, "No balloon device has been activated");
  }
  if (call.number("value") == 0) generic("Parameter 'value' expects a size above 0");
  call.machine.set_balloon(call.number("value"));
  return nothing();
}

Json set_io_throttle(Call& call) {
  const std::string id = id_in_path(call.text(call.has("id") ? "id" : "device"));
  if (id.empty()) generic("Parameter 'id' is missing");
  for (const auto& [name, value] : call.arguments.items()) {
    if (name != "id" && name != "device" && name != "iops" && value != 0) {
      generic("Parameter '" + name + "' is not supported: there is a limit of 'iops' only");
    }
  }
  if (call.number("iops") > 1'000'000) generic("Parameter 'iops' expects 0 to 1000000");
  call.machine.set_iops(id, call.number("iops"));
  return nothing();
}

Json set_link(Call& call) {
  call.machine.set_link(call.text(call.has("name") ? "name" : "id"), call.boolean("up"));
  return nothing();
}

Json getfd(Call& call) {
  call.client.descriptors.name(call.text("fdname"));
  return nothing();
}
Json closefd(Call& call) {
  call.client.descriptors.close(call.text("fdname"));
  return nothing();
}

}  // namespace

std::span<const Command> control_commands() {
  static const Command table[] = {
      {negotiation, capabilities, {{"enable", Type::list}}},
      {"stop", stop},
      {"cont", cont},
      {"quit", quit},
      {"system_powerdown", powerdown},
      {"system_reset", reset},
      {"balloon", set_balloon, {{"value", Type::number, true}}},
      {"block_set_io_throttle",
       set_io_throttle,
       {{"id", Type::text},
        {"device", Type::text},
        {"bps", Type::number},
        {"bps_rd", Type::number},
        {"bps_wr", Type::number},
        {"iops", Type::number, true},
        {"iops_rd", Type::number},
        {"iops_wr", Type::number},
        {"bps_max", Type::number},
        {"bps_rd_max", Type::number},
        {"bps_wr_max", Type::number},
        {"iops_max", Type::number},
        {"iops_rd_max", Type::number},
        {"iops_wr_max", Type::number},
        {"iops_size", Type::number}}},
      {"set_link", set_link, {{"name", Type::text, true}, {"up", Type::boolean, true}}},
      {"netlink_set", set_link, {{"id", Type::text, true}, {"up", Type::boolean, true}}},
      {"getfd", getfd, {{"fdname", Type::text, true}}},
      {"closefd", closefd, {{"fdname", Type::text, true}}},
  };
  return table;
}

std::string id_in_path(std::string_view path) {
  constexpr std::string_view folder = "/machine/peripheral/";
  if (!path.starts_with(folder)) return std::string(path);
  path.remove_prefix(folder.size());
  return std::string(path.substr(0, path.find('/')));
}

std::string device_path(const std::string& id) {
  return "/machine/peripheral/" + id;
}

// The version of QEMU whose protocol this is a part of.
std::string greeting() {
  return R"({"QMP":{"version":{"qemu":{"micro":1,"minor":0,"major":5},"package":"StratoVirt-)" STRATOVIRT_VERSION
         R"("},"capabilities":[]}})";
}

std::string refuse_input(const std::string& why) {
  return written(error_reply(Refusal::Class::generic_error, why));
}

std::string answer(std::string_view text, MachineControl& machine, Client& client) {
  Json request, reply;
  try {
    request = qmp::parse_request(text);
    reply = {{"return", execute(request, machine, client)}};
  } catch (const Refusal& refusal) {
    reply = error_reply(refusal.which(), refusal.what());
  } catch (const std::exception& error) {
    reply = error_reply(Refusal::Class::generic_error, error.what());
  }
  if (request.contains("id")) reply["id"] = std::move(request["id"]);
  return written(reply);
}

std::string tell(const Event& event, std::int64_t seconds, std::int64_t microseconds) {
  using Kind = Event::Kind;
  Json data = Json::object();
  switch (event.kind) {
    case Kind::stop:
    case Kind::resume:
    case Kind::powerdown:
    case Kind::guest_pvshutdown: break;
    case Kind::reset:
    case Kind::shutdown:
      data = {{"guest", event.guest}};
      if (!event.detail.empty()) data["reason"] = event.detail;
      break;
    case Kind::guest_panicked: data = {{"action", event.detail}}; break;
    case Kind::device_deleted: data = {{"device", event.detail}, {"path", device_path(event.detail)}}; break;
    case Kind::balloon_changed: data = {{"actual", event.bytes}}; break;
  }
  return written({{"timestamp", {{"seconds", seconds}, {"microseconds", microseconds}}},
                  {"event", event_names[static_cast<std::size_t>(event.kind)]},
                  {"data", std::move(data)}});
}

// --- descriptors

void Descriptors::came(std::vector<base::UniqueFd> descriptors, std::uint64_t at) {
  for (base::UniqueFd& one : descriptors) waiting_.push_back({at, std::move(one)});
  if (waiting_.size() > most_waiting) waiting_.erase(waiting_.begin(), waiting_.end() - most_waiting);
}

void Descriptors::name(const std::string& name) {
  // What came with an earlier request that did not take it is nobody's any more.
  const auto later = std::ranges::find_if(waiting_, [this](const Waiting& one) { return one.at >= reached_; });
  if (later == waiting_.begin()) generic("No file descriptor supplied via SCM_RIGHTS");
  const auto first = std::ranges::find(waiting_, std::prev(later)->at, &Waiting::at);
  base::UniqueFd fd = std::move(first->fd);
  waiting_.erase(waiting_.begin(), std::next(first));
  const bool fits = !name.empty() && name.size() <= 255 && !std::isdigit(static_cast<unsigned char>(name.front())) &&
                    !name.contains(':');
  if (!fits) generic("Parameter 'fdname' expects a name not starting with a digit, without ':'");
  if (named_.size() >= most_named && !named_.contains(name)) generic("too many file descriptors have names");
  named_[name] = std::move(fd);
}

void Descriptors::close(const std::string& name) {
  if (named_.erase(name) == 0) generic("File descriptor named '" + name.substr(0, 200) + "' not found");
}

int Descriptors::find(const std::string& name) const {
  const auto found = named_.find(name);
  return found == named_.end() ? -1 : found->second.get();
}

void Descriptors::release(const std::string& name) {
  const auto found = named_.find(name);
  if (found == named_.end()) return;
  found->second.release();
  named_.erase(found);
}

}  // namespace monitor
