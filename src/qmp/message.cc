#include "qmp/message.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace qmp {
namespace {

bool is_space(char byte) {
  return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

const Json& member(const Json& object, const char* name, Json::value_t type) {
  const auto found = object.find(name);
  if (found == object.end()) throw ProtocolError(std::string("QMP message without '") + name + "'");
  if (found->type() != type) throw ProtocolError(std::string("QMP message with a wrong type of '") + name + "'");
  return *found;
}

std::string text(const Json& object, const char* name) {
  return member(object, name, Json::value_t::string).get<std::string>();
}

unsigned number(const Json& object, const char* name) {
  const auto value = member(object, name, Json::value_t::number_unsigned).get<std::uint64_t>();
  if (value > 0xffff) throw ProtocolError(std::string("QMP message with '") + name + "' out of range");
  return static_cast<unsigned>(value);
}

std::optional<std::string> id_of(const Json& object) {
  if (!object.contains("id")) return std::nullopt;
  return text(object, "id");
}

Greeting greeting(const Json& object) {
  const Json& version = member(member(object, "QMP", Json::value_t::object), "version", Json::value_t::object);
  const Json& numbers = member(version, "qemu", Json::value_t::object);
  return {number(numbers, "major"), number(numbers, "minor"), number(numbers, "micro"), text(version, "package")};
}

Reply reply(Json& object, std::string_view written) {
  return {std::move(object.at("return")), id_of(object), std::string(written)};
}

ErrorReply error(const Json& object, std::string_view written) {
  const Json& body = member(object, "error", Json::value_t::object);
  return {text(body, "class"), text(body, "desc"), id_of(object), std::string(written)};
}

Event event(const Json& object) {
  Event result{text(object, "event"), Json::object(), 0, 0};
  if (object.contains("data")) result.data = member(object, "data", Json::value_t::object);
  if (object.contains("timestamp")) {
    const Json& time = member(object, "timestamp", Json::value_t::object);
    const auto whole = [&time](const char* name) {
      const auto found = time.find(name);
      if (found == time.end() || !found->is_number_integer()) throw ProtocolError("QMP event with a broken timestamp");
      return found->get<std::int64_t>();
    };
    result.seconds = whole("seconds");
    result.microseconds = whole("microseconds");
  }
  return result;
}

Message message(std::string_view written) {
  Json object = parse_object(written);
  if (object.contains("return")) return reply(object, written);
  if (object.contains("error")) return error(object, written);
  if (object.contains("event")) return event(object);
  if (object.contains("QMP")) return greeting(object);
  throw ProtocolError("object that is no QMP message");
}

/// A parser's callback that refuses an object with a key twice: each reader would take another of the two.
Json::parser_callback_t no_key_twice() {
  return [objects = std::vector<std::set<std::string>>()](int, Json::parse_event_t event, Json& parsed) mutable {
    switch (event) {
      case Json::parse_event_t::object_start: objects.emplace_back(); break;
      case Json::parse_event_t::object_end: objects.pop_back(); break;
      case Json::parse_event_t::key:
        if (!objects.back().insert(parsed.get<std::string>()).second) {
          throw ProtocolError("JSON object with the key " + parsed.dump(-1, ' ', true) + " twice");
        }
        break;
      default: break;
    }
    return true;
  };
}

/// A text whose strings are QEMU's, with those of JSON.
std::string in_double_quotes(std::string_view text) {
  std::string result;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char byte = text[i];
    if (quote != 0 && byte == '\\' && i + 1 < text.size()) {
      const char escaped = text[++i];
      if (escaped != '\'') result += byte;
      result += escaped;
    } else if (quote == 0 ? byte == '"' || byte == '\'' : byte == quote) {
      quote = quote == 0 ? byte : char{0};
      result += '"';
    } else {
      if (quote != 0 && byte == '"') result += '\\';
      result += byte;
    }
  }
  return result;
}

}  // namespace

Json parse_object(std::string_view text) {
  Scanner scanner;
  const auto end = std::ranges::find_if(text, [&scanner](char byte) { return scanner.ends(byte); });
  if (end == text.end()) throw ProtocolError("JSON object without an end");
  if (!std::all_of(end + 1, text.end(), is_space)) throw ProtocolError("bytes after a JSON object");
  try {
    Json value = Json::parse(text, no_key_twice());
    if (value.is_object()) return value;
  } catch (const Json::exception& error) {
    throw ProtocolError(error.what());
  }
  throw ProtocolError("expected a JSON object");
}

Json parse_request(std::string_view text) {
  return parse_object(in_double_quotes(text));
}

void Decoder::feed(std::string_view bytes) {
  if (bytes.size() > max_message - held()) throw ProtocolError("QMP message too long");
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    scanned_ -= begin_;
    begin_ = 0;
  }
  buffer_.append(bytes);
}

std::optional<Message> Decoder::next() {
  while (scanned_ < buffer_.size()) {
    const bool ended = scanner_.ends(buffer_[scanned_++]);
    if (ended) {
      const auto text = std::string_view(buffer_).substr(begin_, scanned_ - begin_);
      begin_ = scanned_;
      return message(text);
    }
    if (!scanner_.inside()) begin_ = scanned_;  // space between objects is not kept
  }
  return std::nullopt;
}

std::string encode(std::string_view command, const Json& arguments, const std::string& id) {
  Json object = {{"execute", command}};
  if (!arguments.is_null()) object["arguments"] = arguments;
  object["id"] = id;
  try {
    return object.dump(-1, ' ', true) + "\n";
  } catch (const Json::exception& error) {
    throw ProtocolError(error.what());
  }
}

}  // namespace qmp
