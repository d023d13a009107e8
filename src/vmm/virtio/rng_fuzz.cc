#include <fcntl.h>

#include "base/file.h"
#include "vmm/virtio/device_fuzz.h"
#include "vmm/virtio/rng.h"

// A driver's moves (device_fuzz.h) at an entropy device with a limit. The own move is a step of the clock.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  loop::Clock clock(loop::Clock::Kind::simulated);
  loop::Loop loop(clock);
  virtio::RngConfig config;
  config.source = base::open_file("/dev/zero", O_RDONLY | O_NONBLOCK);
  config.max_bytes = 1000;
  config.period_ms = 10;
  virtio::Rng rng(std::move(config), loop);
  virtio::fake::Moves(rng).play({data, size}, [&](virtio::fake::Input& input) {
    clock.step_to(clock.now() + std::int64_t{input.byte()} * 1'000'000);
  });
  return 0;
}
