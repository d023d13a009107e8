#include "driver/domain/sysinfo.h"

#include <algorithm>
#include <charconv>

#include "driver/domain/element.h"

namespace domain {
namespace {

using core::Error;
using core::ErrorCode;
using core::XmlNode;

constexpr SmbiosKind kinds[] = {{"bios", 0, "vendor version date release"},
                                {"system", 1, "manufacturer product version serial uuid sku family"},
                                {"baseBoard", 2, "manufacturer product version serial asset location"},
                                {"chassis", 3, "manufacturer version serial asset sku"}};
constexpr std::size_t system_kind = 1;
constexpr std::string_view many = "baseBoard";  // of the others the first counts

/// As libvirt: mm/dd/yyyy of 1900 to 2099, or mm/dd/yy.
bool is_date(std::string_view text) {
  unsigned parts[3]{};
  for (std::size_t i = 0; i < std::size(parts); ++i) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parts[i]);
    if (error != std::errc()) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (i + 1 < std::size(parts) ? !text.starts_with('/') : !text.empty()) return false;
    if (i + 1 < std::size(parts)) text.remove_prefix(1);
  }
  const unsigned year = parts[2] < 100 ? parts[2] + 1900 : parts[2];
  return parts[0] >= 1 && parts[0] <= 12 && parts[1] >= 1 && parts[1] <= 31 && year >= 1900 && year <= 2099;
}

std::string checked_entry(const XmlNode& node, std::string_view name, std::string text) {
  const std::string line = " (line " + std::to_string(node.line()) + ")";
  if (name == "date" && !is_date(text)) throw Error(ErrorCode::xml_detail, "Invalid BIOS 'date' format" + line);
  if (name != "uuid") return text;
  const auto uuid = core::parse_uuid(text);
  if (!uuid) throw Error(ErrorCode::xml_detail, "malformed <sysinfo> uuid element" + line);
  return core::to_string(*uuid);
}

SmbiosStructure parse_structure(const XmlNode& node, std::size_t kind) {
  SmbiosStructure structure{.kind = kind, .entries = {}};
  for (std::string_view names = kinds[kind].entries; !names.empty();) {
    const std::string_view name = names.substr(0, names.find(' '));
    names.remove_prefix(std::min(name.size() + 1, names.size()));
    for (const XmlNode& entry : node.children("entry")) {
      if (entry.attribute("name") != name) continue;
      if (std::string text = entry.text(); !text.empty())
        structure.entries.emplace_back(name, checked_entry(entry, name, std::move(text)));
      break;
    }
  }
  return structure;
}

}  // namespace

std::span<const SmbiosKind> smbios_kinds() {
  return kinds;
}

Sysinfo parse_sysinfo(const XmlNode& node) {
  required(node, "type");
  read_word(node, "type", "smbios", "fwcfg");
  Sysinfo sysinfo;
  for (std::size_t kind = 0; kind < std::size(kinds); ++kind)
    for (const XmlNode& child : node.children(kinds[kind].element)) {
      SmbiosStructure structure = parse_structure(child, kind);
      if (!structure.entries.empty()) sysinfo.structures.push_back(std::move(structure));
      if (kinds[kind].element != many) break;
    }
  if (const auto strings = node.child("oemStrings"))
    for (const XmlNode& entry : strings->children("entry")) sysinfo.oem_strings.push_back(entry.text());
  return sysinfo;
}

void format(core::XmlWriter& writer, const Sysinfo& sysinfo) {
  writer.start("sysinfo").attribute("type", "smbios");
  for (const SmbiosStructure& structure : sysinfo.structures) {
    writer.start(kinds[structure.kind].element);
    for (const auto& [name, text] : structure.entries) writer.start("entry").attribute("name", name).text(text).end();
    writer.end();
  }
  writer.start("oemStrings");
  for (const std::string& text : sysinfo.oem_strings) writer.element("entry", text);
  writer.end_unless_empty().end();
}

std::string uuid_of(const Sysinfo& sysinfo) {
  for (const SmbiosStructure& structure : sysinfo.structures)
    if (structure.kind == system_kind)
      for (const auto& [name, text] : structure.entries)
        if (name == "uuid") return text;
  return {};
}

}  // namespace domain
