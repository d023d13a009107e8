#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace core {

/// A configuration file in libvirt's own grammar (libvirtd.conf, qemu.conf):
///
///   statement = NAME '=' value, separated by line ends or ';'; '#' begins a comment, alone on a line or after a value
///   NAME      = a letter, then letters, digits and '_'
///   value     = decimal number with '+' or '-' (0770 is seven hundred and seventy) | 'text' | "text" | """text""" |
///   [value, ...]
///
/// Strings have no escapes; only the third kind may hold line ends. Of a key that is written twice the first counts.
/// Getters answer nothing for a key that is absent; of another type they throw INTERNAL_ERROR naming file and key, as
/// libvirt does.
class Conf {
 public:
  struct Value;
  using List = std::vector<Value>;
  struct Value {
    /// A number keeps whether '-' was written: libvirt allows none where a key is unsigned, not even "-0".
    struct Number {
      std::int64_t value;
      bool minus;
      friend bool operator==(const Number&, const Number&) = default;
    };
    std::variant<Number, std::string, List> of;
    int line;
    /// Wherever they stand.
    friend bool operator==(const Value& one, const Value& other) { return one.of == other.of; }
  };

  /// An empty configuration, as of a file that is not there.
  Conf() = default;

  /// Throws Error: CONF_SYNTAX, "NAME:LINE: what"; and for a number beyond 64 bits or lists nested more than 16 deep.
  static Conf parse(std::string_view text, std::string name);
  /// Throws Error: CONF_SYNTAX, and SYSTEM_ERROR when it cannot be read or has more than 10 MiB.
  static Conf load(const std::string& path);

  std::optional<std::string> string(std::string_view key) const;
  /// 0 or 1.
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<int> integer(std::string_view key) const;
  std::optional<unsigned> unsigned_integer(std::string_view key) const;
  /// A list of strings; a string alone is a list of one.
  std::optional<std::vector<std::string>> strings(std::string_view key) const;
  /// A mode written as "0770", octal in a string as in unix_sock_rw_perms; INTERNAL_ERROR for anything else.
  std::optional<unsigned> mode(std::string_view key) const;

  /// The keys whose values are others in `other`, or that only one of the two has.
  std::vector<std::string> changed(const Conf& other) const;

  bool has(std::string_view key) const { return find(key) != nullptr; }
  /// Every key once, in order of writing: for finding those that nobody knows.
  std::vector<std::string> keys() const;
  /// "/etc/libvirt/virtstratovirtd.conf:12", for messages about a key.
  std::string where(std::string_view key) const;
  const std::string& name() const { return name_; }

 private:
  const Value* find(std::string_view key) const;
  [[noreturn]] void refuse(std::string_view before, std::string_view key, std::string_view after) const;

  std::string name_;
  std::vector<std::pair<std::string, Value>> settings_;
};

}  // namespace core
