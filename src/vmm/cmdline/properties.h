#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// An option's argument as keys and values, and values as what they say. What is wrong is a std::invalid_argument whose
/// one line names the option, the key and the value, and what is allowed.
namespace cmdline {

struct Property {
  /// A command line has text alone, and so have most who write QMP's device_add: it may be whatever its key is.
  enum class Type { any, string, integer, boolean };

  std::string key, value;
  Type type = Type::any;
};

/// "virtio-blk-pci,id=disk0,drive=d0" of -device, or the arguments of QMP's device_add.
struct Properties {
  std::string option;  ///< how messages call it: "-device", "device_add"
  std::vector<Property> items;

  /// Cuts at commas; two commas are one within a value. A first word without "=" is the value of `head`, if there is
  /// one; any other stands for itself being on.
  static Properties split(std::string_view option, std::string_view text, std::string_view head = {});

  const std::string* find(std::string_view key) const;
};

/// A value of a key. Each way to read it refuses what was written as another type.
class Value {
 public:
  Value(const std::string& option, const Property& property) : option_(option), property_(property) {}

  /// Not empty, no control characters.
  const std::string& text(std::size_t longest = 4095) const;
  /// What other options may name: letters, digits, "_", ".", ":" and "-".
  const std::string& identifier() const;
  /// on, true, yes; off, false, no.
  bool boolean() const;
  /// Decimal, or hexadecimal after 0x.
  std::uint64_t number(std::uint64_t least, std::uint64_t most) const;
  /// The same where QEMU's type is a string.
  std::uint64_t number_in_text(std::uint64_t least, std::uint64_t most) const;
  std::uint64_t power_of_two(std::uint64_t least, std::uint64_t most) const;
  /// With K, M, G or T, of 1024 each; without, in `unit` bytes.
  std::uint64_t size(std::uint64_t unit) const;
  /// "27" or "27:28".
  std::vector<int> descriptors() const;
  int descriptor() const;
  /// "0-3,5" as "0-3" and so on: each number up to `most`.
  std::vector<unsigned> range(unsigned most) const;
  template <class T>
  T choice(std::initializer_list<std::pair<std::string_view, T>> choices) const {
    expect(Property::Type::string);
    std::string allowed;
    for (const auto& [name, value] : choices) {
      if (property_.value == name) return value;
      allowed.append(allowed.empty() ? "" : ", ").append(name);
    }
    refuse(allowed);
  }
  /// For what is accepted only as this program is anyway.
  void must_be(bool expected) const;
  void must_say(std::string_view expected) const;

  [[noreturn]] void refuse(std::string_view allowed) const;

 private:
  void expect(Property::Type type) const;
  std::uint64_t number_of_any(std::uint64_t least, std::uint64_t most) const;

  const std::string& option_;
  const Property& property_;
};

/// A number as the command line has them: decimal, or hexadecimal after 0x. False for anything else.
bool read_number(std::string_view text, std::uint64_t& number);

/// The descriptor that "/dev/fd/N" names, or -1.
int descriptor_of(std::string_view path);

[[noreturn]] void refuse(std::string_view option, std::string_view what);

}  // namespace cmdline
