#include "vmm/virtio/device.h"

#include <unistd.h>

namespace virtio {

void call_again(const Active& active, unsigned queue) {
  if (queue >= active.notify_fds.size()) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(active.notify_fds[queue], &one, sizeof one);
}

void Device::write_config(std::uint64_t, std::span<const std::uint8_t>) {}  // most have nothing to be written

}  // namespace virtio
