#include <algorithm>

#include "driver/core/error.h"
#include "driver/emulator/command.h"
#include "driver/emulator/devices.h"

// The command line that StratoVirt takes: its docs/config_guidebook.md, and what version 2.5.0 was seen to accept and
// refuse.
namespace emulator {
namespace {

using domain::Disk;

void refuse_what_cannot_be_said(const Context& context) {
  const domain::Domain& domain = context.domain;
  const auto timer = [&domain](std::string_view name) {
    return std::ranges::any_of(
        domain.clock.timers, [name](const auto& entry) { return entry.name == name && entry.present.value_or(true); });
  };
  const auto cpu = domain.cpu.value_or(domain::Cpu{});
  const auto& memory = domain.memory_backing;
  const struct {
    bool present;
    std::string what;
  } rows[] = {
      {!domain.features.acpi, "a machine without <acpi/>"},
      {domain.os.firmware.has_value(), "os firmware='" + (domain.os.firmware ? domain.os.firmware->kind : "") + "'"},
      {domain.features.smm.value_or(false), "smm state='on'"},
      {domain.os.loader && domain.os.loader->secure.value_or(false), "loader secure='yes'"},
      {std::ranges::find(domain.os.boot, "network") != domain.os.boot.end(), "boot dev='network'"},
      {!cpu.model.empty(), "cpu model '" + cpu.model + "'"},
      {domain.features.pmu && domain.os.arch == domain::Arch::x86_64, "the pmu feature on x86_64"},
      {domain.features.vmport.value_or(false), "vmport state='on'"},
      {domain.clock.offset != "utc", "clock offset='" + domain.clock.offset + "'"},
      {timer("hpet"), "timer name='hpet'"},
      {!memory.source.empty() && memory.source != "anonymous", "memory source type='" + memory.source + "'"},
      {memory.locked, "locked memory"},
      {memory.discard, "discard of memory"},
  };
  for (const auto& row : rows) {
    if (row.present) unsupported(context, row.what + " is not supported");
  }
}

Option pflash(const std::string& path, std::uint64_t unit, bool readonly) {
  Option option{"-drive", {}, {{"file", path}, {"if", "pflash"}, {"format", "raw"}, {"unit", unit}}};
  if (readonly) option.properties.push_back({"readonly", true});
  return option;
}

Option processors(const domain::Domain& domain) {
  Option option{"-smp", std::to_string(domain.current_vcpus), {}};
  if (domain.current_vcpus != domain.vcpus) option.properties = {{"maxcpus", std::uint64_t{domain.vcpus}}};
  add(option.properties,
      {{"sockets", std::uint64_t{domain.vcpus}}, {"cores", std::uint64_t{1}}, {"threads", std::uint64_t{1}}});
  return option;
}

/// The cache as the original has it: the page cache or not, and nothing else.
bool direct(const Context& context, const Disk& disk) {
  switch (disk.cache) {
    case Disk::Cache::unset:
    case Disk::Cache::writeback: return false;
    case Disk::Cache::none: return true;
    case Disk::Cache::writethrough: unsupported(context, "cache='writethrough' of disk '" + disk.target + "'");
    case Disk::Cache::directsync: unsupported(context, "cache='directsync' of disk '" + disk.target + "'");
    case Disk::Cache::unsafe: unsupported(context, "cache='unsafe' of disk '" + disk.target + "'");
  }
  return false;
}

Options disk(const Context& context, const Disk& disk) {
  constexpr std::uint64_t most_iops = 1'000'000;
  domain::IoTune rest = disk.iotune;
  rest.total_iops_sec = 0;
  if (rest != domain::IoTune{}) unsupported(context, "a limit other than total_iops_sec of disk '" + disk.target + "'");
  if (disk.iotune.total_iops_sec > most_iops) {
    unsupported(context, "total_iops_sec of " + std::to_string(disk.iotune.total_iops_sec) + " of disk '" +
                             disk.target + "', the most is " + std::to_string(most_iops));
  }
  const std::string id = drive_id(disk);
  Properties drive = {{"file", disk.source},
                      {"format", disk.format == Disk::Format::raw ? "raw" : "qcow2"},
                      {"if", "none"},
                      {"id", id}};
  if (disk.readonly) drive.push_back({"readonly", true});
  // The original has no word for it, and lets nobody write an image beside it.
  if (disk.shareable && context.capabilities.is_own()) drive.push_back({"share", true});
  if (disk.iotune.total_iops_sec > 0) drive.push_back({"throttling.iops-total", disk.iotune.total_iops_sec});
  drive.push_back({"direct", direct(context, disk) ? "true" : "false"});
  if (disk.io == Disk::Io::native) {
    if (!direct(context, disk)) unsupported(context, "io='native' without cache='none' of disk '" + disk.target + "'");
    drive.push_back({"aio", "native"});
  } else if (disk.io != Disk::Io::unset) {
    drive.push_back({"aio", disk.io == Disk::Io::threads ? "off" : "io_uring"});
  }
  if (disk.discard != Disk::Discard::unset) {
    drive.push_back({"discard", disk.discard == Disk::Discard::unmap ? "unmap" : "ignore"});
  }
  if (disk.detect_zeroes != Disk::DetectZeroes::unset) {
    constexpr const char* names[] = {"", "off", "on", "unmap"};
    drive.push_back({"detect-zeroes", names[static_cast<int>(disk.detect_zeroes)]});
  }

  Properties device;
  if (disk.iothread) device.push_back({"iothread", "iothread" + std::to_string(*disk.iothread)});
  if (disk.queues) device.push_back({"num-queues", std::uint64_t{*disk.queues}});
  add(device, pci_address(context, disk.info));
  add(device, {{"drive", id}, {"id", disk.info.alias}});
  if (const auto index = boot_index(context.domain, disk)) device.push_back({"bootindex", *index});
  if (!disk.serial.empty()) device.push_back({"serial", disk.serial});
  return {{"-drive", {}, drive}, {"-device", "virtio-blk-pci", device}};
}

Options interface(const Context& context, const domain::Interface& interface) {
  if (interface.info.boot_order) unsupported(context, "boot order of interface '" + interface.info.alias + "'");
  Properties card = network_card(context, interface);
  const auto size = interface.rx_queue_size ? interface.rx_queue_size : interface.tx_queue_size;
  if (size) {
    if (interface.tx_queue_size.value_or(*size) != *size) {
      unsupported(context, "different rx_queue_size and tx_queue_size of interface '" + interface.info.alias + "'");
    }
    card.push_back({"queue-size", std::uint64_t{*size}});
  }
  return {netdev(context, interface), {"-device", "virtio-net-pci", card}};
}

Options serial(const Context& context, const domain::CharacterSource& source, const domain::DeviceInfo& info) {
  return {chardev(context, source, info), {"-serial", "chardev:" + chardev_id(info), {}, true}};
}

Options console(const Context& context, const domain::Console& console) {
  if (console.target == domain::Console::Target::serial) {
    return context.domain.serials.empty() ? serial(context, console.source, console.info) : Options{};
  }
  // 2.5.0 knows no bus of a port and takes the number 0 for itself.
  return {chardev(context, console.source, console.info),
          {"-device", "virtconsole", {{"chardev", chardev_id(console.info)}, {"id", console.info.alias}}}};
}

Options memballoon(const Context& context, const domain::Memballoon& balloon) {
  if (balloon.model == domain::Memballoon::Model::none) return {};
  Properties properties = {{"id", balloon.info.alias}};
  add(properties, pci_address(context, balloon.info));
  // Its booleans are true and false here, on and off are refused.
  const auto boolean = [&properties](const char* name, std::optional<bool> value) {
    if (value) properties.push_back({name, *value ? "true" : "false"});
  };
  boolean("deflate-on-oom", balloon.autodeflate);
  boolean("free-page-reporting", balloon.free_page_reporting);
  return {{"-device", "virtio-balloon-pci", properties}};
}

}  // namespace

Options stratovirt_machine(const Context& context) {
  refuse_what_cannot_be_said(context);
  const domain::Domain& domain = context.domain;
  const domain::Os& os = domain.os;
  const bool x86 = os.arch == domain::Arch::x86_64;
  Options options;
  const auto option = [&options](Option made) { options.push_back(std::move(made)); };
  const auto plain = [&options](const char* flag, const std::string& value) {
    if (!value.empty()) options.push_back({flag, value, {}, true});
  };

  plain("-name", domain.name);
  option({"-S", {}, {}});
  Properties machine = {{"accel", "kvm"}, {"usb", false}, {"dump-guest-core", false}};
  if (domain.memory_backing.shared) machine.push_back({"mem-share", true});
  if (domain.features.gic_version && !x86)
    machine.push_back({"gic-version", std::uint64_t{*domain.features.gic_version}});
  option({"-machine", x86 ? "q35" : "virt", machine});
  if (domain.features.pmu) option({"-cpu", "host", {{"pmu", *domain.features.pmu}}});
  if (os.loader) option(pflash(os.loader->path, 0, os.loader->readonly.value_or(true)));
  if (os.nvram && !os.nvram->path.empty()) option(pflash(os.nvram->path, 1, false));
  plain("-m", std::to_string((domain.memory_kib + 1023) / 1024));
  if (domain.memory_backing.hugepages || domain.memory_backing.immediate) option({"-mem-prealloc", {}, {}});
  if (domain.memory_backing.hugepages) plain("-mem-path", memory_dir(context));
  option({"-realtime", {}, {{"mlock", false}}});
  option(processors(domain));
  for (unsigned i = 1; i <= domain.iothreads; ++i) {
    option({"-object", "iothread", {{"id", "iothread" + std::to_string(i)}}});
  }
  plain("-uuid", core::to_string(domain.uuid));
  for (Option& structure : smbios(context)) option(std::move(structure));
  plain("-display", "none");
  option({"-no-user-config", {}, {}});
  option({"-nodefaults", {}, {}});
  option({"-chardev",
          "socket",
          {{"id", "charmonitor"}, {"path", context.resources.monitor_path}, {"server", Flag{}}, {"nowait", Flag{}}}});
  option({"-mon", {}, {{"chardev", "charmonitor"}, {"id", "monitor"}, {"mode", "control"}}});
  option({"-rtc", {}, {{"base", "utc"}}});
  option({"-no-shutdown", {}, {}});
  plain("-kernel", os.kernel);
  plain("-initrd", os.initrd);
  plain("-append", os.cmdline);
  return options;
}

Options stratovirt_device(const Context& context, const domain::Device& device) {
  return std::visit(Overloaded{
                        [&](const domain::Controller& value) { return controller(context, value); },
                        [&](const Disk& value) { return disk(context, value); },
                        [&](const domain::Interface& value) { return interface(context, value); },
                        [&](const domain::Serial& value) { return serial(context, value.source, value.info); },
                        [&](const domain::Console& value) { return console(context, value); },
                        [&](const domain::Memballoon& value) { return memballoon(context, value); },
                        [&](const domain::Rng& value) { return rng(context, value); },
                        [&](const domain::Vsock& value) { return vsock(context, value); },
                        [&](const domain::Hostdev& value) { return hostdev(context, value); },
                    },
                    device);
}

}  // namespace emulator
