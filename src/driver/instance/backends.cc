#include "driver/instance/backends.h"

#include <fcntl.h>

#include "driver/core/error.h"
#include "driver/host/backing.h"
#include "driver/host/facts.h"
#include "driver/host/tap.h"

namespace instance {

void require_image(const domain::Disk& disk) {
  host::require_file(disk.source,
                     disk.source_type == domain::Disk::Source::block ? host::FileKind::block : host::FileKind::regular);
}

std::vector<std::string> backing_files(const domain::Disk& disk) {
  return disk.format == domain::Disk::Format::qcow2 ? host::backing_files(disk.source) : std::vector<std::string>();
}

std::vector<host::ImageLock> lock_images(const domain::Disk& disk, const std::vector<std::string>& backing) {
  std::vector<host::ImageLock> locks;
  locks.push_back(host::ImageLock::take(disk.source, disk.readonly    ? host::ImageUse::read_only
                                                     : disk.shareable ? host::ImageUse::shared
                                                                      : host::ImageUse::exclusive));
  for (const std::string& file : backing) locks.push_back(host::ImageLock::take(file, host::ImageUse::read_only));
  return locks;
}

TapFds open_tap(domain::Interface& interface, bool kvm) {
  host::TapConfig config;
  config.name = interface.target;
  config.bridge = interface.bridge;
  config.mac = interface.mac;
  config.mtu = interface.mtu;
  config.queues = interface.queues.value_or(1);
  config.managed = interface.target_managed.value_or(true);
  const host::Tap tap = host::Tap::open(config);
  interface.target = tap.name();
  TapFds fds;
  for (const base::UniqueFd& queue : tap.queues()) fds.queues.emplace_back(fcntl(queue.get(), F_DUPFD_CLOEXEC, 3));
  if (kvm && interface.backend != domain::Interface::Backend::qemu) {
    fds.vhost = host::open_vhost_net(config.queues);
    if (fds.vhost.empty() && interface.backend == domain::Interface::Backend::vhost) {
      throw core::Error(core::ErrorCode::config_unsupported,
                        "vhost-net is not supported with this host: " + host::vhost_net().reason);
    }
  }
  return fds;
}

}  // namespace instance
