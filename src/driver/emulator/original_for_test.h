#pragma once

#include <array>
#include <chrono>
#include <deque>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace emulator::test {

/// StratoVirt 2.5.0 as it reads what is written to it: as strictly as its serde and clap. The tables in
/// tests/data/stratovirt are its words: a command's members, an option's keys, `!` behind what is required.
class Original {
 public:
  using Json = nlohmann::json;

  /// What it answers to the bytes of one read from its QMP socket.
  Json answer(const std::string& bytes) {
    const auto now = std::chrono::steady_clock::now();
    while (!asked_.empty() && now - asked_.front() > std::chrono::seconds(1)) asked_.pop_front();
    Json command;
    try {
      command = Json::parse(bytes);
    } catch (const Json::exception& error) {
      return refusal("GenericError", error.what());
    }
    if (asked_.size() >= 100) return refusal("OperationThrottled", "More than 100 requests received during 1 second");
    asked_.push_back(now);
    if (const std::string wrong = fault(command); !wrong.empty()) return refusal("GenericError", wrong);
    const std::string name = command["execute"];
    if (name == "qmp_capabilities") return {{"return", Json::object()}};
    Json reply = {{"return", value(name)}};
    if (command.contains("id")) reply["id"] = command["id"];
    return reply;
  }

  /// What is wrong with a command; nothing for one that it takes.
  static std::string fault(const Json& command) {
    static const Json commands = table("commands");
    if (!command.is_object()) return "invalid type: expected a command";
    for (const auto& [name, ignored] : command.items())
      if (name != "execute" && name != "arguments" && name != "id") return "unknown field `" + name + "`";
    if (!command.contains("execute") || !command["execute"].is_string()) return "missing field `execute`";
    if (command.contains("id") && !command["id"].is_string())
      return "invalid type: id " + command["id"].dump() + ", expected a string";
    const auto form = commands.find(command["execute"].get<std::string>());
    if (form == commands.end()) return "unknown variant " + command["execute"].dump();
    const std::string wrong = fault(command.value("arguments", Json::object()), *form);
    return wrong.empty() ? wrong : command["execute"].get<std::string>() + ": " + wrong;
  }

  /// What is wrong with a command line.
  static std::string fault(const std::vector<std::string>& arguments) {
    static const Json options = table("options");
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      const auto form = options.find(arguments[i]);
      if (form == options.end()) return "unexpected argument '" + arguments[i] + "'";
      if (form->is_null()) continue;
      if (++i == arguments.size()) return "'" + arguments[i - 1] + "' lacks its value";
      const bool right = form->is_string() ? std::regex_match(arguments[i], std::regex(form->get<std::string>()))
                                           : takes(arguments[i], *form);
      if (!right) return "'" + arguments[i - 1] + " " + arguments[i] + "'";
    }
    return "";
  }

 private:
  static Json table(const char* name) {
    return Json::parse(std::ifstream(std::string(TEST_DATA_DIR) + "/stratovirt/" + name + ".json"));
  }
  static Json refusal(const char* kind, const std::string& why) {
    return {{"error", {{"class", kind}, {"desc", why}}}};
  }
  static Json value(const std::string& name) {
    if (name == "query-status") return {{"status", "paused"}, {"running", false}, {"singlestep", false}};
    if (name == "query-commands") return Json::array({{{"name", "query-status"}}});
    if (name == "query-balloon") return {{"actual", 268435456}};
    if (name == "query-chardev")
      return Json::array({{{"label", "charconsole0"}, {"filename", "pty:/dev/pts/0"}, {"frontend-open", true}}});
    if (name == "query-cpus")
      return Json::array({{{"arch", "x86"}, {"CPU", 0}, {"thread_id", 7}, {"qom_path", "/"}, {"halted", false}}});
    return name.starts_with("query-") ? Json::array() : Json::object();
  }

  static std::string fault(const Json& arguments, const Json& form) {
    if (!arguments.is_object()) return "invalid type: expected a struct";
    for (const auto& [key, type] : form.items()) {
      const bool required = key.ends_with('!');
      const std::string name = required ? key.substr(0, key.size() - 1) : key;
      if (!arguments.contains(name)) {
        if (required) return "missing field `" + name + "`";
        continue;
      }
      const Json& given = arguments[name];
      if (type.is_object()) {
        if (std::string wrong = fault(given, type); !wrong.empty()) return name + ": " + wrong;
      } else if (!is_a(given, type)) {
        return "invalid type: `" + name + "` of " + given.dump() + ", expected " + type.get<std::string>();
      }
    }
    for (const auto& [name, ignored] : arguments.items())
      if (!form.contains(name) && !form.contains(name + "!")) return "unknown field `" + name + "`";
    return "";
  }

  static bool is_a(const Json& value, const std::string& type) {
    const auto number = [&](std::uint64_t most) {
      return value.is_number_unsigned() && value.get<std::uint64_t>() <= most;
    };
    if (type == "text") return value.is_string();
    if (type == "boolean") return value.is_boolean();
    if (type == "u8") return number(0xff);
    if (type == "u16") return number(0xffff);
    if (type == "u64") return number(~std::uint64_t{0});
    return value.is_string() && std::regex_match(value.get<std::string>(), std::regex(type));
  }

  /// An option of keys: "HEAD,KEY=VALUE,FLAG".
  static bool takes(const std::string& text, const Json& form) {
    std::istringstream words(text);
    std::vector<std::string> parts;
    for (std::string word; std::getline(words, word, ',');) parts.push_back(word);
    const Json* keys = &form;
    auto part = parts.begin();
    if (form.contains("head")) {
      if (!std::regex_match(*part++, std::regex(form["head"].get<std::string>()))) return false;
    } else if (form.begin()->is_object()) {
      if (!form.contains(*part)) return false;
      keys = &form[*part++];
    }
    std::vector<std::string> seen;
    for (; part != parts.end(); ++part) {
      const auto equals = part->find('=');
      const std::string key = part->substr(0, equals);
      seen.push_back(key);
      const auto type = keys->contains(key) ? keys->find(key) : keys->find(key + "!");
      if (type == keys->end() || key == "head") return false;
      const std::string value = equals == std::string::npos ? "" : part->substr(equals + 1);
      if (!std::regex_match(value, std::regex(type->get<std::string>()))) return false;
    }
    for (const auto& [key, type] : keys->items())
      if (key.ends_with('!') && std::ranges::find(seen, key.substr(0, key.size() - 1)) == seen.end()) return false;
    return true;
  }

  std::deque<std::chrono::steady_clock::time_point> asked_;
};

}  // namespace emulator::test
