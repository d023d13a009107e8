#include <algorithm>
#include <limits>

#include "driver/core/error.h"
#include "driver/emulator/dialect.h"

// What replies and events say. Their members are QEMU's (qemu-qmp-ref(7)); StratoVirt spells some with an underscore.
namespace emulator {
namespace {

[[noreturn]] void broken(std::string_view member) {
  throw core::Error(core::ErrorCode::internal_error, "the emulator's reply has no valid '" + std::string(member) + "'");
}

const Json* find(const Json& object, std::initializer_list<const char*> names) {
  if (!object.is_object()) broken(*names.begin());
  for (const char* name : names) {
    if (const auto found = object.find(name); found != object.end()) return &*found;
  }
  return nullptr;
}

/// The member of the first of `names` that is there.
std::string text(const Json& object, std::initializer_list<const char*> names) {
  const Json* value = find(object, names);
  if (value == nullptr || !value->is_string()) broken(*names.begin());
  return value->get<std::string>();
}

std::uint64_t number(const Json& object, std::initializer_list<const char*> names,
                     std::uint64_t most = std::numeric_limits<std::uint64_t>::max()) {
  const Json* value = find(object, names);
  if (value == nullptr || !value->is_number_unsigned() || value->get<std::uint64_t>() > most) broken(*names.begin());
  return value->get<std::uint64_t>();
}

std::string optional_text(const Json& object, std::initializer_list<const char*> names) {
  return find(object, names) != nullptr ? text(object, names) : std::string();
}

std::optional<bool> optional_bool(const Json& object, const char* name) {
  const Json* value = find(object, {name});
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) broken(name);
  return value->get<bool>();
}

int thread_id(const Json& object) {
  return static_cast<int>(number(object, {"thread-id", "thread_id"}, std::numeric_limits<int>::max()));
}

/// Calls `read` with every item of a list.
void each(const Json& reply, const auto& read) {
  if (!reply.is_array()) broken("list");
  for (const Json& item : reply) read(item);
}

/// "virtio-disk0" of "/machine/peripheral/virtio-disk0/virtio-backend".
std::string alias_in(std::string_view path) {
  constexpr std::string_view root = "/machine/peripheral/";
  if (!path.starts_with(root)) return {};
  path.remove_prefix(root.size());
  return std::string(path.substr(0, path.find('/')));
}

}  // namespace

Status read_status(const Json& reply) {
  return {text(reply, {"status"}), optional_bool(reply, "running").value_or(false)};
}

std::vector<Vcpu> read_vcpus(const Json& reply) {
  constexpr unsigned most = 0xffff;
  std::vector<Vcpu> result;
  each(reply, [&result](const Json& item) {
    result.push_back({static_cast<unsigned>(number(item, {"cpu-index", "CPU"}, most)), thread_id(item),
                      optional_bool(item, "halted")});
  });
  std::ranges::sort(result, {}, &Vcpu::index);
  return result;
}

std::vector<Iothread> read_iothreads(const Json& reply) {
  std::vector<Iothread> result;
  const auto optional_number = [](const Json& item, const char* name) {
    return find(item, {name}) ? std::optional(number(item, {name})) : std::nullopt;
  };
  each(reply, [&](const Json& item) {
    result.push_back({text(item, {"id"}), thread_id(item), optional_number(item, "poll-max-ns"),
                      optional_number(item, "poll-grow"), optional_number(item, "poll-shrink")});
  });
  return result;
}

std::vector<Chardev> read_chardevs(const Json& reply) {
  static constexpr std::string_view pty = "pty:";
  std::vector<Chardev> result;
  each(reply, [&result](const Json& item) {
    Chardev chardev{text(item, {"label"}), {}};
    if (const std::string name = text(item, {"filename"}); name.starts_with(pty))
      chardev.pty_path = name.substr(pty.size());
    result.push_back(std::move(chardev));
  });
  return result;
}

std::vector<std::string> read_devices(const Json& reply) {
  std::vector<std::string> result;
  each(reply, [&result](const Json& item) { result.push_back(text(item, {"name"})); });
  return result;
}

std::vector<BlockStats> read_block_stats(const Json& reply) {
  std::vector<BlockStats> result;
  each(reply, [&result](const Json& item) {
    BlockStats stats;
    stats.device = alias_in(optional_text(item, {"qdev"}));
    if (stats.device.empty()) return;  // flash chips and the like
    const Json* values = find(item, {"stats"});
    if (values == nullptr) broken("stats");
    const std::pair<const char*, std::uint64_t BlockStats::*> rows[] = {
        {"rd_bytes", &BlockStats::read_bytes},
        {"rd_operations", &BlockStats::read_operations},
        {"rd_total_time_ns", &BlockStats::read_ns},
        {"wr_bytes", &BlockStats::write_bytes},
        {"wr_operations", &BlockStats::write_operations},
        {"wr_total_time_ns", &BlockStats::write_ns},
        {"flush_operations", &BlockStats::flush_operations},
        {"flush_total_time_ns", &BlockStats::flush_ns},
    };
    for (const auto& [name, member] : rows) stats.*member = number(*values, {name});
    if (find(*values, {"wr_highest_offset"}) != nullptr) stats.highest_offset = number(*values, {"wr_highest_offset"});
    result.push_back(std::move(stats));
  });
  return result;
}

