#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "driver/core/uuid.h"
#include "driver/domain/devices/address.h"
#include "driver/domain/devices/character.h"
#include "driver/domain/devices/controller.h"
#include "driver/domain/devices/disk.h"
#include "driver/domain/devices/hostdev.h"
#include "driver/domain/devices/interface.h"
#include "driver/domain/devices/memballoon.h"
#include "driver/domain/devices/rng.h"
#include "driver/domain/devices/vsock.h"
#include "driver/domain/idle.h"
#include "driver/domain/sysinfo.h"

/// What a domain is: plain values. No I/O, no processes. The source of every element is libvirt's formatdomain page.
namespace domain {

enum class Type { kvm, qemu };
enum class Arch { x86_64, aarch64 };

/// What a guest's power off, reboot or crash leads to ("Events configuration").
enum class LifecycleAction {
  destroy,
  restart,
  preserve,
  rename_restart,
  coredump_destroy,
  coredump_restart,
};

/// memoryBacking ("Memory Backing").
struct MemoryBacking {
  bool hugepages = false;                      ///< <hugepages/> written, with or without a page
  std::optional<std::uint64_t> hugepage_size;  ///< KiB; absent: the host's default size
  bool shared = false;                         ///< access@mode shared
  bool access_private = false;                 ///< access@mode private written
  bool immediate = false;                      ///< allocation@mode immediate
  bool ondemand = false;                       ///< allocation@mode ondemand written
  bool locked = false;
  bool nosharepages = false;
  std::string source;  ///< source@type: "file", "anonymous", "memfd" or empty
  bool discard = false;
  friend bool operator==(const MemoryBacking&, const MemoryBacking&) = default;
};

/// os/loader and os/nvram ("Operating system booting").
struct Loader {
  std::string path;  ///< empty: the firmware is chosen, and only `secure` can be asked for
  std::optional<bool> readonly;
  std::optional<bool> secure;
  bool pflash = true;  ///< @type='pflash'; the only kind that is allowed
  friend bool operator==(const Loader&, const Loader&) = default;
};
struct Nvram {
  std::string path;           ///< empty: chosen when defined, with the firmware (nvram folder, NAME_VARS.fd)
  std::string template_path;  ///< empty: known for the loader, or none
  friend bool operator==(const Nvram&, const Nvram&) = default;
};

/// os@firmware and os/firmware: what a firmware is chosen by when the machine starts.
struct AutoFirmware {
  std::string kind;  ///< "efi", "bios"
  std::optional<bool> secure_boot, enrolled_keys;
  friend bool operator==(const AutoFirmware&, const AutoFirmware&) = default;
};

struct Os {
  Arch arch = Arch::x86_64;
  std::string machine;  ///< as written, lower case: "q35", "pc-q35-7.2", "virt", "virt-7.2"
  std::string kernel, initrd, cmdline;
  std::optional<AutoFirmware> firmware;
  std::optional<Loader> loader;
  std::optional<Nvram> nvram;
  std::vector<std::string> boot;  ///< os/boot@dev, in order: "hd", "network"
  std::string smbios;             ///< os/smbios@mode: "sysinfo", "emulate"; empty when absent
  friend bool operator==(const Os&, const Os&) = default;
};

struct Features {
  bool acpi = false;
  bool apic = false;
  bool pae = false;
  std::optional<unsigned> gic_version;
  std::optional<bool> vmport;  ///< kept; virt-install writes it
  std::optional<bool> pmu;
  std::optional<bool> smm;
  std::optional<bool> vmcoreinfo;
  friend bool operator==(const Features&, const Features&) = default;
};

/// cpu ("CPU model and topology").
struct Topology {
  unsigned sockets = 1, dies = 1, cores = 1, threads = 1;
  friend bool operator==(const Topology&, const Topology&) = default;
};
struct Cpu {
  enum class Mode { host_passthrough, host_model, maximum, custom };
  Mode mode = Mode::host_passthrough;
  std::string model;                               ///< of mode custom; empty where only the topology is written
  std::string check, match, migratable, fallback;  ///< as written, kept; empty when absent
  std::optional<Topology> topology;                ///< its product is the number of vCPUs
  friend bool operator==(const Cpu&, const Cpu&) = default;
};

/// clock and its timers ("Time keeping").
struct Timer {
  std::string name;
  std::optional<bool> present;
  std::string tickpolicy, track;
  friend bool operator==(const Timer&, const Timer&) = default;
};
struct Clock {
  std::string offset = "utc";  ///< "utc", "localtime"
  std::vector<Timer> timers;
  friend bool operator==(const Clock&, const Clock&) = default;
};

/// cputune ("CPU Tuning"): pinning, as libvirt's bitmap text kept as a list of processors.
struct CpuTune {
  std::map<unsigned, std::vector<unsigned>> vcpupin;  ///< vCPU -> processors of the host
  std::vector<unsigned> emulatorpin;
  std::map<unsigned, std::vector<unsigned>> iothreadpin;  ///< iothread -> processors of the host
  std::optional<std::uint64_t> shares;
  friend bool operator==(const CpuTune&, const CpuTune&) = default;
};

using Device = std::variant<Disk, Interface, Controller, Console, Serial, Memballoon, Rng, Vsock, Hostdev>;

struct Domain {
  Type type = Type::kvm;
  core::Uuid uuid{};
  std::string name;
  std::string title, description;
  std::optional<std::string> genid;
  std::string metadata;  ///< the children of <metadata> as XML text, each with its namespaces; empty for none

