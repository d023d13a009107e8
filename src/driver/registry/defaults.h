#pragma once

#include "driver/core/layout.h"
#include "driver/domain/domain.h"
#include "driver/instance/settings.h"

namespace registry {

/// Fills in what a description leaves to the host, as libvirt does when it is defined: the emulator's path, and a
/// variable store of the domain's own where its firmware has a template. A loader without <nvram> and without a
/// template gets none; of firmware that is chosen at the start, the store is too. Blocks: for the pool.
void fill_from_host(domain::Domain& domain, const core::Layout& layout, const instance::Settings& settings);

}  // namespace registry
