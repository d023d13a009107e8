#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "vmm/irq/irq.h"

/// The seam between the machine and what stands for its processors: KVM, or a test that drives the devices over a
/// socket.
namespace hypervisor {

/// Writes to one address of a bus that set an eventfd instead of coming back as an access, until this ends.
class WriteEvent {
 public:
  virtual ~WriteEvent() = default;
};

/// Guest memory in the guest's physical address space, until this ends.
class MappedMemory {
 public:
  virtual ~MappedMemory() = default;
};

class Hypervisor : public irq::Controller {
 public:
  /// Puts `bytes` (whole pages) at `address`. Writes to read-only memory come back as accesses. Throws
  /// std::system_error.
  virtual std::unique_ptr<MappedMemory> map(std::uint64_t address, std::span<std::uint8_t> bytes, bool read_only) = 0;
  /// None where writes always come back as accesses. `size` in bytes; `value`: only writes of that value.
  virtual std::unique_ptr<WriteEvent> on_write(std::uint64_t address, unsigned size, std::optional<std::uint64_t> value,
                                               int eventfd) = 0;
};

}  // namespace hypervisor