  std::uint64_t memory_kib = 0;
  std::uint64_t current_memory_kib = 0;
  MemoryBacking memory_backing;
  unsigned vcpus = 1;  ///< the maximum
  unsigned current_vcpus = 1;
  std::vector<unsigned> cpuset;  ///< vcpu@cpuset; empty for none
  std::optional<std::string> vcpu_placement;
  unsigned iothreads = 0;
  CpuTune cputune;
  std::string resource_partition;  ///< <resource><partition>; empty for none
  std::vector<Sysinfo> sysinfo;

  Os os;
  Features features;
  std::optional<Cpu> cpu;
  Clock clock;
  LifecycleAction on_poweroff = LifecycleAction::destroy;
  LifecycleAction on_reboot = LifecycleAction::restart;
  LifecycleAction on_crash = LifecycleAction::destroy;
  std::optional<bool> suspend_to_mem, suspend_to_disk;  ///< pm
  std::vector<std::string> seclabels;                   ///< of each <seclabel type='none'> the model, empty for none

  std::string emulator;
  std::vector<Controller> controllers;
  std::vector<Disk> disks;
  std::vector<Interface> interfaces;
  std::vector<Serial> serials;
  std::vector<Console> consoles;
  std::optional<Memballoon> memballoon;
  std::vector<Rng> rngs;
  std::optional<Vsock> vsock;
  std::vector<Hostdev> hostdevs;
  Idle idle;

  friend bool operator==(const Domain&, const Domain&) = default;
};

/// Reads a description, checks every value by itself, fills libvirt's defaults (uuid, currentMemory, MACs, target
/// chassis and port) and adds and addresses what is missing (root ports, the virtio-serial controller, PCI addresses).
/// Aliases that are not kept are dropped. Bounded in size and depth; no external entities.
/// Throws Error: XML_DETAIL (not well-formed), XML_ERROR (a value not allowed; naming element, value, what is allowed
/// and line), CONFIG_UNSUPPORTED (what libvirt knows and this driver cannot honour), and where libvirt has them
/// NO_NAME, NO_SOURCE, NO_TARGET, INVALID_ARG, OVERFLOW, INTERNAL_ERROR.
Domain parse(std::string_view xml);

/// Reads what a live state file holds: format() with `live`, aliases and run-time paths kept.
Domain parse_live(std::string_view xml);

/// Reads one device as attach-device hands it over. The device is checked by itself only.
Device parse_device(std::string_view xml);

/// Reads a device that another is looked up by, as detach-device hands it over: what the lookup asks and no more, so
/// that what is to go need not be described whole. `live`: of a running machine, whose aliases and paths count. Nothing
/// for what libvirt knows and no machine here has. Throws Error as parse_device does, and OPERATION_UNSUPPORTED for a
/// kind of device that there is none of.
std::optional<Device> parse_pattern(std::string_view xml, bool live);

/// Rules between elements and the limits of the domain's type (SPEC: 128 MiB to 512 GiB, 1-254 vCPUs, 8 iothreads, 16
/// queues for kvm). Throws Error: CONFIG_UNSUPPORTED, XML_ERROR.
void validate(const Domain& domain);

/// Whether devices without an address may get root ports of their own, or only those that are free: of a running
/// machine.
enum class Ports { add, as_they_are };

/// Gives every device and controller that lacks one an address, adding root ports where needed. Throws Error: XML_ERROR
/// on a clash or on a bus that is not there, INTERNAL_ERROR when no place is left, as libvirt.
void assign_addresses(Domain& domain, Ports ports = Ports::add);

/// Gives every device libvirt's alias ("virtio-disk0", "net0", "pci.1" …) where it has none of its own. Used at start.
void assign_aliases(Domain& domain);

struct FormatOptions {
  std::optional<int> id;  ///< the running domain's id
  bool live = false;      ///< with aliases and run-time paths
};

/// The description as dumpxml shows it; parses back to the same value.
std::string format(const Domain& domain, const FormatOptions& options = {});

/// One device as it stands in the description.
std::string format(const Device& device, bool live = false);

/// Every device's common part.
const DeviceInfo& info(const Device& device);
DeviceInfo& info(Device& device);

/// Calls `visit` with every device and controller, of a domain that is const or not, in the order that places are given
/// in.
template <class D, class Visit>
void for_each_device(D& domain, const Visit& visit) {
  for (auto& device : domain.controllers) visit(device);
  for (auto& device : domain.disks) visit(device);
  for (auto& device : domain.interfaces) visit(device);
  if (domain.memballoon) visit(*domain.memballoon);
  for (auto& device : domain.rngs) visit(device);
  if (domain.vsock) visit(*domain.vsock);
  for (auto& device : domain.hostdevs) visit(device);
  for (auto& device : domain.serials) visit(device);
  for (auto& device : domain.consoles) visit(device);
}

std::string_view to_string(Type type);
std::string_view to_string(Arch arch);
std::string_view to_string(LifecycleAction action);
std::string to_string(const Mac& mac);

}  // namespace domain
