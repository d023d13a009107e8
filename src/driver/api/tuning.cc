#include <algorithm>
#include <span>

#include "driver/api/change.h"
#include "driver/api/disk.h"
#include "driver/core/error.h"
#include "driver/host/facts.h"
#include "driver/host/proc.h"
#include "driver/instance/probe.h"
#include "driver/protocol/domain_resources.h"

// A domain's share of the host's processors, memory and storage.
namespace api {
namespace {

using namespace protocol;
using core::Error;
using core::ErrorCode;
using core::Task;

enum : std::uint32_t { typed_param_string_okay = 4 };  // virTypedParameterFlags
constexpr std::uint32_t getter_flags = affect_live | affect_config | typed_param_string_okay;

/// Answers with as many of `all` as are asked for; for none with how many there are.
template <class Ret>
Ret answer(const std::vector<TypedParam>& all, std::int32_t nparams) {
  Ret ret{};
  const std::size_t wanted = nparams > 0 ? std::min(all.size(), static_cast<std::size_t>(nparams)) : 0;
  ret.params.assign(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(wanted));
  if constexpr (requires { ret.nparams; }) ret.nparams = static_cast<std::int32_t>(wanted ? wanted : all.size());
  return ret;
}

TypedParam number(const char* field, std::uint64_t value) {
  return {field, TypedParamValue(value)};
}
TypedParam text(const char* field, const char* value = "") {
  return {field, TypedParamValue(String<>(value))};
}

/// A parameter that is to be set, which must be a number. Throws Error INVALID_ARG, with libvirt's words.
std::uint64_t read_number(const TypedParam& param) {
  if (const auto* value = std::get_if<std::uint64_t>(&param.value)) return *value;
  constexpr const char* names[] = {"int", "uint", "llong", "ullong", "double", "boolean", "string"};
  throw Error(ErrorCode::invalid_arg, std::string("invalid type '") + names[param.value.index()] + "' for parameter '" +
                                          param.field + "', expected 'ullong'");
}

void refuse_twice(const auto& params) {
  for (auto one = params.begin(); one != params.end(); ++one)
    if (std::find_if(params.begin(), one, [&](const TypedParam& other) { return other.field == one->field; }) != one)
      throw Error(ErrorCode::invalid_arg, "parameter '" + one->field + "' occurs multiple times");
}

[[noreturn]] void refuse_unknown(const std::string& name) {
  throw Error(ErrorCode::invalid_arg, "parameter '" + name + "' not supported");
}

// --- limits of a disk

using domain::IoTune;

/// Values that are set together: one that is given puts the others of its group to nothing, as in libvirt.
enum Group { bytes, iops, bytes_max, iops_max, size_iops, groups };
struct Limit {
  const char* name;
  std::uint64_t IoTune::* place;
  Group group;
};
constexpr Limit limits[] = {
    {"total_bytes_sec", &IoTune::total_bytes_sec, bytes},
    {"read_bytes_sec", &IoTune::read_bytes_sec, bytes},
    {"write_bytes_sec", &IoTune::write_bytes_sec, bytes},
    {"total_iops_sec", &IoTune::total_iops_sec, iops},
    {"read_iops_sec", &IoTune::read_iops_sec, iops},
    {"write_iops_sec", &IoTune::write_iops_sec, iops},
    {"total_bytes_sec_max", &IoTune::total_bytes_sec_max, bytes_max},
    {"read_bytes_sec_max", &IoTune::read_bytes_sec_max, bytes_max},
    {"write_bytes_sec_max", &IoTune::write_bytes_sec_max, bytes_max},
    {"total_iops_sec_max", &IoTune::total_iops_sec_max, iops_max},
    {"read_iops_sec_max", &IoTune::read_iops_sec_max, iops_max},
    {"write_iops_sec_max", &IoTune::write_iops_sec_max, iops_max},
    {"size_iops_sec", &IoTune::size_iops_sec, size_iops},
};
constexpr std::size_t burst_offset = 6;  // from a limit's row to the row of its burst

/// The disk of this target or source; where it is not there, in libvirt's words for the description.
template <class D>
auto& require_disk(D& what, const std::string& path, bool live) {
  const auto found = find_disk(what, path);
  if (!found) {
    throw Error(ErrorCode::invalid_arg,
                "disk '" + path + (live ? "' not found in domain" : "' was not found in the domain config"));
  }
  return *found;
}

DomainGetBlockIoTuneRet get_block_io_tune(Client& client, const DomainGetBlockIoTuneArgs& args) {
  require_flags(args.flags, getter_flags, "virDomainGetBlockIoTune");
  const auto subject = client.find(args.dom);
  const domain::Domain& what = described(*subject, args.flags);
  std::vector<TypedParam> all;
  const IoTune none;
  const bool live = subject->active() && !(args.flags & affect_config);
  const IoTune& set = args.nparams == 0 ? none : require_disk(what, args.disk.value_or(String<>()), live).iotune;
  for (const Limit& limit : limits) all.push_back(number(limit.name, set.*limit.place));
  all.push_back(text("group_name"));
  for (const Limit& burst : std::span(limits).subspan(burst_offset, burst_offset)) {
    // A burst's length cannot be set: in force is the emulator's own, one second (QAPI block_set_io_throttle).
    all.push_back(number((std::string(burst.name) + "_length").c_str(), live && set.*burst.place ? 1 : 0));
  }
  return answer<DomainGetBlockIoTuneRet>(all, args.nparams);
}

/// The limits that a client wants, and which groups it spoke of.
struct Wanted {
  IoTune limits;
  bool given[groups] = {};

