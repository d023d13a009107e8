#include "driver/emulator/firmware.h"

#include <fnmatch.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "driver/core/error.h"

namespace emulator {
namespace {

using core::Error;
using core::ErrorCode;
using nlohmann::json;

/// A raw image of the mapping, whose path is absolute; nothing for one of another format.
std::optional<std::string> image(const json& mapping, const char* name) {
  const json& file = mapping.at(name);
  if (file.at("format").get<std::string>() != "raw") return std::nullopt;
  auto path = file.at("filename").get<std::string>();
  if (!path.starts_with('/') || path.contains('\0'))
    throw Error(ErrorCode::internal_error, "'" + path + "' is no absolute path");
  return path;
}

bool satisfies(const Firmware& firmware, const domain::Domain& domain) {
  const domain::AutoFirmware& wanted = *domain.os.firmware;
  const auto as_wanted = [&](const std::optional<bool>& wish, const char* feature) {
    return !wish || *wish == firmware.has(feature);
  };
  const bool secure = domain.os.loader && domain.os.loader->secure.value_or(false);
  return firmware.interfaces.contains(wanted.kind == "efi" ? "uefi" : wanted.kind) &&
         as_wanted(wanted.secure_boot, "secure-boot") && as_wanted(wanted.enrolled_keys, "enrolled-keys") &&
         (!secure || (firmware.has("secure-boot") && firmware.has("requires-smm"))) &&
         (!domain.suspend_to_mem.value_or(false) || firmware.has("acpi-s3")) &&
         (!domain.suspend_to_disk.value_or(false) || firmware.has("acpi-s4"));
}

}  // namespace

bool Firmware::fits(std::string_view arch, const std::string& machine) const {
  return std::ranges::any_of(targets, [&](const Target& target) {
    return target.arch == arch && std::ranges::any_of(target.machines, [&](const std::string& glob) {
             return ::fnmatch(glob.c_str(), machine.c_str(), 0) == 0;
           });
  });
}

std::optional<Firmware> read_firmware(std::string_view text) {
  try {
    const json descriptor = json::parse(text);
    const json& mapping = descriptor.at("mapping");
    if (mapping.at("device").get<std::string>() != "flash" || mapping.value("mode", "split") != "split")
      return std::nullopt;
    const auto code = image(mapping, "executable"), variables = image(mapping, "nvram-template");
    if (!code || !variables) return std::nullopt;
    Firmware firmware{*code,
                      *variables,
                      descriptor.at("interface-types").get<std::set<std::string>>(),
                      {},
                      descriptor.at("features").get<std::set<std::string>>()};
    for (const json& target : descriptor.at("targets"))
      firmware.targets.push_back({target.at("architecture"), target.at("machines").get<std::vector<std::string>>()});
    return firmware;
  } catch (const json::exception& wrong) {
    throw Error(ErrorCode::internal_error, wrong.what());
  }
}

const Firmware& choose_firmware(const std::vector<Firmware>& all, const domain::Domain& domain,
                                const std::string& machine) {
  const auto found = std::ranges::find_if(all, [&](const Firmware& one) {
    return one.fits(domain::to_string(domain.os.arch), machine) && satisfies(one, domain);
  });
  if (found == all.end())
    throw Error(ErrorCode::operation_failed,
                "Unable to find any firmware to satisfy '" + domain.os.firmware->kind + "'");
  if (found->has("requires-smm") && !domain.features.smm.value_or(true))
    throw Error(ErrorCode::operation_invalid, "domain has SMM turned off but chosen firmware requires it");
  return *found;
}

void use_firmware(domain::Domain& domain, const Firmware& firmware) {
  const bool smm = firmware.has("requires-smm");
  domain.os.firmware.reset();
  domain.os.loader = domain::Loader{firmware.code, true, smm ? std::optional(true) : std::nullopt};
  if (smm) domain.features.smm = true;
  if (!domain.os.nvram) domain.os.nvram.emplace();
  domain.os.nvram->template_path = firmware.variables;
}

}  // namespace emulator
