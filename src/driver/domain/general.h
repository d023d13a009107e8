#pragma once

#include "driver/core/xml.h"
#include "driver/domain/domain.h"

namespace domain {

/// All of <domain> that is no device: parse fills it in, with libvirt's defaults; format writes the part before
/// <devices>.
void parse_general(Domain& domain, const core::XmlNode& root);
void format_general(core::XmlWriter& writer, const Domain& domain);

/// The same of os, features, cpu, clock, the lifecycle's actions, pm and seclabel.
void parse_machine(Domain& domain, const core::XmlNode& root);
void format_machine(core::XmlWriter& writer, const Domain& domain);

/// Throws Error: XML_ERROR, NO_NAME for a name that libvirt refuses or that is longer than 255 bytes.
void check_name(const std::string& name);

}  // namespace domain
