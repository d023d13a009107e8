#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "driver/core/error.h"

namespace host {

/// A disk's image, in bytes (domblkinfo).
struct ImageSize {
  std::uint64_t capacity = 0;    ///< what the guest sees
  std::uint64_t allocation = 0;  ///< what it takes of the host's storage
  std::uint64_t physical = 0;    ///< where the file or the block device ends
  bool block_device = false;
};

/// `qcow2`: the capacity stands in the image's header. Never waits for a peer, as opening a FIFO would, but for the
/// storage: for the pool. Or why there is none, not thrown since whoever asks for many meets many that are away:
/// SYSTEM_ERROR naming the path; OPERATION_FAILED for what is neither a file nor a block device, and for a header that
/// is none.
std::expected<ImageSize, core::Error> image_size(const std::string& path, bool qcow2);

}  // namespace host
