#pragma once

#include <memory>
#include <vector>

#include "vmm/chardev/chardev.h"
#include "vmm/monitor/machine_control.h"

namespace monitor {

class QmpSession;

/// All monitors of a machine. Used with the main loop's lock held.
class Server {
 public:
  explicit Server(MachineControl& machine);
  ~Server();

  /// Speaks QMP there, with one peer after the other, until the server ends; the character device outlives it.
  void add(chardev::Chardev& chardev);
  /// Tells every peer.
  void tell(const Event& event);

 private:
  MachineControl& machine_;
  std::vector<std::pair<chardev::Chardev*, std::unique_ptr<QmpSession>>> sessions_;
};

}  // namespace monitor
