#include "vmm/virtio/console.h"
#include "vmm/virtio/device_fuzz.h"

// A driver's moves (device_fuzz.h) at a console device with two ports, of which the own moves take one away, add it
// again and resize the other.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  loop::Clock clock(loop::Clock::Kind::simulated);
  loop::Loop loop(clock);
  chardev::Config config;
  config.kind = chardev::Config::Kind::file;
  config.path = "/dev/null";
  chardev::Chardev first(config, loop), second(config, loop);
  virtio::Console console({.max_ports = 2});
  console.add_port(0, first, true, "console");
  virtio::fake::Moves(console).play({data, size}, [&](virtio::fake::Input& input) {
    switch (input.byte() % 3) {
      case 0: console.add_port(1, second, false, "port"); break;
      case 1: console.remove_port(1); break;
      default: console.resize(0, input.byte(), input.byte()); break;
    }
  });
  return 0;
}
