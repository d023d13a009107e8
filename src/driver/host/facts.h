#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What the host is, as libvirt's node calls and capabilities tell it. Every function reads /proc and /sys below
/// `root`, the host's own for "". Throws Error: SYSTEM_ERROR when what every Linux has cannot be read.
namespace host {

/// virNodeInfo.
struct NodeInfo {
  std::string model;  ///< the machine: "x86_64"
  std::uint64_t memory_kib;
  unsigned cpus;     ///< online
  unsigned mhz;      ///< 0 where the kernel does not say
  unsigned nodes;    ///< NUMA cells
  unsigned sockets;  ///< a cell
  unsigned cores;    ///< a socket
  unsigned threads;  ///< a core; where the product of the four is not `cpus`, 1 cell, 1 socket, cpus cores, as libvirt
};
NodeInfo node_info(const std::string& root = {});

/// Processors by number (nodecpumap).
struct CpuMap {
  unsigned present;  ///< how many numbers there are
  std::vector<unsigned> online;
};
CpuMap cpu_map(const std::string& root = {});

/// Time since boot, in nanoseconds (nodecpustats).
struct CpuTime {
  std::uint64_t kernel, user, idle, iowait;
};
struct CpuTimes {
  CpuTime total;
  std::map<unsigned, CpuTime> cpus;  ///< those online
};
CpuTimes cpu_times(const std::string& root = {});

/// In KiB (nodememstats).
struct MemoryStatistics {
  std::uint64_t total, free;
  std::optional<std::uint64_t> buffers, cached;  ///< of the host, not of a cell
};
MemoryStatistics memory_statistics(const std::string& root = {});
/// Nothing when there is no such cell.
std::optional<MemoryStatistics> cell_memory_statistics(unsigned cell, const std::string& root = {});

/// A NUMA cell as capabilities show it. A kernel without NUMA has cell 0 with everything.
struct Cell {
  struct Pages {
    std::uint64_t size_kib, count;
  };
  struct Cpu {
    unsigned id, socket, die, core;
    std::string siblings;  ///< "0-1"
  };
  unsigned id;
  std::uint64_t memory_kib, free_kib;
  std::vector<Pages> pages;                ///< the ordinary page first
  std::map<unsigned, unsigned> distances;  ///< cell -> distance; empty where the kernel does not say
  std::vector<Cpu> cpus;
};
std::vector<Cell> cells(const std::string& root = {});

/// Pages of this size that nobody uses; of the whole host where no cell is named. Nothing where there is no such size.
std::optional<std::uint64_t> free_pages(std::optional<unsigned> cell, std::uint64_t size_kib,
                                        const std::string& root = {});

/// The processor (capabilities' host/cpu).
struct CpuModel {
  std::string arch;                              ///< "x86_64", "aarch64"
  std::string name;                              ///< what it calls itself: "AMD EPYC 9B45"
  std::string vendor;                            ///< libvirt's word: "AMD", "Intel", "ARM" …; empty where unknown
  unsigned family = 0, model = 0, stepping = 0;  ///< x86 only
  std::optional<std::uint64_t> microcode;
  std::vector<std::string> features;  ///< the kernel's flags under libvirt's names, sorted
};
CpuModel cpu_model(const std::string& root = {});

std::string hostname();

/// The UUID of the SMBIOS; else the machine-id; nothing when there is neither.
std::optional<std::string> host_uuid(const std::string& root = {});

/// libvirt's sysinfo document (virConnectGetSysinfo). Throws Error: CONFIG_UNSUPPORTED where the host has no SMBIOS.
std::string sysinfo_xml(const std::string& root = {});

/// Whether something is usable, and why not.
struct Availability {
  bool available = false;
  std::string reason;  ///< empty when available
};
/// /dev/kvm that opens, speaks API 12 and is not PVM's (/sys/module/kvm_pvm).
Availability kvm(const std::string& root = {});
Availability vhost_net(const std::string& root = {});
Availability vhost_vsock(const std::string& root = {});

/// Reads the kernel's lists of numbers, "0-3,8"; nothing for anything else or more than 65536 numbers.
std::optional<std::vector<unsigned>> parse_list(std::string_view text);

}  // namespace host
