#include "driver/emulator/dialect.h"

#include "driver/core/error.h"
#include "driver/emulator/command.h"

// Commands of both dialects: QEMU's (qemu-qmp-ref(7)) and StratoVirt's, which is a part of it with names of its own.
namespace emulator {
namespace {

using core::Error;
using core::ErrorCode;

bool is_qemu(const Capabilities& capabilities) {
  return capabilities.kind == Kind::qemu;
}

std::string object_path(const domain::DeviceInfo& info) {
  return "/machine/peripheral/" + info.alias;
}

bool has_balloon(const domain::Domain& domain) {
  return domain.memballoon && domain.memballoon->model == domain::Memballoon::Model::virtio;
}

}  // namespace

std::vector<Request> initial_requests(const domain::Domain& domain, const Capabilities& capabilities) {
  std::vector<Request> requests;
  if (is_qemu(capabilities)) {
    for (const auto& disk : domain.disks) {
      if (disk.iotune != domain::IoTune{}) requests.push_back(set_iotune(disk, disk.iotune, capabilities));
    }
  }
  for (const auto& interface : domain.interfaces) {
    if (interface.link == domain::Interface::Link::down) requests.push_back(set_link(interface, false, capabilities));
  }
  if (has_balloon(domain)) {
    if (domain.memballoon->stats_period) {
      if (auto period = set_balloon_period(domain, *domain.memballoon->stats_period, capabilities)) {
        requests.push_back(std::move(*period));
      }
    }
    if (domain.current_memory_kib < domain.memory_kib) requests.push_back(set_balloon(domain.current_memory_kib));
  }
  return requests;
}

Request stop() {
  return {"stop", {}};
}
Request cont() {
  return {"cont", {}};
}
Request quit() {
  return {"quit", {}};
}
Request system_reset() {
  return {"system_reset", {}};
}

Request system_powerdown(const Capabilities& capabilities) {
  if (!capabilities.has_command("system_powerdown")) {
    throw Error(ErrorCode::operation_unsupported, "this emulator has no power button (system_powerdown)");
  }
  return {"system_powerdown", {}};
}

Request query_status() {
  return {"query-status", {}};
}
Request query_vcpus(const Capabilities& capabilities) {
  return {is_qemu(capabilities) ? "query-cpus-fast" : "query-cpus", {}};
}
Request query_iothreads() {
  return {"query-iothreads", {}};
}
Request query_chardev() {
  return {"query-chardev", {}};
}

Request query_block_stats() {
  return {"query-blockstats", {}};
}

std::optional<Request> query_devices(const Capabilities& capabilities) {
  if (!is_qemu(capabilities) && !capabilities.takes_open_files()) return std::nullopt;  // the original lists none
  return Request{"qom-list", {{"path", "/machine/peripheral"}}};
}

std::optional<Request> query_block_errors(const Capabilities& capabilities) {
  if (!is_qemu(capabilities)) return std::nullopt;
  return Request{"query-block", {}};
}

Request set_iotune(const domain::Disk& disk, const domain::IoTune& limits, const Capabilities& capabilities) {
  if (!is_qemu(capabilities)) {
    if (!capabilities.commands->contains("block_set_io_throttle")) {
      throw Error(ErrorCode::operation_unsupported,
                  "StratoVirt cannot change the limits of disk '" + disk.target + "' at run time");
    }
    domain::IoTune others = limits;
    others.total_iops_sec = 0;
    if (others != domain::IoTune{}) {
      throw Error(ErrorCode::operation_unsupported,
                  "disk '" + disk.target + "' of a StratoVirt has a limit of total_iops_sec only");
    }
    return {"block_set_io_throttle", {{"id", disk.info.alias}, {"iops", limits.total_iops_sec}}};
  }
  Json arguments = {{"id", object_path(disk.info) + "/virtio-backend"}};
  const struct {
    const char* name;
    std::uint64_t value;
    bool required;
  } rows[] = {
      {"bps", limits.total_bytes_sec, true},
      {"bps_rd", limits.read_bytes_sec, true},
      {"bps_wr", limits.write_bytes_sec, true},
      {"iops", limits.total_iops_sec, true},
      {"iops_rd", limits.read_iops_sec, true},
      {"iops_wr", limits.write_iops_sec, true},
      {"bps_max", limits.total_bytes_sec_max, false},
      {"bps_rd_max", limits.read_bytes_sec_max, false},
      {"bps_wr_max", limits.write_bytes_sec_max, false},
      {"iops_max", limits.total_iops_sec_max, false},
      {"iops_rd_max", limits.read_iops_sec_max, false},
      {"iops_wr_max", limits.write_iops_sec_max, false},
      {"iops_size", limits.size_iops_sec, false},
  };
  for (const auto& row : rows) {
    if (row.required || row.value > 0) arguments[row.name] = row.value;
  }
  return {"block_set_io_throttle", arguments};
}

Request set_link(const domain::Interface& interface, bool up, const Capabilities& capabilities) {
  if (is_qemu(capabilities)) return {"set_link", {{"name", interface.info.alias}, {"up", up}}};
  return {"netlink_set", {{"id", interface.info.alias}, {"up", up}}};
}

Request set_balloon(std::uint64_t kib) {
  return {"balloon", {{"value", kib * 1024}}};
}
Request query_balloon() {
  return {"query-balloon", {}};
}

std::optional<Request> set_balloon_period(const domain::Domain& domain, unsigned seconds,
                                          const Capabilities& capabilities) {
  if (!has_balloon(domain) || !is_qemu(capabilities)) return std::nullopt;
  return Request{"qom-set",
                 {{"path", object_path(domain.memballoon->info)},
                  {"property", "guest-stats-polling-interval"},
                  {"value", seconds}}};
}

std::optional<Request> query_guest_memory(const domain::Domain& domain, const Capabilities& capabilities) {
  if (!has_balloon(domain) || !is_qemu(capabilities)) return std::nullopt;
  return Request{"qom-get", {{"path", object_path(domain.memballoon->info)}, {"property", "guest-stats"}}};
}

}  // namespace emulator
