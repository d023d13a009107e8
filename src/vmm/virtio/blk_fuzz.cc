#include <cstdlib>

#include "vmm/block/disk_fake.h"
#include "vmm/virtio/blk.h"
#include "vmm/virtio/device_fuzz.h"

// A driver's moves (device_fuzz.h) at a block device whose disk insists that what it is asked lies within it. The own
// move ends one of the disk's operations, with an error or without.
namespace {

class StrictDisk : public block::FakeDisk {
 public:
  StrictDisk() : FakeDisk(64 * 512) { holds = true; }
  void submit(block::Request request) override {
    std::uint64_t size = 0;
    for (const iovec& part : request.parts) size += part.iov_len;
    const bool transfers = request.kind == block::Kind::read || request.kind == block::Kind::write;
    if (request.offset > bytes.size() || request.length > bytes.size() - request.offset) std::abort();
    if (request.offset % 512 || request.length % 512 || size != (transfers ? request.length : 0)) std::abort();
    if (held.size() > 64) std::abort();  // two queues of 32
    FakeDisk::submit(std::move(request));
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  StrictDisk disk;
  virtio::BlkConfig config;
  config.queues = 2;
  config.queue_size = 32;
  config.serial = "serial";
  config.write_zeroes = true;
  virtio::Blk blk(config, disk);
  virtio::fake::Moves(blk).play({data, size}, [&](virtio::fake::Input& input) {
    const unsigned which = input.byte();
    if (disk.held.empty()) return;
    disk.error = which & 0x80 ? EIO : 0;
    disk.complete(which % disk.held.size());
    disk.end();
  });
  return 0;
}
