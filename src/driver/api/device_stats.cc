#include <algorithm>
#include <optional>

#include "driver/api/agent.h"
#include "driver/api/client.h"
#include "driver/api/disk.h"
#include "driver/api/figures.h"
#include "driver/core/error.h"
#include "driver/host/facts.h"
#include "driver/host/image_size.h"
#include "driver/host/proc.h"
#include "driver/host/process_stats.h"
#include "driver/host/tap.h"
#include "driver/protocol/domain_device.h"
#include "driver/protocol/domain_stats.h"

// What one device, the memory or the processors of one domain have done.
namespace api {
namespace {

using namespace protocol;
using core::Error;
using core::ErrorCode;
using core::Task;
using instance::Monitor;
using registry::InstancePtr;

enum : std::uint32_t { typed_param_string_okay = 4 };  // virTypedParameterFlags

Task<DomainGetBlockInfoRet> block_info(Client* client, DomainGetBlockInfoArgs args) {
  require_flags(args.flags, 0, "virDomainGetBlockInfo");
  const InstancePtr subject = client->find(args.dom);
  const domain::Disk* found = find_disk(subject->description(), args.path);
  if (!found) throw Error(ErrorCode::invalid_arg, "invalid path " + args.path + " not assigned to domain");
  const domain::Disk disk = *found;
  std::optional<core::Gate::Place> place;
  if (client->connection().readonly())
    place.emplace(co_await client->driver().reader_looks.enter(Monitor::command_limit, "storage"));
  auto looked = co_await client->driver().loop.blocking(
      [disk] { return host::image_size(disk.source, disk.format == domain::Disk::Format::qcow2); });
  place.reset();
  if (!looked) throw Error(looked.error());
  host::ImageSize& size = *looked;
  if (size.block_device && subject->active()) {  // how far a guest has written is known to its emulator only
    const auto figures = co_await instance::ask(subject, {.blocks = true}, Monitor::command_limit);
    if (figures.failed) throw Error(*figures.failed);
    const emulator::BlockStats* counted = find_block_stats(figures, disk);
    if (counted && counted->highest_offset) size.allocation = *counted->highest_offset;
  }
  if (subject->active() && subject->running().capabilities.kind == emulator::Kind::qemu)
    size.capacity = in_sectors(size.capacity);
  co_return DomainGetBlockInfoRet{size.allocation, size.capacity, size.physical};
}

/// What was counted for one disk, or with an empty path for all together.
Task<emulator::BlockStats> block_figures(InstancePtr subject, std::string path) {
  const domain::Domain& live = subject->running().live;
  const domain::Disk* found = path.empty() ? nullptr : find_disk(live, path);
  if (!path.empty() && !found) throw Error(ErrorCode::invalid_arg, "invalid path: " + path);
  const std::string alias = found ? found->info.alias : std::string();
  const auto figures = co_await instance::ask(subject, {.blocks = true}, Monitor::command_limit);
  if (figures.failed) throw Error(*figures.failed);
  if (!figures.blocks) throw Error(ErrorCode::operation_unsupported, "this emulator keeps no statistics of disks");
  emulator::BlockStats sum;
  bool any = false;
  for (const emulator::BlockStats& one : *figures.blocks) {
    if (found && one.device != alias) continue;
    any = true;
    sum.read_bytes += one.read_bytes;
    sum.read_operations += one.read_operations;
    sum.read_ns += one.read_ns;
    sum.write_bytes += one.write_bytes;
    sum.write_operations += one.write_operations;
    sum.write_ns += one.write_ns;
    sum.flush_operations += one.flush_operations;
    sum.flush_ns += one.flush_ns;
  }
  if (found && !any) throw Error(ErrorCode::internal_error, "cannot find statistics for device '" + alias + "'");
  co_return sum;
}

Task<DomainBlockStatsRet> block_stats(Client* client, DomainBlockStatsArgs args) {
  const emulator::BlockStats sum = co_await block_figures(client->find(args.dom), args.path);
  constexpr std::int64_t errors_unknown = -1;
  co_return DomainBlockStatsRet{
      static_cast<std::int64_t>(sum.read_operations), static_cast<std::int64_t>(sum.read_bytes),
      static_cast<std::int64_t>(sum.write_operations), static_cast<std::int64_t>(sum.write_bytes), errors_unknown};
}

Task<DomainBlockStatsFlagsRet> block_stats_flags(Client* client, DomainBlockStatsFlagsArgs args) {
  require_flags(args.flags, typed_param_string_okay, "virDomainBlockStatsFlags");
  const emulator::BlockStats sum = co_await block_figures(client->find(args.dom), args.path);
  const std::pair<const char*, std::uint64_t> rows[] = {{"wr_bytes", sum.write_bytes},
                                                        {"wr_operations", sum.write_operations},
                                                        {"rd_bytes", sum.read_bytes},
                                                        {"rd_operations", sum.read_operations},
                                                        {"flush_operations", sum.flush_operations},
                                                        {"wr_total_times", sum.write_ns},
                                                        {"rd_total_times", sum.read_ns},
                                                        {"flush_total_times", sum.flush_ns}};
  DomainBlockStatsFlagsRet ret;
  ret.nparams = static_cast<std::int32_t>(std::size(rows));
  if (args.nparams == 0) co_return ret;  // how many there are
  for (const auto& [field, value] : rows) {
    if (std::cmp_greater_equal(ret.params.size(), args.nparams)) break;
    ret.params.push_back({field, TypedParamValue(static_cast<std::int64_t>(value))});
  }
  ret.nparams = static_cast<std::int32_t>(ret.params.size());
  co_return ret;
}

/// The disks whose last access failed, as virDomainDiskErrorCode.
Task<DomainGetDiskErrorsRet> disk_errors(Client* client, DomainGetDiskErrorsArgs args) {
  require_flags(args.flags, 0, "virDomainGetDiskErrors");
  const InstancePtr subject = client->find(args.dom);
  const instance::Running& now = subject->running();
  std::vector<std::pair<std::string, std::string>> disks;  // alias, target
  disks.reserve(now.live.disks.size());
  for (const domain::Disk& disk : now.live.disks) disks.emplace_back(disk.info.alias, disk.target);
  DomainGetDiskErrorsRet ret{};
  if (args.maxerrors == 0) {  // how many there may be
    ret.nerrors = static_cast<std::int32_t>(disks.size());
    co_return ret;
  }
  const auto request = emulator::query_block_errors(now.capabilities);
  if (!request) co_return ret;
  const auto monitor = now.connected();
  for (const emulator::BlockError& error : emulator::read_block_errors(co_await monitor->execute(*request))) {
    enum { unspecified = 1, no_space = 2 };
    const auto disk = std::ranges::find(disks, error.device, &std::pair<std::string, std::string>::first);
    if (disk == disks.end() || ret.errors.size() >= args.maxerrors) continue;
    ret.errors.push_back({disk->second, error.no_space ? no_space : unspecified});
  }
  ret.nerrors = static_cast<std::int32_t>(ret.errors.size());
  co_return ret;
}

/// By the tap's name or the card's address.
DomainInterfaceStatsRet interface_stats(Client& client, const DomainInterfaceStatsArgs& args) {
  const InstancePtr subject = client.find(args.dom);
  const auto& interfaces = subject->running().live.interfaces;
  const auto found = std::ranges::find_if(interfaces, [&](const domain::Interface& one) {
    return !args.device.empty() && (one.target == args.device || domain::to_string(one.mac) == args.device);
  });
  const auto counted = found == interfaces.end() ? std::nullopt : host::tap_statistics(found->target);
  if (!counted)
    throw Error(ErrorCode::invalid_arg, "'" + args.device + "' is not a known interface", core::ErrorDomain::domain);
  const auto number = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
  return {number(counted->rx_bytes),   number(counted->rx_packets), number(counted->rx_errors),
          number(counted->rx_dropped), number(counted->tx_bytes),   number(counted->tx_packets),
          number(counted->tx_errors),  number(counted->tx_dropped)};
}

/// The addresses that the host's neighbours' table has for a card: complete entries of /proc/net/arp.
std::vector<DomainInterface> resolved(const domain::Domain& live) {
  constexpr std::size_t address = 0, flags = 2, hardware = 3, columns = 6;
  const std::string table = host::proc::text("/proc/net/arp").value_or("");
  std::vector<DomainInterface> result;
  for (const domain::Interface& card : live.interfaces) {
    DomainInterface found{card.target, domain::to_string(card.mac), {}};
    for (const std::string_view line : host::proc::lines(table)) {
      const auto words = host::proc::words(line);
      if (words.size() < columns || words[hardware] != *found.hwaddr || words[flags] == "0x0") continue;
      found.addrs.push_back({0, String<>(words[address]), 0});  // virIPAddrType: IPv4; the table knows no prefix
    }
    if (!found.addrs.empty()) result.push_back(std::move(found));
  }
  return result;
}

DomainInterfaceAddressesRet interface_addresses(Client& client, const DomainInterfaceAddressesArgs& args) {
  require_flags(args.flags, 0, "virDomainInterfaceAddresses");
  const InstancePtr subject = client.find(args.dom);
  const domain::Domain& live = subject->running().live;
  enum { lease = 0, agent = 1, arp = 2 };
  DomainInterfaceAddressesRet ret;
  switch (args.source) {
    case lease: break;  // a bridge of the host's own: nobody here hands out its addresses
    case agent: refuse_agent(*subject);
    case arp:
      for (DomainInterface& one : resolved(live)) ret.ifaces.push_back(std::move(one));
      break;
    default:
      throw Error(ErrorCode::argument_unsupported, "Unknown IP address data source " + std::to_string(args.source));
  }
  return ret;
}

Task<DomainMemoryStatsRet> memory_stats(Client* client, DomainMemoryStatsArgs args) {
  require_flags(args.flags, 0, "virDomainMemoryStats");
  const InstancePtr subject = client->find(args.dom);
  subject->running();
  const auto figures = co_await instance::ask(subject, {.memory = true}, Monitor::command_limit);
  if (figures.failed) throw Error(*figures.failed);
  DomainMemoryStatsRet ret;
  for (const MemoryFigure& one : memory_figures(subject->running(), figures)) {
    if (ret.stats.size() < args.max_stats) ret.stats.push_back({one.tag, one.value});
  }
  co_return ret;
}

/// Nanoseconds on each processor; only version 1 of control groups keeps them apart.
std::vector<std::uint64_t> time_by_cpu(const host::Cgroup& cgroup) {
  std::vector<std::uint64_t> times;
  for (const std::string& folder : cgroup.folders()) {
    const auto text = host::proc::text(folder + "/cpuacct.usage_percpu");
    if (!text) continue;
    for (const std::string_view word : host::proc::words(*text)) times.push_back(host::proc::number(word).value_or(0));
    return times;
  }
  throw Error(ErrorCode::operation_unsupported,
              "the host's control groups do not keep the processor time by processor (version 1 does)");
}

/// libvirt's protocol for asking how much there is: no parameters is how many a processor has, no processors is how
/// many there are.
DomainGetCpuStatsRet cpu_stats(Client& client, const DomainGetCpuStatsArgs& args) {
  require_flags(args.flags, typed_param_string_okay, "virDomainGetCPUStats");
  const InstancePtr subject = client.find(args.dom);
  const instance::Running& now = subject->running();
  DomainGetCpuStatsRet ret{};
  const auto add = [&](const char* field, std::uint64_t value, std::size_t limit) {
    if (ret.params.size() < limit) ret.params.push_back({field, TypedParamValue(value)});
  };
  if (args.start_cpu == -1) {
    ret.nparams = 3;
    if (args.nparams == 0) return ret;
    const auto used = host::process_statistics(now.process.pid);
    if (!used) throw Error(ErrorCode::operation_invalid, "domain is not running");
    add("cpu_time", now.cgroup.usage_ns().value_or(used->user_ns + used->system_ns), args.nparams);
    add("user_time", used->user_ns, args.nparams);
    add("system_time", used->system_ns, args.nparams);
    ret.nparams = static_cast<std::int32_t>(ret.params.size());
    return ret;
  }
  const unsigned present = host::cpu_map().present;
  if (args.ncpus == 0) return {{}, static_cast<std::int32_t>(present)};
  if (args.nparams == 0) return {{}, 1};
  if (args.start_cpu < 0 || std::cmp_greater_equal(args.start_cpu, present)) {
    throw Error(ErrorCode::invalid_arg, "start_cpu " + std::to_string(args.start_cpu) + " larger than maximum of " +
                                            std::to_string(present - 1));
  }
  const std::vector<std::uint64_t> times = time_by_cpu(now.cgroup);
  const auto first = static_cast<std::size_t>(args.start_cpu);
  for (std::size_t i = first; i < std::min<std::size_t>(times.size(), first + args.ncpus); ++i) {
    add("cpu_time", times[i], max::domain_get_cpu_stats);
  }
  ret.nparams = 1;
  return ret;
}

}  // namespace

void add_device_stats(Handlers& handlers) {
  using enum Procedure;
  handlers.add<domain_get_block_info>(block_info);
  handlers.add<domain_block_stats>(block_stats);
  handlers.add<domain_block_stats_flags>(block_stats_flags);
  handlers.add<domain_get_disk_errors>(disk_errors);
  handlers.add<domain_interface_stats>(interface_stats);
  handlers.add<domain_interface_addresses>(interface_addresses);
  handlers.add<domain_memory_stats>(memory_stats);
  handlers.add<domain_get_cpu_stats>(cpu_stats);
}

}  // namespace api
