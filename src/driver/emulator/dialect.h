#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "driver/domain/domain.h"
#include "driver/emulator/capabilities.h"
#include "driver/emulator/resources.h"

/// Each emulator's dialect of QMP: which command asks for a thing, and what a reply or event says, as plain values.
/// Replies are hostile input: every read_…() throws Error INTERNAL_ERROR naming the member that is missing or of a
/// wrong type.
namespace emulator {

using Json = nlohmann::json;

/// A QMP command: what to execute and its arguments (null for none).
struct Request {
  std::string command;
  Json arguments;
  friend bool operator==(const Request&, const Request&) = default;
};

// --- the machine as a whole
// -------------------------------------------------------------------------------------------
/// What to send between start and `cont`: limits of disks, links that are down, the balloon's size and period.
std::vector<Request> initial_requests(const domain::Domain& domain, const Capabilities& capabilities);

Request stop();
Request cont();
Request quit();
Request system_reset();
/// The ACPI power button. Throws Error: OPERATION_UNSUPPORTED where the program has no such command.
Request system_powerdown(const Capabilities& capabilities);

Request query_status();
struct Status {
  std::string state;  ///< "running", "paused", "prelaunch", "shutdown", "guest-panicked", "io-error" …
  bool running = false;
};
Status read_status(const Json& reply);

// --- threads
// ----------------------------------------------------------------------------------------------------------
Request query_vcpus(const Capabilities& capabilities);
struct Vcpu {
  unsigned index = 0;
  int thread_id = 0;
  std::optional<bool> halted;
};
std::vector<Vcpu> read_vcpus(const Json& reply);

Request query_iothreads();
struct Iothread {
  std::string id;  ///< "iothread1"
  int thread_id = 0;
  std::optional<std::uint64_t> poll_max_ns, poll_grow, poll_shrink;  ///< how long it looks for work before it sleeps
};
std::vector<Iothread> read_iothreads(const Json& reply);

// --- character devices
// ------------------------------------------------------------------------------------------------
Request query_chardev();
struct Chardev {
  std::string label;     ///< chardev_id() of a console or serial port
  std::string pty_path;  ///< "/dev/pts/3"; empty when it is no pty
};
std::vector<Chardev> read_chardevs(const Json& reply);

// --- disks
// ------------------------------------------------------------------------------------------------------------
/// StratoVirt 2.5 keeps none and answers with an empty list.
Request query_block_stats();
/// Bytes, operations and nanoseconds since the start (libvirt's block.N.* of domstats).
struct BlockStats {
  std::string device;  ///< alias of the disk
  std::uint64_t read_bytes = 0, read_operations = 0, read_ns = 0;
  std::uint64_t write_bytes = 0, write_operations = 0, write_ns = 0;
  std::uint64_t flush_operations = 0, flush_ns = 0;
  std::optional<std::uint64_t> highest_offset;  ///< the highest byte written
};
std::vector<BlockStats> read_block_stats(const Json& reply);

/// The disks whose last write or read failed. Nothing where the emulator does not tell.
std::optional<Request> query_block_errors(const Capabilities& capabilities);
struct BlockError {
  std::string device;     ///< alias of the disk
  bool no_space = false;  ///< the host's storage is full; else another error
};
std::vector<BlockError> read_block_errors(const Json& reply);

/// Sets all limits of a disk at run time. Throws Error: OPERATION_UNSUPPORTED where the emulator cannot.
Request set_iotune(const domain::Disk& disk, const domain::IoTune& limits, const Capabilities& capabilities);

// --- network
// ----------------------------------------------------------------------------------------------------------
Request set_link(const domain::Interface& interface, bool up, const Capabilities& capabilities);

// --- memory
// -----------------------------------------------------------------------------------------------------------
Request set_balloon(std::uint64_t kib);
Request query_balloon();
std::uint64_t read_balloon_kib(const Json& reply);

/// How often the guest reports; 0 stops it. Nothing where the emulator has no such reports.
std::optional<Request> set_balloon_period(const domain::Domain& domain, unsigned seconds,
                                          const Capabilities& capabilities);
std::optional<Request> query_guest_memory(const domain::Domain& domain, const Capabilities& capabilities);
/// What the guest's balloon driver last reported; absent: it said nothing about it. KiB and counts as dommemstat shows
/// them.
struct GuestMemory {
  std::optional<std::uint64_t> swap_in, swap_out, unused, available, usable, disk_caches;  ///< KiB
  std::optional<std::uint64_t> major_fault, minor_fault, hugetlb_pgalloc, hugetlb_pgfail;
  std::uint64_t last_update = 0;  ///< seconds since the epoch; 0: never
};
GuestMemory read_guest_memory(const Json& reply);

// --- hotplug
// ----------------------------------------------------------------------------------------------------------
/// What makes a device in a running machine, from device_options(), to be sent in order; and what undoes the requests
/// already sent when one fails, in reverse. Throws Error: OPERATION_UNSUPPORTED for a device this emulator cannot add.
struct Attachment {
  Request request;
  std::optional<Request> undo;
};
std::vector<Attachment> attach(const domain::Domain& domain, const domain::Device& device, const Resources& resources,
                               const Capabilities& capabilities);
/// Asks the guest to give a device up; DEVICE_DELETED tells when it has.
Request detach(const domain::Device& device);
/// Which devices are there, by alias; nothing where the emulator does not tell.
std::optional<Request> query_devices(const Capabilities& capabilities);
std::vector<std::string> read_devices(const Json& reply);
/// What is left to remove once the device is gone.
std::vector<Request> after_detach(const domain::Device& device);

// --- events
// -----------------------------------------------------------------------------------------------------------
enum class EventKind {
  other,
  shutdown,
  stop,
  resume,
  reset,
  powerdown,
  suspend,
  wakeup,
  suspend_disk,
  guest_panicked,
  balloon_change,
  rtc_change,
  watchdog,
  block_io_error,
  device_deleted,
  device_unplug_error,
  vserport_change,
  nic_rx_filter_changed,
};
/// An event as both emulators' dialects mean it.
struct Event {
  EventKind kind = EventKind::other;
  std::string name;    ///< as it came: "SHUTDOWN"
  bool guest = false;  ///< shutdown, reset: the guest asked for it
  std::string
      reason;  ///< shutdown, reset: "guest-shutdown", "guest-reset", "host-qmp-quit" …; block_io_error: the error
  std::string device;            ///< device_deleted: alias; block_io_error: drive_id()
  std::uint64_t actual_kib = 0;  ///< balloon_change
};
Event read_event(std::string_view name, const Json& data);

}  // namespace emulator
