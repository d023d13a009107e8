#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "vmm/block/disk.h"
#include "vmm/machine/backends.h"
#include "vmm/machine/q35.h"
#include "vmm/pci/root_port.h"
#include "vmm/virtio/console.h"
#include "vmm/virtio/pci_transport.h"

namespace machine {

/// Everything that is plugged into the board, by its id; at start and while the guest runs. Used with the main loop's
/// lock held.
class Devices {
 public:
  /// `deleted` is told of a device that the guest has let go.
  Devices(Q35& board, hypervisor::Hypervisor& hypervisor, Backends& backends, loop::Loop& loop, unsigned cpus,
          std::function<void(const std::string&)> deleted);
  Devices(const Devices&) = delete;
  Devices& operator=(const Devices&) = delete;
  ~Devices();

  /// Makes a device and puts it into its place; `running`: the guest is told, which only a root port can. Throws
  /// std::invalid_argument, std::runtime_error or std::system_error with what is in the way; nothing is changed then.
  void add(const cmdline::Device& config, bool running);
  /// Asks the guest to let a device go. Throws std::invalid_argument for an id that is none, std::runtime_error for a
  /// device that cannot be unplugged.
  void remove(const std::string& id);
  /// Whether the guest has been asked for the device, and has neither let it go nor said that it stays.
  bool asked_for(const std::string& id) const;
  /// Ends what the guest has let go, which is soon otherwise.
  void take_away();
  /// Calls `visit` with each disk, the id of its device and that of its drive; the disk's loop's lock is held.
  void each_disk(const std::function<void(const std::string& device, const std::string& drive,
                                          const block::Disk& disk)>& visit) const;
  bool contains(const std::string& id) const { return functions_.contains(id) || ports_.contains(id); }
  std::vector<std::string> ids() const;
  /// Whether the guest has the port of a character device open; none where that has no port.
  std::optional<bool> opened(const std::string& chardev) const;
  /// Sets block::Disk::limit of the disk of a device or drive; false for an id that is neither's.
  bool limit(const std::string& id, std::uint64_t iops) const;

 private:
  struct Plugged {
    std::string drive;
    std::shared_ptr<block::Disk> disk;  ///< goes after the device in front of it
    std::unique_ptr<pci::Function> function;
    pci::Bus* bus = nullptr;
    unsigned devfn = 0;
    pci::RootPort* port = nullptr;      ///< the one it is behind
    std::optional<std::int64_t> asked;  ///< when the guest was asked last to let it go, ns of the loop's clock
    bool leaving = false;               ///< the guest has let it go
  };
  struct Port {
    virtio::Console* console;
    unsigned number;
    std::string chardev;
  };

  void plug(std::unique_ptr<pci::Function> function, const cmdline::PciPlace& place, bool running,
            std::shared_ptr<block::Disk> disk = {});
  std::shared_ptr<block::Disk> open_disk(const cmdline::Drive& drive, loop::Loop& loop);
  void unplugged(const std::string& port);
  template <class Act>
  auto locked(loop::Loop& loop, Act act) const;
  loop::Loop& loop_of(const std::string& iothread);
  std::unique_ptr<pci::Function> transport(const std::string& id, std::unique_ptr<virtio::Device> device,
                                           loop::Loop& loop);

  void make(const cmdline::RootPort& config, bool running);
  void make(const cmdline::VirtioBlk& config, bool running);
  void make(const cmdline::VirtioNet& config, bool running);
  void make(const cmdline::VirtioSerial& config, bool running);
  void make(const cmdline::SerialPort& config, bool running);
  void make(const cmdline::VirtioBalloon& config, bool running);
  void make(const cmdline::VirtioRng& config, bool running);
  void make(const cmdline::VhostVsock& config, bool running);

  Q35& board_;
  hypervisor::Hypervisor& hypervisor_;
  Backends& backends_;
  loop::Loop& loop_;
  unsigned cpus_;
  std::function<void(const std::string&)> deleted_;
  std::map<std::string, Plugged> functions_;
  std::map<std::string, virtio::Console*> consoles_;  ///< those of functions_
  std::map<std::string, Port> ports_;
};

}  // namespace machine
