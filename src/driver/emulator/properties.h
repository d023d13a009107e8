#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "driver/emulator/capabilities.h"

namespace emulator {

/// A number written in hexadecimal on a command line ("0x8"), and as a number in JSON.
struct Hex {
  std::uint64_t value = 0;
  friend bool operator==(const Hex&, const Hex&) = default;
};
/// A name that stands without a value ("server").
struct Flag {
  friend bool operator==(const Flag&, const Flag&) = default;
};
/// bool is on|off on a command line.
using Value = std::variant<Flag, bool, std::uint64_t, Hex, std::string>;

struct Property {
  std::string name;  ///< "id", "addr"; a dot nests: "file.filename"
  Value value;
  friend bool operator==(const Property&, const Property&) = default;
};
using Properties = std::vector<Property>;

/// One option of a command line, before it is text: "-device", "virtio-blk-pci", {{"id", "virtio-disk0"}, …}.
/// An option without head and properties is the flag alone ("-S"). A plain option's head is one argument that the
/// emulator does not take apart ("-append").
struct Option {
  std::string flag;
  std::string head;
  Properties properties;
  bool plain = false;
  friend bool operator==(const Option&, const Option&) = default;
};

/// The text after the option's flag. Values are escaped for QEMU (a comma is doubled); StratoVirt has no escape, so
/// what it would take apart (a comma, an equals sign, a control character; a plain value that begins with a dash) is
/// refused. Throws Error: CONFIG_UNSUPPORTED naming property and value.
std::string render(const Option& option, Kind kind);

/// The same option read back from the text that render() made for QEMU: names and values as text, the head first
/// without a name.
std::vector<std::pair<std::string, std::string>> parse_qemu(std::string_view text);

}  // namespace emulator
