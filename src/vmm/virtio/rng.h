#pragma once

#include <cstdint>
#include <optional>

#include "base/unique_fd.h"
#include "vmm/virtio/device.h"

namespace virtio {

struct RngConfig {
  base::UniqueFd source;                   ///< random bytes; does not block
  std::optional<std::uint64_t> max_bytes;  ///< in each period; none: no limit
  std::uint64_t period_ms = 65536;
};

/// The entropy device (Virtio 1.2 §5.4): fills the driver's buffers from a file. Each period adds its bytes to what may
/// be given; a request is served whole once there is something, and later ones wait until what it overdrew is paid.
class Rng : public Device {
 public:
  /// Bytes of one request at most, whatever its buffers hold: what a guest can have the host make in one go.
  static constexpr std::size_t most_in_request = 65536;

  Rng(RngConfig config, loop::Loop& loop);

  const Traits& traits() const override { return traits_; }
  void read_config(std::uint64_t offset, std::span<std::uint8_t> value) override;
  bool activate(Active active) override;
  void queue_ready(unsigned index) override;
  void reset() override;

 private:
  void serve();
  bool allowed();
  std::optional<std::size_t> fill(const Chain& chain);
  void wait_for_source();

  RngConfig config_;
  loop::Loop& loop_;
  Traits traits_;
  std::optional<Active> active_;
  loop::Watch watch_;
  loop::Timer next_period_;
  std::int64_t period_end_ = 0;  ///< ns of the loop's clock
  std::int64_t left_ = 0;        ///< bytes; less than none where a request took more
};

}  // namespace virtio
