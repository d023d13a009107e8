#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "driver/domain/domain.h"

/// Firmware descriptors (QEMU's docs/interop/firmware.json): which files a machine's flash can be, and what they can
/// do.
namespace emulator {

struct Firmware {
  struct Target {
    std::string arch;
    std::vector<std::string> machines;  ///< globs over canonical names: "pc-q35-*"
  };
  std::string code, variables;       ///< the executable; the template of its variable store
  std::set<std::string> interfaces;  ///< "uefi", "bios"
  std::vector<Target> targets;
  std::set<std::string> features;  ///< "secure-boot", "enrolled-keys", "requires-smm", "acpi-s3", "acpi-s4"

  bool has(const std::string& feature) const { return features.contains(feature); }
  bool fits(std::string_view arch, const std::string& machine) const;
};

/// What a descriptor's text says; nothing for firmware of another kind than two raw flash images. Throws Error:
/// INTERNAL_ERROR for what is no descriptor.
std::optional<Firmware> read_firmware(std::string_view text);

/// libvirt's choice for a domain whose firmware is to be chosen: the first that fits. `machine` is the canonical name.
/// Throws Error: OPERATION_FAILED where none does, OPERATION_INVALID where the domain forbids what it needs.
const Firmware& choose_firmware(const std::vector<Firmware>& all, const domain::Domain& domain,
                                const std::string& machine);
/// Makes the choice the domain's own: loader, variable store, and SMM where the firmware needs it.
void use_firmware(domain::Domain& domain, const Firmware& firmware);

}  // namespace emulator
