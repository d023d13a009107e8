#pragma once

#include <string>

#include "driver/domain/devices/disk.h"

namespace api {

/// Whether a client that says `path` means this disk: by its target ("vda") or by its source.
inline bool named(const domain::Disk& disk, const std::string& path) {
  return disk.target == path || disk.source == path;
}

}  // namespace api
