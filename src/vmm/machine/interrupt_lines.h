#pragma once

#include <array>

#include "base/mutex.h"
#include "vmm/irq/irq.h"
#include "vmm/machine/q35_layout.h"

namespace machine {

/// The inputs of the interrupt controller that PCI's INTx pins share: high while any pin is. From any thread.
class InterruptLines {
 public:
  explicit InterruptLines(irq::Controller& controller) : controller_(controller) {}

  /// Pin `pin` (0: INTA#) of a slot of bus 0, as the DSDT's _PRT wires it.
  void set(unsigned slot, unsigned pin, bool high) {
    const unsigned line = (slot + pin) % q35::pci_gsis;
    const base::Lock lock(mutex_);
    unsigned& count = high_[line];
    count += high ? 1U : count > 0 ? ~0U : 0U;
    controller_.set_line(q35::first_pci_gsi + line, count > 0);
  }

 private:
  irq::Controller& controller_;
  base::Mutex mutex_;
  std::array<unsigned, q35::pci_gsis> high_ GUARDED_BY(mutex_){};
};

}  // namespace machine
