#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "vmm/irq/irq.h"

namespace pci {

/// Message-signalled interrupts with a table (PCI 3.0 §6.8.2): vectors that a guest points somewhere and masks, and
/// those that wait behind a mask. Thread safe.
class Msix {
 public:
  explicit Msix(unsigned vectors);

  unsigned vectors() const { return vectors_; }
  void connect(irq::Controller& controller);
  void disconnect();

  /// Sends a vector's message, or keeps it pending while it is masked. Vectors beyond the table are nobody's.
  void send(unsigned vector);
  bool enabled() const;

  /// The vector's eventfd for a back end outside this process; -1 where messages have none.
  int eventfd(unsigned vector);

  /// The capability's control word, as the guest wrote it.
  void set_control(std::uint16_t control);
  void reset();

  /// The table's bytes and the pending bits'.
  void read_table(std::uint64_t offset, std::span<std::uint8_t> value) const;
  void write_table(std::uint64_t offset, std::span<const std::uint8_t> value);
  void read_pending(std::uint64_t offset, std::span<std::uint8_t> value) const;
  std::uint32_t table_size() const { return vectors() * 16; }
  std::uint32_t pending_size() const { return (vectors() + 63) / 64 * 8; }

 private:
  struct Entry {
    std::uint32_t address_low = 0, address_high = 0, data = 0, control = 1;  ///< in the table's order
    bool pending = false;
    std::unique_ptr<irq::Message> message;
  };
  bool masked(const Entry& entry) const REQUIRES(mutex_);
  void deliver(Entry& entry) REQUIRES(mutex_);

  const unsigned vectors_;
  mutable base::Mutex mutex_;
  std::vector<Entry> entries_ GUARDED_BY(mutex_);
  bool enabled_ GUARDED_BY(mutex_) = false, function_masked_ GUARDED_BY(mutex_) = false;
};

}  // namespace pci