std::vector<BlockError> read_block_errors(const Json& reply) {
  std::vector<BlockError> result;
  each(reply, [&result](const Json& item) {
    const std::string device = alias_in(optional_text(item, {"qdev"}));
    const std::string status = optional_text(item, {"io-status"});
    if (!device.empty() && !status.empty() && status != "ok") result.push_back({device, status == "nospace"});
  });
  return result;
}

std::uint64_t read_balloon_kib(const Json& reply) {
  return number(reply, {"actual"}) / 1024;
}

GuestMemory read_guest_memory(const Json& reply) {
  GuestMemory result;
  result.last_update = number(reply, {"last-update"});
  const Json* stats = find(reply, {"stats"});
  if (stats == nullptr) broken("stats");
  const struct {
    const char* name;
    std::optional<std::uint64_t> GuestMemory::* member;
    std::uint64_t unit;
  } rows[] = {
      {"stat-swap-in", &GuestMemory::swap_in, 1024},           {"stat-swap-out", &GuestMemory::swap_out, 1024},
      {"stat-free-memory", &GuestMemory::unused, 1024},        {"stat-total-memory", &GuestMemory::available, 1024},
      {"stat-available-memory", &GuestMemory::usable, 1024},   {"stat-disk-caches", &GuestMemory::disk_caches, 1024},
      {"stat-major-faults", &GuestMemory::major_fault, 1},     {"stat-minor-faults", &GuestMemory::minor_fault, 1},
      {"stat-htlb-pgalloc", &GuestMemory::hugetlb_pgalloc, 1}, {"stat-htlb-pgfail", &GuestMemory::hugetlb_pgfail, 1},
  };
  for (const auto& row : rows) {
    const Json* value = find(*stats, {row.name});
    if (value == nullptr) continue;
    if (!value->is_number_integer()) broken(row.name);
    // All bits set, written with or without a sign, is "the guest did not say".
    const auto number = value->get<std::uint64_t>();
    if (number != std::numeric_limits<std::uint64_t>::max()) result.*row.member = number / row.unit;
  }
  return result;
}

Event read_event(std::string_view name, const Json& data) {
  struct Row {
    std::string_view name;
    EventKind kind;
    std::initializer_list<const char*> device;  ///< members that say which device
    std::initializer_list<const char*> reason;
  };
  static const Row rows[] = {
      {"SHUTDOWN", EventKind::shutdown, {}, {"reason"}},
      {"STOP", EventKind::stop, {}, {}},
      {"RESUME", EventKind::resume, {}, {}},
      {"RESET", EventKind::reset, {}, {"reason"}},
      {"POWERDOWN", EventKind::powerdown, {}, {}},
      {"SUSPEND", EventKind::suspend, {}, {}},
      {"SUSPEND_DISK", EventKind::suspend_disk, {}, {}},
      {"WAKEUP", EventKind::wakeup, {}, {}},
      {"GUEST_PANICKED", EventKind::guest_panicked, {}, {"action"}},
      {"BALLOON_CHANGE", EventKind::balloon_change, {}, {}},
      {"BALLOON_CHANGED", EventKind::balloon_change, {}, {}},
      {"RTC_CHANGE", EventKind::rtc_change, {}, {}},
      {"WATCHDOG", EventKind::watchdog, {}, {"action"}},
      {"BLOCK_IO_ERROR", EventKind::block_io_error, {"node-name", "device"}, {"reason"}},
      {"DEVICE_DELETED", EventKind::device_deleted, {"device"}, {}},
      {"DEVICE_UNPLUG_GUEST_ERROR", EventKind::device_unplug_error, {"device"}, {}},
      {"VSERPORT_CHANGE", EventKind::vserport_change, {"id"}, {}},
      {"NIC_RX_FILTER_CHANGED", EventKind::nic_rx_filter_changed, {"name"}, {}},
  };
  Event event;
  event.name = name;
  const auto* row = std::ranges::find(rows, name, &Row::name);
  if (row == std::end(rows)) return event;
  event.kind = row->kind;
  event.guest = optional_bool(data, "guest").value_or(false);
  if (row->device.size() > 0) event.device = optional_text(data, row->device);
  if (row->reason.size() > 0) event.reason = optional_text(data, row->reason);
  if (row->kind == EventKind::balloon_change) event.actual_kib = number(data, {"actual"}) / 1024;
  return event;
}

}  // namespace emulator
