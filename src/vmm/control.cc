#include "vmm/control.h"

#include <algorithm>

using monitor::Refusal;

monitor::Event to_monitor(const machine::Event& event) {
  using From = machine::Event::Kind;
  using To = monitor::Event::Kind;
  const auto kind = [&] {
    switch (event.kind) {
      case From::stop: return To::stop;
      case From::resume: return To::resume;
      case From::reset: return To::reset;
      case From::powerdown: return To::powerdown;
      case From::shutdown: return To::shutdown;
      case From::guest_panicked: return To::guest_panicked;
      case From::guest_pvshutdown: return To::guest_pvshutdown;
      case From::device_deleted: return To::device_deleted;
    }
    return To::stop;
  }();
  return {.kind = kind, .guest = event.guest, .detail = event.detail, .bytes = 0};
}

monitor::Status Control::status() const {
  return {machine::to_string(machine_.state()), machine_.running()};
}

std::vector<monitor::Vcpu> Control::vcpus() const {
  std::vector<monitor::Vcpu> all;
  for (const pid_t thread : machine_.vcpu_threads()) all.push_back({.thread_id = thread});
  return all;
}

std::vector<monitor::Iothread> Control::iothreads() const {
  std::vector<monitor::Iothread> all;
  for (const auto& [id, thread] : machine_.backends().iothreads) all.push_back({id, thread->thread_id()});
  return all;
}

std::vector<monitor::Chardev> Control::chardevs() const {
  std::vector<monitor::Chardev> all;
  for (const auto& [id, one] : machine_.backends().chardevs) {
    // A monitor and a serial port are there for as long as the machine is.
    const bool always = id == config().serial || std::ranges::find(config().monitors, id) != config().monitors.end();
    all.push_back({id, one->filename(), machine_.devices().opened(id).value_or(always)});
  }
  return all;
}

std::vector<monitor::Block> Control::blocks() const {
  std::vector<monitor::Block> all;
  machine_.devices().each_disk([&](const std::string& device, const std::string& drive, const block::Disk& disk) {
    const block::Statistics done = disk.statistics();
    const auto& drives = machine_.backends().drives;
    const auto found = drives.find(drive);
    all.push_back({.device = device,
                   .drive = drive,
                   .file = found == drives.end() ? std::string() : found->second.file,
                   .read_only = disk.read_only(),
                   .size = disk.size(),
                   .read_bytes = done.read.bytes,
                   .read_operations = done.read.operations,
                   .read_ns = done.read.time_ns,
                   .write_bytes = done.write.bytes,
                   .write_operations = done.write.operations,
                   .write_ns = done.write.time_ns,
                   .flush_operations = done.flush.operations,
                   .flush_ns = done.flush.time_ns,
                   .highest_offset = done.highest_write});
  });
  for (const auto& [id, drive] : machine_.backends().drives) {
    if (std::ranges::find(all, id, &monitor::Block::drive) != all.end()) continue;
    all.push_back({.device = {}, .drive = id, .file = drive.file, .read_only = drive.read_only});
  }
  return all;
}

void Control::set_balloon(std::uint64_t) {
  throw Refusal(Refusal::Class::device_not_active, "No balloon device has been activated");
}

void Control::add_device(const cmdline::Device& device) {
  machine_.add_device(device);
}

void Control::remove_device(const std::string& id) {
  if (!machine_.devices().contains(id)) {
    throw Refusal(Refusal::Class::device_not_found, "Device '" + id + "' not found");
  }
  machine_.remove_device(id);
}

void Control::add_drive(const cmdline::Drive& drive) {
  machine_.add_drive(drive);
}
void Control::remove_drive(const std::string& id) {
  machine_.remove_drive(id);
}
void Control::add_netdev(const cmdline::Netdev& netdev) {
  machine_.add_netdev(netdev);
}
void Control::remove_netdev(const std::string& id) {
  if (!machine_.backends().netdevs.contains(id)) {
    throw Refusal(Refusal::Class::device_not_found, "Device '" + id + "' not found");
  }
  machine_.remove_netdev(id);
}
std::string Control::add_chardev(const cmdline::Chardev& chardev) {
  // Making terminals and sockets is among what a thread gives up.
  if (config().seccomp && chardev.fd < 0) {
    throw std::runtime_error(
        "a sandboxed machine is given its sockets by getfd ('addr' of type 'fd'), or runs with -disable-seccomp");
  }
  return machine_.add_chardev(chardev);
}
void Control::remove_chardev(const std::string& id) {
  machine_.remove_chardev(id);
}

void Control::add_object(const cmdline::Object& object) {
  const auto* const rng = std::get_if<cmdline::RngBackend>(&object);
  if (!rng) throw std::runtime_error("only rng-random can be added to a machine that is there");
  machine_.add_rng(*rng);
}
void Control::remove_object(const std::string& id) {
  machine_.remove_rng(id);
}

void Control::set_iops(const std::string& id, std::uint64_t iops) {
  if (!machine_.devices().limit(id, iops)) {
    throw Refusal(Refusal::Class::device_not_found, "Device '" + id + "' not found");
  }
}
void Control::set_link(const std::string& id, bool) {
  throw Refusal(Refusal::Class::device_not_found, "Device '" + id + "' not found");
}
