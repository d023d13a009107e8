#include "driver/core/conf.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <system_error>

#include "base/file.h"
#include "driver/core/error.h"

namespace core {
namespace {

constexpr std::size_t max_file = 10 * 1024 * 1024;
constexpr int max_depth = 16;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& name) : rest_(text), name_(name) {}

  /// The next setting; nothing at the end.
  std::optional<std::pair<std::string, Conf::Value>> setting() {
    skip_lines();
    while (peek() == '#') {
      skip_comment();
      separator();
    }
    if (rest_.empty()) return std::nullopt;
    std::string key = word();
    skip_blanks();
    if (!take("=")) refuse("expecting an assignment");
    Conf::Value parsed = value(0);
    skip_blanks();
    if (peek() == '#') skip_comment();
    separator();
    return std::pair(std::move(key), std::move(parsed));
  }

 private:
  /// '\0' at the end; a zero byte of the text is in no rule either.
  char peek() const { return rest_.empty() ? '\0' : rest_.front(); }
  bool take(std::string_view token) {
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  std::string_view cut(std::size_t size) {
    const std::string_view front = rest_.substr(0, size);
    line_ += static_cast<int>(std::count(front.begin(), front.end(), '\n'));
    rest_.remove_prefix(front.size());
    return front;
  }
  void skip(std::string_view any_of) { cut(std::min(rest_.find_first_not_of(any_of), rest_.size())); }
  void skip_blanks() { skip(" \t"); }
  void skip_lines() { skip(" \t\r\n"); }
  void skip_comment() { cut(std::min(rest_.find_first_of("\r\n"), rest_.size())); }

  void separator() {
    skip_blanks();
    if (rest_.empty()) return;
    if (!take(";") && peek() != '\n' && peek() != '\r') refuse("expecting a separator");
    skip_lines();
  }

  std::string word() {
    if (!is_letter(peek())) refuse("expecting a name");
    std::size_t size = 1;
    while (size < rest_.size() && (is_letter(rest_[size]) || is_digit(rest_[size]) || rest_[size] == '_')) ++size;
    return std::string(cut(size));
  }

  Conf::Value value(int depth) {
    skip_blanks();
    const int line = line_;
    const char first = peek();
    if (first == '"' || first == '\'') return {quoted(), line};
    if (first == '[') return {list(depth + 1), line};
    if (is_digit(first) || first == '-' || first == '+') return {number(), line};
    refuse("expecting a value");
  }

  std::string quoted() {
    const bool triple = rest_.starts_with(R"(""")");
    const std::string_view quote = triple ? rest_.substr(0, 3) : rest_.substr(0, 1);
    cut(quote.size());
    const std::size_t end = rest_.find(quote);
    if (end == rest_.npos || (!triple && rest_.substr(0, end).find_first_of("\r\n") != rest_.npos))
      refuse("unterminated string");
    std::string text(cut(end));
    cut(quote.size());
    if (text.find('\0') != text.npos) refuse("unexpected zero byte");  // libvirt's strings end there
    return text;
  }

  Conf::List list(int depth) {
    if (depth > max_depth) refuse("too many lists within each other");
    Conf::List items;
    take("[");
    skip_lines();
    while (!take("]")) {
      if (!items.empty()) {
        if (rest_.empty()) refuse("list is not closed with ]");
        if (!take(",")) refuse("expecting a separator in list");
        skip_lines();
        if (take("]")) break;
      }
      if (rest_.empty()) refuse("list is not closed with ]");
      items.push_back(value(depth));
      skip_lines();
    }
    return items;
  }

  Conf::Value::Number number() {
    const bool minus = take("-");
    if (!minus) take("+");
    if (!is_digit(peek())) refuse("unterminated number");
    std::int64_t parsed = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), parsed);
    if (error != std::errc{}) refuse("number out of range");
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return {minus ? -parsed : parsed, minus};
  }

  [[noreturn]] void refuse(const char* what) const {
    throw Error(ErrorCode::conf_syntax, name_ + ":" + std::to_string(line_) + ": " + what, ErrorDomain::conf);
  }

  std::string_view rest_;
  const std::string& name_;
  int line_ = 1;
};

}  // namespace

