#include "vmm/virtio/device.h"

namespace virtio {

void Device::write_config(std::uint64_t, std::span<const std::uint8_t>) {}  // most have nothing to be written

}  // namespace virtio
