#pragma once

#include <cstdint>
#include <optional>

#include "base/unique_fd.h"

namespace host {

/// A guest's end of a vsock: a context id that nobody else on the host has, held by the descriptor.
struct Vsock {
  base::UniqueFd fd;  ///< of /dev/vhost-vsock, close-on-exec
  std::uint32_t cid;
};

/// Takes `cid`, or the first free from 3 up. Throws Error: SYSTEM_ERROR ("unable to open vhost-vsock device" where the
/// host has none; "unable to set guest cid" with EADDRINUSE when it is taken), OPERATION_FAILED when none is free.
Vsock open_vsock(std::optional<std::uint32_t> cid);

}  // namespace host
