#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace domain {

/// Holds the description against `schema_dir`/domain.rng, in a child process with bounded time and memory: a schema is
/// a program that an untrusted document runs. Blocks, no longer than `limit`. Throws Error: XML_INVALID_SCHEMA with
/// libvirt's text and the validator's complaints, XML_DETAIL, INTERNAL_ERROR where the schema cannot be read,
/// OPERATION_TIMEOUT.
void validate_schema(std::string_view xml, const std::string& schema_dir,
                     std::chrono::milliseconds limit = std::chrono::seconds(20));

}  // namespace domain
