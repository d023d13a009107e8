#pragma once

#include "driver/instance/instance.h"

namespace api {

/// Refuses what only an agent in the guest could do, since no channel to one can be described, with libvirt's words:
/// OPERATION_INVALID where the guest does not run, else ARGUMENT_UNSUPPORTED.
[[noreturn]] void refuse_agent(const instance::Instance& subject);

}  // namespace api
