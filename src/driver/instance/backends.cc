#include "driver/instance/backends.h"

#include <fcntl.h>

#include "driver/core/error.h"
#include "driver/host/facts.h"
#include "driver/host/tap.h"

namespace instance {

void require_image(const domain::Disk& disk) {
  host::require_file(disk.source,
                     disk.source_type == domain::Disk::Source::block ? host::FileKind::block : host::FileKind::regular);
}

host::ImageLock lock_image(const domain::Disk& disk) {
  return host::ImageLock::take(disk.source, disk.readonly    ? host::ImageUse::read_only
                                            : disk.shareable ? host::ImageUse::shared
                                                             : host::ImageUse::exclusive);
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
