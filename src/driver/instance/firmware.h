#pragma once

#include <functional>
#include <string>
#include <vector>

#include "driver/core/layout.h"
#include "driver/domain/domain.h"
#include "driver/emulator/firmware.h"
#include "driver/instance/settings.h"

/// Firmware as this host has it. Calls block: for the pool.
namespace instance {

/// The folders of firmware descriptors, the one that counts least first: the distribution's, the administrator's, and
/// of an ordinary user's daemon the user's own.
std::vector<std::string> firmware_folders(const core::Layout& layout);

/// What their descriptors say, in the order of the files' names. A file hides those of its name in folders before it;
/// an empty one only hides. What is wrong with one is told to `problem`, and it is passed over.
std::vector<emulator::Firmware> read_firmwares(const std::vector<std::string>& folders,
                                               const std::function<void(const std::string&)>& problem);
std::vector<emulator::Firmware> read_firmwares(const core::Layout& layout);

/// The variable store a loader starts from: the administrator's pairs, then descriptors, then those this driver knows;
/// empty for none.
std::string nvram_template(const std::string& loader, const core::Layout& layout, const Settings& settings);

/// Where a domain's variables are, or will be; empty where it has none.
std::string nvram_path(const domain::Domain& domain, const core::Layout& layout);

}  // namespace instance
