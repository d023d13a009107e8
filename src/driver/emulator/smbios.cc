#include "driver/emulator/devices.h"

// What a machine says of itself to its guest: the same words for QEMU and for StratoVirt.
namespace emulator {

Options smbios(const Context& context) {
  const domain::Domain& domain = context.domain;
  if (domain.os.smbios != "sysinfo") return {};
  if (domain.sysinfo.empty()) unsupported(context, "smbios mode='sysinfo' needs a <sysinfo>");
  Options options;
  for (const domain::Sysinfo& sysinfo : domain.sysinfo) {
    for (const domain::SmbiosStructure& structure : sysinfo.structures) {
      Option option{"-smbios", {}, {{"type", std::uint64_t{domain::smbios_kinds()[structure.kind].type}}}};
      for (const auto& [name, text] : structure.entries) option.properties.push_back({name, text});
      options.push_back(std::move(option));
    }
    if (sysinfo.oem_strings.empty()) continue;
    Option option{"-smbios", {}, {{"type", std::uint64_t{11}}}};
    for (const std::string& text : sysinfo.oem_strings) option.properties.push_back({"value", text});
    options.push_back(std::move(option));
  }
  return options;
}

}  // namespace emulator
