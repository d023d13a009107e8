#pragma once

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "driver/domain/domain.h"
#include "driver/host/images.h"

/// What the host gives for one device: when its machine starts, and when it is added to one that runs. Calls block: for
/// the pool.
namespace instance {

/// Throws Error as host::require_file().
void require_image(const domain::Disk& disk);
/// What an overlay is read from. Throws Error as host::backing_files().
std::vector<std::string> backing_files(const domain::Disk& disk);
/// Of a disk's image, and for reading of its `backing` files. Throws Error as host::ImageLock::take().
std::vector<host::ImageLock> lock_images(const domain::Disk& disk, const std::vector<std::string>& backing);

/// The ends of an interface's tap; of vhost-net where it is used.
struct TapFds {
  std::vector<base::UniqueFd> queues, vhost;
};
/// Makes the tap and notes its name. Throws Error as host::Tap::open(); CONFIG_UNSUPPORTED where vhost-net is asked for
/// and not there.
TapFds open_tap(domain::Interface& interface, bool kvm);

}  // namespace instance
