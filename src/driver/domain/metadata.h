#pragma once

#include <optional>
#include <string>

#include "driver/domain/domain.h"

namespace core {
class XmlNode;
}

namespace domain {

/// The children of <metadata> as Domain::metadata holds them. As libvirt: an element without a namespace is dropped,
/// and of several of one namespace the first is kept.
std::string parse_metadata(const core::XmlNode& node);

/// The element of namespace `uri`, out of its namespace, as virDomainGetMetadata answers. Throws Error:
/// NO_DOMAIN_METADATA.
std::string get_metadata(const Domain& domain, const std::string& uri);

/// Replaces the element of namespace `uri` by `xml`, whose elements without a namespace go into it under the prefix
/// `key`; no `xml` removes it. Throws Error: XML_DETAIL (not well-formed), INTERNAL_ERROR (no prefix), INVALID_ARG (no
/// uri or key).
void set_metadata(Domain& domain, const std::optional<std::string>& xml, const std::string& key,
                  const std::string& uri);

}  // namespace domain
