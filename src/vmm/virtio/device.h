#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "vmm/loop/loop.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/virtio/queue.h"

namespace virtio {

/// Feature bits that are every device's (Virtio 1.2 §6).
namespace feature {
inline constexpr std::uint64_t indirect_desc = std::uint64_t{1} << 28, event_idx = std::uint64_t{1} << 29,
                               version_1 = std::uint64_t{1} << 32;
}

/// What a device is, before any driver comes.
struct Traits {
  std::uint16_t type;                      ///< §5
  std::uint64_t features;                  ///< offered
  std::vector<std::uint16_t> queue_sizes;  ///< the largest each queue may be; a power of two
  std::uint32_t config_size;               ///< bytes of device configuration
  std::uint32_t class_code;                ///< PCI's
};

/// How a device tells its driver. From any thread.
class Interrupt {
 public:
  virtual ~Interrupt() = default;
  virtual void queue(unsigned index) = 0;         ///< a used buffer notification
  virtual void config() = 0;                      ///< a configuration change notification
  virtual void needs_reset() = 0;                 ///< the driver broke the device's rules
  virtual int queue_eventfd(unsigned index) = 0;  ///< queue() for a back end outside this process; -1: none
};

/// What a device has between its driver's DRIVER_OK and its reset. Queues that the driver did not enable are absent.
struct Active {
  const memory::GuestMemory& memory;
  Interrupt& interrupt;
  std::uint64_t features;
  std::vector<std::optional<Queue>> queues;
  std::vector<int> notify_fds;  ///< the eventfd that the driver's notification of each queue sets
};

/// Has the loop call queue_ready() of the queue once more, after others had their turn: for a queue that is filled as
/// fast as it is served.
void call_again(const Active& active, unsigned queue);

/// A virtio device without its transport. Everything is called with the lock of the device's loop held; which loop that
/// is, and so which thread calls queue_ready, is the machine's choice.
class Device {
 public:
  virtual ~Device() = default;
  virtual const Traits& traits() const = 0;

  /// Device configuration; within config_size.
  virtual void read_config(std::uint64_t offset, std::span<std::uint8_t> value) = 0;
  virtual void write_config(std::uint64_t offset, std::span<const std::uint8_t> value);

  /// The driver is there. False: what it set up cannot be served, and it needs a reset.
  virtual bool activate(Active active) = 0;
  /// The driver has put something into a queue.
  virtual void queue_ready(unsigned index) = 0;
  /// Back to before activate(): when this returns, no request is under way and guest memory is touched no more.
  virtual void reset() = 0;
  /// Whether the device watches its queues' eventfds itself, as a back end in the kernel does.
  virtual bool watches_queues() const { return false; }
};

}  // namespace virtio
