#pragma once

#include <cstdint>

#include "driver/instance/instance.h"

namespace api {

/// virDomainModificationImpact: which of a domain's two descriptions a call means.
enum : std::uint32_t { affect_live = 1, affect_config = 2 };

struct Impact {
  bool live = false, config = false;
};

/// What `flags` say of this domain; none of them is what runs, else what is defined. Throws Error, with libvirt's
/// words: OPERATION_INVALID for a description it has not.
Impact impact(const instance::Instance& subject, std::uint32_t flags);

/// The one description that a call looks at. Throws Error as impact(), and INVALID_ARG for both.
const domain::Domain& described(const instance::Instance& subject, std::uint32_t flags);

}  // namespace api
