#pragma once

#include "driver/core/layout.h"
#include "driver/rpc/server.h"
#include "driver/service/config.h"

namespace service {

/// Listens where the configuration says, or on what systemd handed over. Throws Error.
void listen(rpc::Server& server, const core::Layout& layout, const Config& config);

/// The right to serve this layout, held as long as it lives: one daemon at a time. Throws Error: OPERATION_FAILED.
base::UniqueFd lock(const core::Layout& layout);

}  // namespace service
