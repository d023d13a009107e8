#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "vmm/cmdline/machine_config.h"
#include "vmm/cmdline/parts.h"

namespace monitor {

/// A refusal of QMP's with its class; any other std::exception is a GenericError.
class Refusal : public std::runtime_error {
 public:
  enum class Class { generic_error, command_not_found, device_not_found, device_not_active, kvm_missing_cap };
  Refusal(Class which, const std::string& what) : std::runtime_error(what), which_(which) {}
  Class which() const { return which_; }

 private:
  Class which_;
};

/// What a machine tells of itself.
struct Event {
  enum class Kind {
    stop,
    resume,
    reset,
    powerdown,
    shutdown,
    guest_panicked,
    guest_pvshutdown,
    device_deleted,
    balloon_changed,
  };
  Kind kind;
  bool guest = false;       ///< shutdown, reset: the guest did it
  std::string detail;       ///< shutdown, reset: the reason; guest_panicked: what is done; device_deleted: its id
  std::uint64_t bytes = 0;  ///< balloon_changed: what the guest has

  bool operator==(const Event&) const = default;
};

struct Status {
  std::string state;  ///< QMP's RunState: "running", "paused", "prelaunch", "shutdown" …
  bool running = false;
};
struct Vcpu {
  int thread_id = 0;
};
struct Iothread {
  std::string id;
  int thread_id = 0;
};
struct Chardev {
  std::string label, filename;
  bool open = false;  ///< somebody is at the guest's end
};
/// Bytes, operations and nanoseconds since the start.
struct Block {
  std::string device;  ///< the id of the device; empty for a drive that no device uses
  std::string drive, file;
  bool read_only = false, failed = false, no_space = false;
  std::uint64_t size = 0;  ///< of the disk, in bytes
  std::uint64_t read_bytes = 0, read_operations = 0, read_ns = 0;
  std::uint64_t write_bytes = 0, write_operations = 0, write_ns = 0;
  std::uint64_t flush_operations = 0, flush_ns = 0, highest_offset = 0;
};

/// The machine as a monitor drives it. Called on the main loop's thread with its lock held. What cannot be done is a
/// Refusal or another std::exception whose text says why; nothing is changed then.
///
/// Descriptors within a configuration belong to the machine once its function has returned, and to the caller when it
/// has thrown.
class MachineControl {
 public:
  virtual ~MachineControl() = default;

  virtual const cmdline::Config& config() const = 0;
  virtual std::string arch() const = 0;  ///< "x86_64"

  virtual Status status() const = 0;
  virtual void stop() = 0;
  virtual void cont() = 0;
  virtual void reset() = 0;
  virtual void powerdown() = 0;
  virtual void quit() = 0;

  virtual std::vector<Vcpu> vcpus() const = 0;
  /// Of each, whether it does nothing. The guest stands still for a moment.
  virtual std::vector<bool> vcpus_halted() = 0;
  virtual std::vector<Iothread> iothreads() const = 0;
  virtual std::vector<Chardev> chardevs() const = 0;
  virtual std::vector<Block> blocks() const = 0;
  virtual std::vector<std::string> device_ids() const = 0;

  /// What the guest has, in bytes; nothing without a balloon.
  virtual std::optional<std::uint64_t> balloon() const = 0;
  virtual void set_balloon(std::uint64_t bytes) = 0;

  virtual void add_device(const cmdline::Device& device) = 0;
  /// Asks the guest; Event::device_deleted tells when it is gone. Refusal device_not_found.
  virtual void remove_device(const std::string& id) = 0;
  virtual void add_drive(const cmdline::Drive& drive) = 0;
  virtual void remove_drive(const std::string& id) = 0;
  virtual void add_netdev(const cmdline::Netdev& netdev) = 0;
  virtual void remove_netdev(const std::string& id) = 0;
  /// The name of its other end, as Chardev::filename.
  virtual std::string add_chardev(const cmdline::Chardev& chardev) = 0;
  virtual void remove_chardev(const std::string& id) = 0;
  virtual void add_object(const cmdline::Object& object) = 0;
  virtual void remove_object(const std::string& id) = 0;

  /// The most operations a second of a device or drive; 0 for no limit.
  virtual void set_iops(const std::string& id, std::uint64_t iops) = 0;
  /// Whether the cable of a network card, or of what is behind it, is plugged in.
  virtual void set_link(const std::string& id, bool up) = 0;
};

}  // namespace monitor
