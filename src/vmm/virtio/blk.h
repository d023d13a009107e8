#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vmm/block/disk.h"
#include "vmm/virtio/blk_registers.h"
#include "vmm/virtio/device.h"

namespace virtio {

struct BlkConfig {
  unsigned queues = 1;             ///< 1 to 64
  std::uint16_t queue_size = 256;  ///< a power of two, 4 to 1024
  std::string serial = {};         ///< its first 20 bytes are told
  bool write_zeroes = false;       ///< is offered
};

/// The block device (Virtio 1.2 §5.2): a disk behind one or several queues. Requests are done as the disk has done
/// them, out of order. Where the driver has no flushes, what is written is on the disk when it is done. However many
/// queues a driver fills, what the device holds for it is bounded.
class Blk : public Device {
 public:
  /// The disk, of the device's loop, must outlive it.
  Blk(const BlkConfig& config, block::Disk& disk);
  ~Blk() override;

  const Traits& traits() const override { return traits_; }
  void read_config(std::uint64_t offset, std::span<std::uint8_t> value) override;
  bool activate(Active active) override;
  void queue_ready(unsigned index) override;
  void reset() override;

 private:
  /// Segments of the requests under way beyond which no more are taken until some are done.
  static constexpr std::size_t most_segments = 32768;
  /// The same of the bytes that a disk may have to move through memory of its own, where the driver's is not aligned:
  /// at most so many of a request at once.
  static constexpr std::size_t most_bytes = 16 << 20, most_bytes_of_one = 64 << 10;

  /// A request of the driver's that the disk has.
  struct Pending {
    Chain chain;
    unsigned queue;
    std::uint32_t data;  ///< bytes that a success has written before the status
    bool then_flush;
    std::size_t bytes;  ///< of `bytes_`
  };

  bool serve(Chain chain, unsigned index);
  std::optional<std::uint8_t> start(Chain& chain, unsigned index, std::uint32_t& data);
  std::optional<std::uint8_t> start_transfer(const blk_layout::Header& header, Chain& chain, unsigned index);
  std::optional<std::uint8_t> start_range(const blk_layout::Header& header, Chain& chain, unsigned index);
  std::optional<std::uint8_t> give_id(Chain& chain, std::uint32_t& data);
  void submit(block::Request request, Chain& chain, unsigned index);
  void done(std::size_t slot, int error);
  void answer(Chain chain, unsigned index, std::uint8_t status, std::uint32_t data);
  void tell();
  void broken();

  block::Disk& disk_;
  std::string serial_;
  Traits traits_;
  std::optional<Active> active_;
  bool broken_ = false, resetting_ = false;
  std::vector<std::optional<Pending>> pending_;
  std::vector<std::size_t> free_;           ///< of `pending_`
  std::vector<std::uint16_t> under_way_;    ///< requests, a queue
  std::size_t segments_ = 0, bytes_ = 0;    ///< of all of them
  std::vector<bool> held_up_, given_back_;  ///< a queue: it has more than the device takes at once; is to be told of
};

}  // namespace virtio
