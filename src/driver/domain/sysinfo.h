#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "driver/core/uuid.h"

namespace core {
class XmlNode;
class XmlWriter;
}  // namespace core

namespace domain {

/// One SMBIOS structure of a <sysinfo>: its row of smbios_structures, and its entries by name.
struct SmbiosStructure {
  std::size_t kind = 0;
  std::vector<std::pair<std::string, std::string>> entries;
  friend bool operator==(const SmbiosStructure&, const SmbiosStructure&) = default;
};

/// What the machine says of itself (libvirt formatdomain "SMBIOS System Information"), of type smbios.
struct Sysinfo {
  std::vector<SmbiosStructure> structures;
  std::vector<std::string> oem_strings;
  friend bool operator==(const Sysinfo&, const Sysinfo&) = default;
};

/// The structures that can be described: the element, the type in DSP0134 and the names of its entries, which the
/// emulators have too.
struct SmbiosKind {
  std::string_view element;
  unsigned type;
  std::string_view entries;
};
std::span<const SmbiosKind> smbios_kinds();

/// Reads one <sysinfo>. Names that libvirt does not know and empty entries are dropped, as libvirt does. Throws Error:
/// XML_DETAIL for a date that is none or a uuid that is none, XML_ERROR, CONFIG_UNSUPPORTED for type fwcfg.
Sysinfo parse_sysinfo(const core::XmlNode& node);
void format(core::XmlWriter& writer, const Sysinfo& sysinfo);

/// The uuid that a <system> names; empty for none.
std::string uuid_of(const Sysinfo& sysinfo);

}  // namespace domain
