#pragma once

#include <algorithm>
#include <string>

#include "driver/domain/domain.h"

namespace api {

/// The disk that a client means by `path`, its target ("vda") or its source, of a domain that is const or not; null
/// where there is none.
template <class D>
auto find_disk(D& what, const std::string& path) -> decltype(what.disks.data()) {
  const auto found = std::ranges::find_if(
      what.disks, [&](const domain::Disk& disk) { return disk.target == path || disk.source == path; });
  return found == what.disks.end() ? nullptr : &*found;
}

}  // namespace api
