#pragma once

#include <optional>

#include "driver/core/xml.h"
#include "driver/domain/domain.h"

namespace domain {

/// Fills in everything below <devices>, and libvirt's pairing of the first console with the first serial port.
void parse_devices(Domain& domain, const core::XmlNode& node, bool live);
void format_devices(core::XmlWriter& writer, const Domain& domain, bool live);

/// As libvirt: the first serial port is shown as the first console too, whichever of the two was written.
void pair_console_with_serial(Domain& domain);

}  // namespace domain