  explicit Wanted(const auto& params) {
    constexpr std::uint64_t most = 1'000'000'000'000'000;
    refuse_twice(params);
    for (const TypedParam& param : params) {
      const auto* limit = std::ranges::find(api::limits, param.field, &Limit::name);
      if (limit == std::end(api::limits)) refuse(param.field);
      const std::uint64_t value = read_number(param);
      if (value > most)
        throw Error(ErrorCode::argument_unsupported,
                    "block I/O throttle limit value must be no more than " + std::to_string(most));
      limits.*limit->place = value;
      given[limit->group] = true;
    }
    const auto exclusive = [](const char* what, std::uint64_t total, std::uint64_t read, std::uint64_t write) {
      if (total && (read || write))
        throw Error(ErrorCode::invalid_arg,
                    std::string("total and read/write of ") + what + " cannot be set at the same time");
    };
    exclusive("bytes_sec", limits.total_bytes_sec, limits.read_bytes_sec, limits.write_bytes_sec);
    exclusive("iops_sec", limits.total_iops_sec, limits.read_iops_sec, limits.write_iops_sec);
    exclusive("bytes_sec_max", limits.total_bytes_sec_max, limits.read_bytes_sec_max, limits.write_bytes_sec_max);
    exclusive("iops_sec_max", limits.total_iops_sec_max, limits.read_iops_sec_max, limits.write_iops_sec_max);
  }

  IoTune over(IoTune before) const {
    for (const Limit& limit : api::limits)
      if (given[limit.group]) before.*limit.place = limits.*limit.place;
    return before;
  }

