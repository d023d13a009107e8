#include <algorithm>

#include "driver/core/error.h"
#include "driver/emulator/command.h"
#include "driver/emulator/devices.h"

// The command line that QEMU takes (qemu(1), qemu-qmp-ref(7)), with KVM or for its software emulation.
namespace emulator {
namespace {

using domain::Disk;

const domain::Timer* timer(const domain::Domain& domain, std::string_view name) {
  const auto found = std::ranges::find(domain.clock.timers, name, &domain::Timer::name);
  return found == domain.clock.timers.end() ? nullptr : &*found;
}

/// The node of a flash chip, for the machine's property of the same name.
Option flash(const std::string& name, const std::string& path, bool readonly) {
  return {"-blockdev",
          "raw",
          {{"node-name", name}, {"read-only", readonly}, {"file.driver", "file"}, {"file.filename", path}}};
}

/// What stands behind guest memory that is not simply anonymous; nothing when it is.
std::optional<Option> memory_backend(const Context& context, const std::string& id) {
  const domain::MemoryBacking& memory = context.domain.memory_backing;
  const std::uint64_t bytes = (context.domain.memory_kib + 1023) / 1024 * 1024 * 1024;
  Option option{"-object", {}, {{"id", id}}};
  const bool file = memory.hugepages || memory.source == "file";
  if (file) {
    option.head = "memory-backend-file";
    option.properties.push_back({"mem-path", memory_dir(context)});
  } else if (memory.source == "memfd" || memory.shared) {
    option.head = "memory-backend-memfd";
  } else if (memory.immediate || memory.discard) {
    option.head = "memory-backend-ram";
  } else {
    return std::nullopt;
  }
  if (memory.shared || memory.access_private) option.properties.push_back({"share", memory.shared});
  if (memory.hugepages || memory.immediate) option.properties.push_back({"prealloc", true});
  // What is no file is never written back, so there is nothing to discard.
  if (memory.discard && file) option.properties.push_back({"discard-data", true});
  option.properties.push_back({"size", bytes});
  return option;
}

Option machine(const Context& context, bool backed_memory, const std::string& memory_id) {
  const domain::Domain& domain = context.domain;
  const bool x86 = domain.os.arch == domain::Arch::x86_64;
  Option option{"-machine", domain.os.machine, {{"usb", false}}};
  auto& properties = option.properties;
  if (!x86) std::erase_if(properties, [](const Property& property) { return property.name == "usb"; });
  const auto switched = [&properties](const char* name, std::optional<bool> value) {
    if (value) properties.push_back({name, *value});
  };
  if (x86) {
    switched("vmport", domain.features.vmport);
    if (const auto* hpet = timer(domain, "hpet")) switched("hpet", hpet->present);
    const bool secure = domain.os.loader && domain.os.loader->secure.value_or(false);
    switched("smm", secure ? std::optional(true) : domain.features.smm);
  } else if (domain.features.gic_version) {
    properties.push_back({"gic-version", std::uint64_t{*domain.features.gic_version}});
  }
  switched("dump-guest-core", false);
  if (domain.memory_backing.nosharepages) switched("mem-merge", false);
  if (!domain.features.acpi) switched("acpi", false);
  if (backed_memory) properties.push_back({"memory-backend", memory_id});
  if (domain.os.loader) properties.push_back({"pflash0", "pflash0-storage"});
  if (domain.os.nvram && !domain.os.nvram->path.empty()) properties.push_back({"pflash1", "pflash1-storage"});
  return option;
}

/// KVM passes the host's CPU on, for host-model too, as a StratoVirt does. Software emulation has none to pass on;
/// "max" is everything it can do, so it stands for both. Without <cpu>, x86_64 has libvirt's qemu64; aarch64 has what
/// stands for the host's, QEMU's own default there being a 32-bit CPU.
Option processor(const domain::Domain& domain) {
  const bool x86 = domain.os.arch == domain::Arch::x86_64;
  const bool kvm = domain.type == domain::Type::kvm;
  Option option{"-cpu", kvm ? "host" : "max", {}};
  const bool unnamed = !domain.cpu || domain.cpu->mode == domain::Cpu::Mode::custom;
  if (unnamed && x86) option.head = "qemu64";
  if (domain.cpu && !domain.cpu->model.empty()) option.head = domain.cpu->model;
  if (domain.cpu && domain.cpu->mode == domain::Cpu::Mode::maximum) option.head = "max";
  if (kvm && x86 && domain.cpu && !domain.cpu->migratable.empty())
    option.properties.push_back({"migratable", domain.cpu->migratable == "on"});
  // The architected pointer authentication costs software emulation half its speed.
  if (!kvm && !x86 && option.head == "max") option.properties.push_back({"pauth-impdef", true});
  if (const auto* kvmclock = timer(domain, "kvmclock"); kvm && x86 && kvmclock && kvmclock->present)
    option.properties.push_back({"kvmclock", *kvmclock->present});
  if (domain.features.pmu) option.properties.push_back({"pmu", *domain.features.pmu});
  return option;
}

/// Without a topology a vCPU is a socket.
Option processors(const Context& context) {
  const domain::Domain& domain = context.domain;
  Option option{"-smp", std::to_string(domain.current_vcpus), {}};
  if (domain.current_vcpus != domain.vcpus) option.properties = {{"maxcpus", std::uint64_t{domain.vcpus}}};
  const domain::Topology topology =
      domain.cpu && domain.cpu->topology ? *domain.cpu->topology : domain::Topology{.sockets = domain.vcpus};
  option.properties.push_back({"sockets", std::uint64_t{topology.sockets}});
  if (topology.dies > 1) {
    if (domain.os.arch != domain::Arch::x86_64)
      unsupported(context, "topology dies='" + std::to_string(topology.dies) + "' is not supported on aarch64");
    option.properties.push_back({"dies", std::uint64_t{topology.dies}});
  }
  add(option.properties, {{"cores", std::uint64_t{topology.cores}}, {"threads", std::uint64_t{topology.threads}}});
  return option;
}

Option clock(const domain::Domain& domain) {
  Option option{"-rtc", {}, {{"base", domain.clock.offset}}};
  if (const auto* rtc = timer(domain, "rtc")) {
    if (rtc->track == "guest") option.properties.push_back({"clock", "vm"});
    if (rtc->track == "wall") option.properties.push_back({"clock", "host"});
    if (rtc->tickpolicy == "catchup" && domain.os.arch == domain::Arch::x86_64) {
      option.properties.push_back({"driftfix", "slew"});
    }
  }
  return option;
}

Option monitor(const Resources& resources) {
  Option option{"-chardev", "socket", {{"id", "charmonitor"}}};
  if (resources.monitor_fd) {
    option.properties.push_back({"fd", std::to_string(*resources.monitor_fd)});
  } else {
    option.properties.push_back({"path", resources.monitor_path});
  }
  add(option.properties, {{"server", true}, {"wait", false}});
  return option;
}

/// What libvirt's cache modes mean (libvirt formatdomain, driver@cache): past the page cache, flushes ignored, and
/// whether the guest sees a write cache.
struct CacheMode {
  bool direct, no_flush, write_cache;
};
std::optional<CacheMode> cache_mode(Disk::Cache cache) {
  switch (cache) {
    case Disk::Cache::unset: return std::nullopt;
    case Disk::Cache::none: return CacheMode{true, false, true};
    case Disk::Cache::writeback: return CacheMode{false, false, true};
    case Disk::Cache::writethrough: return CacheMode{false, false, false};
    case Disk::Cache::directsync: return CacheMode{true, false, false};
    case Disk::Cache::unsafe: return CacheMode{false, true, true};
  }
  return std::nullopt;
}

Option disk_node(const Disk& disk, const std::optional<CacheMode>& cache) {
  Option option{"-blockdev",
                disk.format == Disk::Format::raw ? "raw" : "qcow2",
                {{"node-name", drive_id(disk)}, {"read-only", disk.readonly}}};
  auto& properties = option.properties;
  if (cache) add(properties, {{"cache.direct", cache->direct}, {"cache.no-flush", cache->no_flush}});
  if (disk.discard != Disk::Discard::unset) {
    properties.push_back({"discard", disk.discard == Disk::Discard::unmap ? "unmap" : "ignore"});
  }
  if (disk.detect_zeroes != Disk::DetectZeroes::unset) {
    constexpr const char* names[] = {"", "off", "on", "unmap"};
    properties.push_back({"detect-zeroes", names[static_cast<int>(disk.detect_zeroes)]});
  }
  properties.push_back({"file.driver", disk.source_type == Disk::Source::file ? "file" : "host_device"});
  properties.push_back({"file.filename", disk.source});
  if (disk.io != Disk::Io::unset) {
    constexpr const char* names[] = {"", "native", "threads", "io_uring"};
    properties.push_back({"file.aio", names[static_cast<int>(disk.io)]});
  }
  return option;
}

Options disk(const Context& context, const Disk& disk) {
  constexpr std::size_t longest_node_name = 31;
  if (drive_id(disk).size() > longest_node_name)
    unsupported(context, "target '" + disk.target + "' of a disk is too long");
  const auto cache = cache_mode(disk.cache);
  Properties device;
  if (disk.iothread) device.push_back({"iothread", "iothread" + std::to_string(*disk.iothread)});
  if (disk.queues) device.push_back({"num-queues", std::uint64_t{*disk.queues}});
  add(device, pci_address(context, disk.info));
  add(device, {{"drive", drive_id(disk)}, {"id", disk.info.alias}});
  if (const auto index = boot_index(context.domain, disk)) device.push_back({"bootindex", *index});
  if (cache) device.push_back({"write-cache", cache->write_cache});
  if (!disk.serial.empty()) device.push_back({"serial", disk.serial});
  if (disk.shareable) device.push_back({"share-rw", true});
  return {disk_node(disk, cache), {"-device", "virtio-blk-pci", device}};
}

Options interface(const Context& context, const domain::Interface& interface) {
  Properties card = network_card(context, interface);
  const auto number = [&card](const char* name, std::optional<unsigned> value) {
    if (value) card.push_back({name, std::uint64_t{*value}});
  };
  number("rx_queue_size", interface.rx_queue_size);
  number("tx_queue_size", interface.tx_queue_size);
  number("host_mtu", interface.mtu);
  if (const auto index = boot_index(context.domain, interface)) card.push_back({"bootindex", *index});
  return {netdev(context, interface), {"-device", "virtio-net-pci", card}};
}

Options serial(const Context& context, const domain::CharacterSource& source, const domain::DeviceInfo& info) {
  const std::string chardev_name = chardev_id(info);
  if (context.domain.os.arch == domain::Arch::aarch64) {  // the board's own port, which is no -device
    return {chardev(context, source, info), {"-serial", "chardev:" + chardev_name, {}, true}};
  }
  return {chardev(context, source, info),
          {"-device", "isa-serial", {{"chardev", chardev_name}, {"id", info.alias}, {"index", std::uint64_t{0}}}}};
}

Options console(const Context& context, const domain::Console& console) {
  if (console.target == domain::Console::Target::serial) {
    return context.domain.serials.empty() ? serial(context, console.source, console.info) : Options{};
  }
  const auto controller =
      std::ranges::find(context.domain.controllers, domain::Controller::Type::virtio_serial, &domain::Controller::type);
  if (controller == context.domain.controllers.end()) {
    throw core::Error(core::ErrorCode::internal_error,
                      "console '" + console.info.alias + "' has no virtio-serial controller");
  }
  return {chardev(context, console.source, console.info),
          {"-device",
           "virtconsole",
           {{"bus", controller->info.alias + ".0"},
            {"nr", std::uint64_t{console.port}},
            {"chardev", chardev_id(console.info)},
            {"id", console.info.alias}}}};
}

Options memballoon(const Context& context, const domain::Memballoon& balloon) {
  if (balloon.model == domain::Memballoon::Model::none) return {};
  Properties properties = {{"id", balloon.info.alias}};
  add(properties, pci_address(context, balloon.info));
  if (balloon.autodeflate) properties.push_back({"deflate-on-oom", *balloon.autodeflate});
  if (balloon.free_page_reporting) properties.push_back({"free-page-reporting", *balloon.free_page_reporting});
  return {{"-device", "virtio-balloon-pci", properties}};
}

}  // namespace

Options qemu_machine(const Context& context) {
  const domain::Domain& domain = context.domain;
  const domain::Os& os = domain.os;
  const Capabilities& capabilities = context.capabilities;
  const bool x86 = os.arch == domain::Arch::x86_64;
  const std::string memory_id = x86 ? "pc.ram" : "mach-virt.ram";  // QEMU's own names for it
  const auto memory = memory_backend(context, memory_id);
  if (os.firmware) unsupported(context, "os firmware='" + os.firmware->kind + "' is chosen when the machine starts");
  Options options;
  const auto option = [&options](Option made) { options.push_back(std::move(made)); };
  const auto plain = [&options](const char* flag, const std::string& value) {
    if (!value.empty()) options.push_back({flag, value, {}, true});
  };

  option({"-name", {}, {{"guest", domain.name}, {"debug-threads", true}}});
  option({"-S", {}, {}});
  if (os.loader) option(flash("pflash0-storage", os.loader->path, os.loader->readonly.value_or(true)));
  if (os.nvram && !os.nvram->path.empty()) option(flash("pflash1-storage", os.nvram->path, false));
  option(machine(context, memory.has_value(), memory_id));
  if (os.loader && os.loader->secure.value_or(false)) {
    if (!x86) unsupported(context, "loader secure='yes' is not supported on aarch64");
    option({"-global", {}, {{"driver", "cfi.pflash01"}, {"property", "secure"}, {"value", true}}});
  }
  option({"-accel", domain.type == domain::Type::kvm ? "kvm" : "tcg", {}});
  option(processor(domain));
  option({"-m", {}, {{"size", std::to_string((domain.memory_kib + 1023) / 1024) + "M"}}});
  if (memory) option(*memory);
  if (capabilities.has_option("overcommit")) option({"-overcommit", {}, {{"mem-lock", domain.memory_backing.locked}}});
  option(processors(context));
  for (unsigned i = 1; i <= domain.iothreads; ++i) {
    option({"-object", "iothread", {{"id", "iothread" + std::to_string(i)}}});
  }
  plain("-uuid", core::to_string(domain.uuid));
  for (Option& structure : smbios(context)) option(std::move(structure));
  if (domain.features.vmcoreinfo.value_or(false)) option({"-device", "vmcoreinfo", {}});
  if (domain.genid) {
    if (!x86) unsupported(context, "genid '" + *domain.genid + "' is not supported on aarch64");
    option({"-device", "vmgenid", {{"guid", *domain.genid}, {"id", "vmgenid0"}}});
  }
  plain("-display", "none");
  option({"-no-user-config", {}, {}});
  option({"-nodefaults", {}, {}});
  option(monitor(context.resources));
  option({"-mon", {}, {{"chardev", "charmonitor"}, {"id", "monitor"}, {"mode", "control"}}});
  option(clock(domain));
  if (const auto* pit = timer(domain, "pit"); domain.type == domain::Type::kvm && x86 && pit) {
    if (pit->tickpolicy == "delay" || pit->tickpolicy == "discard")
      option({"-global", "kvm-pit.lost_tick_policy=" + pit->tickpolicy, {}, true});
    else if (!pit->tickpolicy.empty())
      unsupported(context, "unsupported timer policy '" + pit->tickpolicy + "' for pit with KVM");
  }
  option({"-no-shutdown", {}, {}});  // what follows a power off is the driver's to decide
  if (domain.on_reboot == domain::LifecycleAction::destroy) {
    if (capabilities.has_option("action")) {
      option({"-action", {}, {{"reboot", "shutdown"}}});
    } else {
      option({"-no-reboot", {}, {}});
    }
  }
  if (x86) {
    const auto sleep_state = [&option](const char* name, std::optional<bool> enabled) {
      if (enabled) option({"-global", std::string("ICH9-LPC.") + name + (*enabled ? "=0" : "=1"), {}, true});
    };
    sleep_state("disable_s3", domain.suspend_to_mem);
    sleep_state("disable_s4", domain.suspend_to_disk);
  }
  option({"-boot", {}, {{"strict", true}}});
  plain("-kernel", os.kernel);
  plain("-initrd", os.initrd);
  plain("-append", os.cmdline);
  if (context.resources.seccomp_sandbox && capabilities.has_option("sandbox")) {
    option({"-sandbox",
            "on",
            {{"obsolete", "deny"}, {"elevateprivileges", "deny"}, {"spawn", "deny"}, {"resourcecontrol", "deny"}}});
  }
  option({"-msg", {}, {{"timestamp", true}}});
  return options;
}

Options qemu_device(const Context& context, const domain::Device& device) {
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