Conf Conf::parse(std::string_view text, std::string name) {
  Conf conf;
  conf.name_ = std::move(name);
  Parser parser(text, conf.name_);
  while (auto setting = parser.setting()) conf.settings_.push_back(std::move(*setting));
  return conf;
}

Conf Conf::load(const std::string& path) try {
  return parse(base::read_file(path, max_file), path);
} catch (const std::system_error& error) {
  throw Error::system(error.code().value(), "cannot read configuration '" + path + "'");
}

std::optional<std::string> Conf::string(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* text = std::get_if<std::string>(&value->of)) return *text;
  refuse("expected a string for", key, "parameter");
}

std::optional<bool> Conf::boolean(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto* number = std::get_if<Value::Number>(&value->of);
  if (number == nullptr || number->minus) refuse("expected a bool for", key, "parameter");
  if (number->value > 1) refuse("value for", key, "parameter must be 0 or 1");
  return number->value == 1;
}

std::optional<int> Conf::integer(std::string_view key) const {
  using Limits = std::numeric_limits<int>;
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto* number = std::get_if<Value::Number>(&value->of);
  if (number == nullptr) refuse("expected a signed integer for", key, "parameter");
  if (number->value < Limits::min() || number->value > Limits::max())
    refuse("value for", key, "parameter must be in range -2147483648:2147483647");
  return static_cast<int>(number->value);
}

std::optional<unsigned> Conf::unsigned_integer(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto* number = std::get_if<Value::Number>(&value->of);
  if (number == nullptr || number->minus) refuse("expected an unsigned integer for", key, "parameter");
  if (number->value > std::numeric_limits<unsigned>::max())
    refuse("value for", key, "parameter must be in range 0:4294967295");
  return static_cast<unsigned>(number->value);
}

std::optional<std::vector<std::string>> Conf::strings(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* text = std::get_if<std::string>(&value->of)) return std::vector{*text};
  const auto* list = std::get_if<List>(&value->of);
  if (list == nullptr) refuse("expected a string or string list for", key, "parameter");
  std::vector<std::string> texts;
  for (const Value& item : *list) {
    const auto* text = std::get_if<std::string>(&item.of);
    if (text == nullptr) refuse("expected a string list for", key, "parameter");
    texts.push_back(*text);
  }
  return texts;
}

std::optional<unsigned> Conf::mode(std::string_view key) const {
  const std::optional<std::string> text = string(key);
  if (!text) return std::nullopt;
  unsigned mode = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), mode, 8);
  if (error != std::errc{} || end != text->data() + text->size() || mode > 07777)
    refuse("expected an octal mode as \"0770\" for", key, "parameter");
  return mode;
}

std::vector<std::string> Conf::keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : settings_)
    if (find(key) == &value) keys.push_back(key);
  return keys;
}

std::vector<std::string> Conf::changed(const Conf& other) const {
  std::vector<std::string> changed;
  for (const std::string& key : keys()) {
    const Value* now = other.find(key);
    if (now == nullptr || *now != *find(key)) changed.push_back(key);
  }
  for (std::string& key : other.keys())
    if (!has(key)) changed.push_back(std::move(key));
  return changed;
}

std::string Conf::where(std::string_view key) const {
  const Value* value = find(key);
  return value == nullptr ? name_ : name_ + ":" + std::to_string(value->line);
}

const Conf::Value* Conf::find(std::string_view key) const {
  const auto setting =
      std::find_if(settings_.begin(), settings_.end(), [&](const auto& candidate) { return candidate.first == key; });
  return setting == settings_.end() ? nullptr : &setting->second;
}

void Conf::refuse(std::string_view before, std::string_view key, std::string_view after) const {
  std::string detail = name_ + ": ";
  detail.append(before).append(" '").append(key).append("' ").append(after);
  throw Error(ErrorCode::internal_error, detail, ErrorDomain::conf);
}

}  // namespace core