 private:
  [[noreturn]] static void refuse(const std::string& name) {
    if (name == "group_name" ||
        (name.ends_with("_max_length") &&
         std::ranges::any_of(api::limits, [&](const Limit& one) { return name == std::string(one.name) + "_length"; })))
      throw Error(ErrorCode::operation_unsupported, "limit '" + name + "' of a disk is not supported");
    refuse_unknown(name);
  }
};

/// What QEMU would refuse: a burst needs a limit that is not above it.
void check_bursts(const IoTune& set) {
  for (std::size_t i = 0; i < burst_offset; ++i) {
    const Limit &base = limits[i], &burst = limits[i + burst_offset];
    if (!(set.*burst.place)) continue;
    if (!(set.*base.place))
      throw Error(ErrorCode::config_unsupported,
                  std::string("cannot reset '") + base.name + "' when '" + burst.name + "' is set");
    if (set.*burst.place < set.*base.place)
      throw Error(ErrorCode::config_unsupported,
                  std::string("value '") + burst.name + "' cannot be smaller than '" + base.name + "'");
  }
}

Task<void> set_block_io_tune(Client* client, DomainSetBlockIoTuneArgs args) {
  require_flags(args.flags, affect_live | affect_config, "virDomainSetBlockIoTune");
  const auto [subject, job] = co_await claim(client, std::move(args.dom), "remoteDispatchDomainSetBlockIoTune");
  const Impact meant = impact(*subject, args.flags);
  const Wanted wanted(args.params);
  std::optional<domain::Domain> config;
  if (meant.config) {
    domain::Disk* const disk = find_disk(config.emplace(*subject->config()), args.disk);
    if (!disk) throw Error(ErrorCode::invalid_arg, "missing persistent configuration for disk '" + args.disk + "'");
    disk->iotune = wanted.over(disk->iotune);
    domain::validate(*config);
  }
  if (meant.live) {
    const instance::Running& now = subject->running();
    const domain::Disk disk = require_disk(now.live, args.disk, true);
    const IoTune after = wanted.over(disk.iotune);
    check_bursts(after);
    const auto monitor = now.connected();
    emulator::Request request =
        emulator::set_iotune(disk, after, co_await instance::with_commands(monitor, now.capabilities));
    co_await monitor->execute(std::move(request));
    edit_live(*subject, [&](domain::Domain& live) { require_disk(live, disk.target, true).iotune = after; });
    instance::Tuned told{{{"blkdeviotune.disk", disk.target}}};
    for (const TypedParam& param : args.params)
      told.values.emplace_back("blkdeviotune." + param.field, read_number(param));
    deliver(client->driver(), *subject, told);
  }
  if (config) co_await keep_config(client, subject, std::move(*config));
}

// --- shares of the processors

DomainGetSchedulerTypeRet get_scheduler_type(Client& client, const DomainGetSchedulerTypeArgs& args) {
  client.find(args.dom);
  return {"posix", 1};
}

/// cpu.shares of version 1 of control groups, cpu.weight of version 2.
std::uint64_t shares_in_force(const host::Cgroup& cgroup) {
  for (const std::string& folder : cgroup.folders())
    for (const char* file : {"/cpu.shares", "/cpu.weight"})
      if (const auto value = host::proc::number_in(folder + file)) return *value;
  throw Error(ErrorCode::operation_invalid, "cgroup CPU controller is not mounted");
}

std::vector<TypedParam> scheduler_parameters(const Client& client, const Domain& dom, std::uint32_t flags) {
  const auto subject = client.find(dom);
  const domain::Domain& what = described(*subject, flags);
  const bool live = subject->active() && !(flags & affect_config);
  return {number("cpu_shares", live ? shares_in_force(subject->running().cgroup) : what.cputune.shares.value_or(0))};
}
DomainGetSchedulerParametersRet get_scheduler_parameters(Client& client, const DomainGetSchedulerParametersArgs& args) {
  return answer<DomainGetSchedulerParametersRet>(scheduler_parameters(client, args.dom, 0), args.nparams);
}
DomainGetSchedulerParametersFlagsRet get_scheduler_parameters_flags(Client& client,
                                                                    const DomainGetSchedulerParametersFlagsArgs& args) {
  require_flags(args.flags, getter_flags, "virDomainGetSchedulerParametersFlags");
  return answer<DomainGetSchedulerParametersFlagsRet>(scheduler_parameters(client, args.dom, args.flags), args.nparams);
}

std::uint64_t read_shares(const auto& params) {
  constexpr std::uint64_t least = 2, most = 262144;  // cpu.shares' own
  constexpr const char* known[] = {"vcpu_period",   "vcpu_quota",   "emulator_period", "emulator_quota",
                                   "global_period", "global_quota", "iothread_period", "iothread_quota"};
  refuse_twice(params);
  std::optional<std::uint64_t> shares;
  for (const TypedParam& param : params) {
    if (std::ranges::find(known, param.field) != std::end(known))
      throw Error(ErrorCode::operation_unsupported, "'" + param.field + "' is not supported, only 'cpu_shares' is");
    if (param.field != "cpu_shares") refuse_unknown(param.field);
    shares = read_number(param);
  }
  if (!shares) throw Error(ErrorCode::invalid_arg, "'cpu_shares' is missing");
  if (*shares < least || *shares > most)
    throw Error(ErrorCode::invalid_arg, "shares '" + std::to_string(*shares) + "' must be in range [" +
                                            std::to_string(least) + ", " + std::to_string(most) + "]");
  return *shares;
}

Task<void> set_scheduler_parameters_flags(Client* client, DomainSetSchedulerParametersFlagsArgs args) {
  require_flags(args.flags, affect_live | affect_config, "virDomainSetSchedulerParametersFlags");
  const auto [subject, job] =
      co_await claim(client, std::move(args.dom), "remoteDispatchDomainSetSchedulerParametersFlags");
  const Impact meant = impact(*subject, args.flags);
  const std::uint64_t shares = read_shares(args.params);
  if (meant.live) {
    const host::Cgroup& cgroup = subject->running().cgroup;
    if (!cgroup.set_shares(shares)) throw Error(ErrorCode::operation_invalid, "cgroup CPU controller is not mounted");
    const std::uint64_t in_force = shares_in_force(cgroup);
    edit_live(*subject, [&](domain::Domain& live) { live.cputune.shares = in_force; });
    deliver(client->driver(), *subject, instance::Tuned{{{"cputune.cpu_shares", in_force}}});
  }
  if (meant.config) {
    domain::Domain config = *subject->config();
    config.cputune.shares = shares;
    co_await keep_config(client, subject, std::move(config));
  }
}
Task<void> set_scheduler_parameters(Client* client, DomainSetSchedulerParametersArgs args) {
  return set_scheduler_parameters_flags(client, {std::move(args.dom), std::move(args.params), 0});
}

// --- what is not limited here

/// No limit is ever set, so none is in force.
DomainGetMemoryParametersRet get_memory_parameters(Client& client, const DomainGetMemoryParametersArgs& args) {
  require_flags(args.flags, getter_flags, "virDomainGetMemoryParameters");
  constexpr std::uint64_t unlimited = 9007199254740991;  // VIR_DOMAIN_MEMORY_PARAM_UNLIMITED, KiB
  described(*client.find(args.dom), args.flags);
  return answer<DomainGetMemoryParametersRet>(
      {number("hard_limit", unlimited), number("soft_limit", unlimited), number("swap_hard_limit", unlimited)},
      args.nparams);
}

/// Guest memory is where the host puts it: no mode but libvirt's first, strict, and no node.
DomainGetNumaParametersRet get_numa_parameters(Client& client, const DomainGetNumaParametersArgs& args) {
  require_flags(args.flags, getter_flags, "virDomainGetNumaParameters");
  described(*client.find(args.dom), args.flags);
  return answer<DomainGetNumaParametersRet>({{"numa_mode", TypedParamValue(std::int32_t{0})}, text("numa_nodeset")},
                                            args.nparams);
}

/// No control group of a domain has the controller of storage.
DomainGetBlkioParametersRet get_blkio_parameters(Client& client, const DomainGetBlkioParametersArgs& args) {
  require_flags(args.flags, getter_flags, "virDomainGetBlkioParameters");
  const auto subject = client.find(args.dom);
  described(*subject, args.flags);
  if (subject->active() && !(args.flags & affect_config) && args.nparams != 0)
    throw Error(ErrorCode::operation_invalid, "blkio cgroup isn't mounted");
  return answer<DomainGetBlkioParametersRet>({{"weight", TypedParamValue(std::uint32_t{0})},
                                              text("device_weight"),
                                              text("device_read_iops_sec"),
                                              text("device_write_iops_sec"),
                                              text("device_read_bytes_sec"),
                                              text("device_write_bytes_sec")},
                                             args.nparams);
}

}  // namespace

void add_tuning(Handlers& handlers) {
  using enum Procedure;
  handlers.add<domain_get_block_io_tune>(get_block_io_tune);
  handlers.add<domain_set_block_io_tune>(set_block_io_tune);
  handlers.add<domain_get_scheduler_type>(get_scheduler_type);
  handlers.add<domain_get_scheduler_parameters>(get_scheduler_parameters);
  handlers.add<domain_get_scheduler_parameters_flags>(get_scheduler_parameters_flags);
  handlers.add<domain_set_scheduler_parameters>(set_scheduler_parameters);
  handlers.add<domain_set_scheduler_parameters_flags>(set_scheduler_parameters_flags);
  handlers.add<domain_get_memory_parameters>(get_memory_parameters);
  handlers.add<domain_get_numa_parameters>(get_numa_parameters);
  handlers.add<domain_get_blkio_parameters>(get_blkio_parameters);
}

}  // namespace api
