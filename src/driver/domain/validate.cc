#include <set>

#include "driver/core/error.h"
#include "driver/domain/domain.h"

namespace domain {
namespace {

using core::Error;
using core::ErrorCode;

/// The limits of a StratoVirt (docs/xml.md); libvirt's own bind type='qemu'.
constexpr std::uint64_t kvm_least_kib = std::uint64_t{128} << 10, kvm_most_kib = std::uint64_t{512} << 20;
constexpr unsigned kvm_most_vcpus = 254, kvm_most_iothreads = 8, kvm_most_queues = 16;

[[noreturn]] void unsupported(const std::string& what) { throw Error(ErrorCode::config_unsupported, what); }

void validate_kvm(const Domain& domain) {
  if (domain.memory_kib < kvm_least_kib || domain.memory_kib > kvm_most_kib) {
    unsupported("memory of " + std::to_string(domain.memory_kib) + " KiB: a StratoVirt has 128 MiB to 512 GiB");
  }
  if (domain.vcpus > kvm_most_vcpus) unsupported("vcpu '" + std::to_string(domain.vcpus) + "': a StratoVirt has at most 254");
  if (domain.iothreads > kvm_most_iothreads) unsupported("iothreads '" + std::to_string(domain.iothreads) + "': a StratoVirt has at most 8");
  for (const auto& interface : domain.interfaces) {
    if (interface.queues.value_or(1) > kvm_most_queues) {
      unsupported("interface queues '" + std::to_string(*interface.queues) + "': a StratoVirt has at most 16");
    }
  }
  if (domain.consoles.size() > 1 && domain.consoles[0].target == domain.consoles[1].target) unsupported("a StratoVirt has one console");
  if (domain.serials.size() > 1) unsupported("a StratoVirt has one serial port");
}

}  // namespace

void validate(const Domain& domain) {
  if (!domain.memory_kib) throw Error(ErrorCode::xml_error, "missing element or attribute '/domain/memory'");
  if (!domain.features.acpi) unsupported("features/acpi is missing: a StratoVirt machine needs ACPI");
  std::set<std::string> targets, aliases;
  for (const auto& disk : domain.disks) {
    if (!targets.insert(disk.target).second) unsupported("target '" + disk.target + "' duplicated for disk sources");
    if (disk.iothread && (*disk.iothread < 1 || *disk.iothread > domain.iothreads)) {
      unsupported("Disk iothread '" + std::to_string(*disk.iothread) + "' not defined in iothreadid");
    }
  }
  if (domain.type == Type::kvm) validate_kvm(domain);
}

}  // namespace domain
