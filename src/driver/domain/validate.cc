#include <algorithm>
#include <limits>
#include <set>

#include "driver/core/error.h"
#include "driver/domain/domain.h"

namespace domain {
namespace {

using core::Error;
using core::ErrorCode;

/// What bounds a domain of either type: a StratoVirt's own limits (its configuration guide), and QEMU's of these
/// machines.
struct Limits {
  std::uint64_t least_kib, most_kib;
  unsigned vcpus, iothreads, queues;
  const char* of;
};
constexpr std::uint64_t mib = 1024, gib = 1024 * mib;
constexpr Limits stratovirt{128 * mib, 512 * gib, 254, 8, 16, "a StratoVirt"};
/// More than 255 need an x2APIC, which QEMU has in no software processor and behind no interrupt controller but an
/// IOMMU.
constexpr Limits qemu_q35{1, ~std::uint64_t{0}, 255, 1024, 256, "machine type 'q35'"};
constexpr Limits qemu_virt{1, ~std::uint64_t{0}, 512, 1024, 256, "machine type 'virt'"};
constexpr Limits qemu_virt_2{1, ~std::uint64_t{0}, 255, 1024, 256, "machine type 'virt-2'"};

const Limits& limits_of(const Domain& domain) {
  if (domain.type == Type::kvm) return stratovirt;
  if (domain.os.arch == Arch::x86_64) return qemu_q35;
  return domain.os.machine.starts_with("virt-2.") ? qemu_virt_2 : qemu_virt;
}

[[noreturn]] void unsupported(const std::string& what) {
  throw Error(ErrorCode::config_unsupported, what);
}

void check_most(const std::string& what, std::uint64_t value, std::uint64_t most, const Limits& limits) {
  if (value > most)
    unsupported(what + " '" + std::to_string(value) + "' is more than " + limits.of + " has: " + std::to_string(most));
}

void validate_resources(const Domain& domain, const Limits& limits) {
  if (domain.memory_kib < limits.least_kib || domain.memory_kib > limits.most_kib)
    unsupported("element 'memory' of " + std::to_string(domain.memory_kib) + " KiB (allowed for " + limits.of + ": " +
                std::to_string(limits.least_kib) + " to " + std::to_string(limits.most_kib) + ")");
  if (domain.current_memory_kib > domain.memory_kib)
    unsupported("element 'currentMemory' of " + std::to_string(domain.current_memory_kib) +
                " KiB is more than the memory, " + std::to_string(domain.memory_kib));
  if (domain.current_vcpus == 0 || domain.current_vcpus > domain.vcpus)
    unsupported("maximum vCPU count must not be less than current vCPU count, " + std::to_string(domain.current_vcpus));
  if (&limits == &qemu_q35 && domain.vcpus > limits.vcpus)
    unsupported(
        "more than 255 vCPUs require extended interrupt mode enabled on an iommu device, which there is not "
        "(element 'vcpu' of " +
        std::to_string(domain.vcpus) + ")");
  check_most("element 'vcpu'", domain.vcpus, limits.vcpus, limits);
  check_most("element 'iothreads'", domain.iothreads, limits.iothreads, limits);
  if (domain.memory_backing.hugepages && domain.memory_backing.ondemand)
    unsupported("hugepages are not allowed with memory allocation ondemand");
  for (const auto& [iothread, cpus] : domain.cputune.iothreadpin)
    if (iothread == 0 || iothread > domain.iothreads)
      unsupported("Cannot find 'iothread' : " + std::to_string(iothread));
}

/// The processors of the topology are the vCPUs.
void validate_topology(const Domain& domain) {
  if (!domain.cpu || !domain.cpu->topology) return;
  const Topology& topology = *domain.cpu->topology;
  std::uint64_t product = 1;
  for (const std::uint64_t part : {topology.sockets, topology.dies, topology.cores, topology.threads}) {
    product *= part;
    if (product > std::numeric_limits<unsigned>::max())
      unsupported("cpu topology results in more than 4294967295 cpus");
  }
  if (product != domain.vcpus)
    unsupported("CPU topology doesn't match maximum vcpu count: " + std::to_string(product) + ", not " +
                std::to_string(domain.vcpus));
}

/// What a StratoVirt has not.
void validate_stratovirt(const Domain& domain) {
  const struct {
    bool present;
    const char* what;
  } rows[] = {
      {domain.cpu && domain.cpu->topology, "element 'topology' in element 'cpu'"},
      {domain.features.vmcoreinfo.value_or(false), "element 'vmcoreinfo' in element 'features'"},
      {!domain.idle.inputs.empty(), "element 'input' in element 'devices'"},
      {std::ranges::any_of(domain.sysinfo, [](const Sysinfo& one) { return !one.oem_strings.empty(); }),
       "element 'oemStrings' in element 'sysinfo'"},
  };
  for (const auto& row : rows)
    if (row.present) unsupported(std::string(row.what) + " is not supported by a StratoVirt");
}

void validate_disk(const Disk& disk, const Domain& domain, const Limits& limits) {
  const std::string name = "disk '" + disk.target + "': ";
  if (disk.iothread && (*disk.iothread == 0 || *disk.iothread > domain.iothreads))
    unsupported("Disk iothread '" + std::to_string(*disk.iothread) + "' of disk '" + disk.target +
                "' not defined (allowed: 1 to " + std::to_string(domain.iothreads) + ", element 'iothreads')");
  if (disk.io == Disk::Io::native && disk.cache != Disk::Cache::none && disk.cache != Disk::Cache::directsync)
    unsupported(name + "io='native' needs either no disk cache or directsync cache mode");
  check_most(name + "queues", disk.queues.value_or(1), limits.queues, limits);
  IoTune others = disk.iotune;
  others.total_iops_sec = 0;
  if (domain.type == Type::kvm && !(others == IoTune{}))
    unsupported(name + "element 'iotune' of a StratoVirt has total_iops_sec only");
}

void validate_serial(const Serial& serial, Arch arch) {
  const bool x86 = arch == Arch::x86_64;
  const std::string target = x86 ? "isa-serial" : "system-serial", model = x86 ? "isa-serial" : "pl011";
  if (serial.target != target || serial.model != model)
    unsupported("element 'serial' of target '" + serial.target + "' and model '" + serial.model + "' (allowed for " +
                std::string(to_string(arch)) + ": target '" + target + "', model '" + model + "')");
}

/// libvirt's rules of firmware that keeps its variables from the guest.
void validate_secure_boot(const Domain& domain) {
  const bool q35 = domain.os.arch == Arch::x86_64;
  if (domain.features.smm.value_or(false) && !q35)
    unsupported("The 'smm' feature is not supported for architecture 'aarch64' or machine type '" + domain.os.machine +
                "'");
  if (!domain.os.loader || !domain.os.loader->secure.value_or(false)) return;
  if (!q35) unsupported("Secure boot is supported with q35 machine types only");
  // Of a firmware that is chosen it is switched on with the choice.
  if (!domain.os.firmware && !domain.features.smm.value_or(false))
    unsupported("Secure boot requires SMM feature enabled: <smm state='on'/>");
}

/// What must be there once in a domain: targets, aliases, places in the boot order, consoles.
void validate_uniqueness(const Domain& domain) {
  std::map<std::string, std::string> targets;
  for (const Disk& disk : domain.disks)
    if (const auto [first, added] = targets.emplace(disk.target, disk.source); !added)
      throw Error(ErrorCode::xml_error, "target '" + disk.target + "' duplicated for disk sources '" + first->second +
                                            "' and '" + disk.source + "'");
  std::set<std::string> aliases;
  std::set<unsigned> orders;
  for_each_device(domain, [&]<class T>(const T& device) {
    if constexpr (std::is_same_v<T, Console>)
      if (device.target == Console::Target::serial) return;  // it shares its serial port's
    if (!device.info.alias.empty() && !aliases.insert(device.info.alias).second)
      unsupported("non unique alias detected: " + device.info.alias);
    if (device.info.boot_order && !orders.insert(*device.info.boot_order).second)
      unsupported("boot order '" + std::to_string(*device.info.boot_order) + "' used for more than one device");
  });
  if (!orders.empty() && !domain.os.boot.empty())
    unsupported("per-device boot elements cannot be used together with os/boot elements");
  if (domain.serials.size() > 1) unsupported("more than one element 'serial': the machine has one port");
  if (std::ranges::count(domain.consoles, Console::Target::virtio, &Console::target) > 1)
    unsupported("more than one element 'console' of target 'virtio': the machine has one port");
  for (std::size_t i = 1; i < domain.consoles.size(); ++i)
    if (domain.consoles[i].target == Console::Target::serial)
      unsupported("Only the first console can be a serial port");
}

}  // namespace

void validate(const Domain& domain) {
  const Limits& limits = limits_of(domain);
  if (!domain.features.acpi) unsupported("element 'features' lacks 'acpi', which the machine needs");
  validate_resources(domain, limits);
  validate_topology(domain);
  if (domain.type == Type::kvm) validate_stratovirt(domain);
  if (domain.os.arch != Arch::x86_64 && !domain.idle.inputs.empty())
    unsupported("element 'input': ps2 is not there on " + std::string(to_string(domain.os.arch)));
  validate_secure_boot(domain);
  for (const Disk& disk : domain.disks) validate_disk(disk, domain, limits);
  for (const Interface& interface : domain.interfaces)
    check_most("interface '" + to_string(interface.mac) + "': queues", interface.queues.value_or(1), limits.queues,
               limits);
  for (const Serial& serial : domain.serials) validate_serial(serial, domain.os.arch);
  validate_uniqueness(domain);
}

}  // namespace domain
