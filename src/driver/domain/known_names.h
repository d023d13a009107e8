#pragma once

#include <string_view>

#include "driver/core/xml.h"

namespace domain {

/// Refuses, anywhere below `node` (which stands at `path`, as "domain/devices/disk"), the names that libvirt's schema
/// has and this driver cannot honour. Names that libvirt does not know are ignored, as libvirt does. Throws Error:
/// CONFIG_UNSUPPORTED.
void refuse_known_names(const core::XmlNode& node, std::string_view path);

/// The same for a device that stands alone, its own name included.
void refuse_known_device(const core::XmlNode& device);

/// Whether libvirt has a device of that name that no machine here has.
bool is_refused_device(std::string_view name);

}  // namespace domain
