#include "driver/host/facts.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <set>

#include "base/unique_fd.h"
#include "driver/core/error.h"
#include "driver/host/proc.h"

namespace host {
namespace {

constexpr std::size_t max_list = 65536;

std::string cpu_folder(const std::string& root, unsigned cpu) {
  return root + "/sys/devices/system/cpu/cpu" + std::to_string(cpu);
}
std::string node_folder(const std::string& root, unsigned node) {
  return root + "/sys/devices/system/node/node" + std::to_string(node);
}

std::vector<unsigned> list_in(const std::string& path) {
  const std::optional<std::string> text = proc::text(path);
  return text ? parse_list(*text).value_or(std::vector<unsigned>{}) : std::vector<unsigned>{};
}

/// The cells' numbers; nothing in it where the kernel has no NUMA.
std::vector<unsigned> nodes(const std::string& root) {
  return list_in(root + "/sys/devices/system/node/online");
}

/// A number of a processor's topology; 0 where the kernel does not say, or says -1.
unsigned topology(const std::string& root, unsigned cpu, const char* name) {
  return static_cast<unsigned>(proc::number_in(cpu_folder(root, cpu) + "/topology/" + name).value_or(0));
}

/// "MemTotal: 123 kB" of /proc/meminfo, and of a cell's where the line begins with "Node 0".
std::optional<std::uint64_t> memory_field(std::string_view text, std::string_view key) {
  for (const std::string_view line : proc::lines(text)) {
    const std::vector<std::string_view> words = proc::words(line);
    for (std::size_t i = 0; i + 1 < words.size() && i < 3; ++i)
      if (words[i].ends_with(':') && words[i].substr(0, words[i].size() - 1) == key) return proc::number(words[i + 1]);
  }
  return std::nullopt;
}

std::uint64_t required_field(std::string_view text, std::string_view key) {
  if (const auto value = memory_field(text, key)) return *value;
  throw core::Error(core::ErrorCode::internal_error, "no " + std::string(key) + " in what the kernel tells of memory");
}

std::vector<Cell::Pages> pages(const std::string& folder, std::uint64_t memory_kib) {
  std::vector<Cell::Pages> pages;
  std::uint64_t huge_kib = 0;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(folder, missing)) {
    std::string name = entry.path().filename();  // hugepages-2048kB
    if (!name.starts_with("hugepages-") || !name.ends_with("kB")) continue;
    const auto size = proc::number(name.substr(10, name.size() - 12));
    const auto count = proc::number_in(entry.path().string() + "/nr_hugepages");
    if (!size || !count) continue;
    pages.push_back({*size, *count});
    huge_kib += *size * *count;
  }
  std::sort(pages.begin(), pages.end(), [](const auto& a, const auto& b) { return a.size_kib < b.size_kib; });
  const std::uint64_t ordinary = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024;
  pages.insert(pages.begin(), {ordinary, (memory_kib - std::min(huge_kib, memory_kib)) / ordinary});
  return pages;
}

std::vector<Cell::Cpu> cell_cpus(const std::string& root, const std::vector<unsigned>& ids) {
  std::vector<Cell::Cpu> cpus;
  cpus.reserve(ids.size());
  for (const unsigned id : ids)
    cpus.push_back({id, topology(root, id, "physical_package_id"), topology(root, id, "die_id"),
                    topology(root, id, "core_id"),
                    proc::text(cpu_folder(root, id) + "/topology/thread_siblings_list").value_or(std::to_string(id))});
  return cpus;
}

/// A device file that opens.
Availability device(const std::string& path) {
  const base::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (fd) return {true, {}};
  return {false, path + ": " + std::strerror(errno)};
}

}  // namespace

std::optional<std::vector<unsigned>> parse_list(std::string_view text) {
  std::vector<unsigned> numbers;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    unsigned first = 0, last = 0;
    auto result = std::from_chars(at, end, first);
    if (result.ec != std::errc{}) return std::nullopt;
    last = first;
    if (result.ptr != end && *result.ptr == '-') result = std::from_chars(result.ptr + 1, end, last);
    if (result.ec != std::errc{} || last < first || last - first >= max_list - numbers.size()) return std::nullopt;
    for (unsigned number = first;; ++number) {
      numbers.push_back(number);
      if (number == last) break;
    }
    at = result.ptr;
    if (at == end) break;
    if (*at++ != ',' || at == end) return std::nullopt;
  }
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  return numbers;
}

CpuMap cpu_map(const std::string& root) {
  const std::string folder = root + "/sys/devices/system/cpu/";
  const std::vector<unsigned> present = list_in(folder + "present");
  CpuMap map{present.empty() ? 0 : present.back() + 1, list_in(folder + "online")};
  if (map.online.empty()) throw core::Error(core::ErrorCode::internal_error, "cannot read '" + folder + "online'");
  map.present = std::max(map.present, map.online.back() + 1);
  return map;
}

NodeInfo node_info(const std::string& root) {
  const CpuMap map = cpu_map(root);
  const std::string cpuinfo = proc::text(root + "/proc/cpuinfo").value_or("");
  utsname name{};
  ::uname(&name);

  NodeInfo info{};
  info.model = name.machine;
  info.memory_kib = memory_statistics(root).total;
  info.cpus = static_cast<unsigned>(map.online.size());
  const auto mhz = proc::field(cpuinfo, "cpu MHz");
  const std::string_view clock = mhz ? *mhz : proc::field(cpuinfo, "BogoMIPS").value_or("0");
  info.mhz = static_cast<unsigned>(proc::number(clock.substr(0, clock.find('.'))).value_or(0));

  // The most of each, as a host may be uneven.
  std::map<unsigned, std::set<unsigned>> sockets;  // cell -> sockets
  std::map<std::pair<unsigned, unsigned>, std::map<std::pair<unsigned, unsigned>, unsigned>>
      cores;  // -> core -> threads
  std::map<unsigned, unsigned> cell_of;
  for (const unsigned node : nodes(root))
    for (const unsigned cpu : list_in(node_folder(root, node) + "/cpulist")) cell_of[cpu] = node;
  for (const unsigned cpu : map.online) {
    const unsigned socket = topology(root, cpu, "physical_package_id");
    const unsigned cell = cell_of[cpu];
    sockets[cell].insert(socket);
    ++cores[{cell, socket}][{topology(root, cpu, "die_id"), topology(root, cpu, "core_id")}];
  }
  info.nodes = static_cast<unsigned>(sockets.size());
  for (const auto& [cell, ids] : sockets) info.sockets = std::max(info.sockets, static_cast<unsigned>(ids.size()));
  for (const auto& [socket, threads] : cores) {
    info.cores = std::max(info.cores, static_cast<unsigned>(threads.size()));
    for (const auto& [core, count] : threads) info.threads = std::max(info.threads, count);
  }
  if (info.nodes * info.sockets * info.cores * info.threads != info.cpus) {
    info.nodes = info.sockets = info.threads = 1;
    info.cores = info.cpus;
  }
  return info;
}

CpuTimes cpu_times(const std::string& root) {
  CpuTimes times{};
  const std::string text = proc::required(root + "/proc/stat");
  for (const std::string_view line : proc::lines(text)) {
    const std::vector<std::string_view> words = proc::words(line);
    if (!words[0].starts_with("cpu") || words.size() < 5) continue;
    const auto ns = [&](std::size_t i) {
      return i < words.size() ? proc::number(words[i]).value_or(0) * proc::tick_ns() : 0;
    };
    // user nice system idle iowait irq softirq
    const CpuTime time{
        .kernel = ns(3) + ns(6) + ns(7),
        .user = ns(1) + ns(2),
        .idle = ns(4),
        .iowait = ns(5),
    };
    if (words[0] == "cpu")
      times.total = time;
    else if (const auto cpu = proc::number(words[0].substr(3)))
      times.cpus[static_cast<unsigned>(*cpu)] = time;
  }
  return times;
}

MemoryStatistics memory_statistics(const std::string& root) {
  const std::string text = proc::required(root + "/proc/meminfo");
  return {required_field(text, "MemTotal"), required_field(text, "MemFree"), memory_field(text, "Buffers"),
          memory_field(text, "Cached")};
}

std::optional<MemoryStatistics> cell_memory_statistics(unsigned cell, const std::string& root) {
  const std::vector<unsigned> all = nodes(root);
  if (all.empty() && cell == 0) {
    const MemoryStatistics host = memory_statistics(root);
    return MemoryStatistics{host.total, host.free, {}, {}};
  }
  if (!std::binary_search(all.begin(), all.end(), cell)) return std::nullopt;
  const std::string text = proc::required(node_folder(root, cell) + "/meminfo");
  return MemoryStatistics{required_field(text, "MemTotal"), required_field(text, "MemFree"), {}, {}};
}

std::vector<Cell> cells(const std::string& root) {
  const std::vector<unsigned> all = nodes(root);
  if (all.empty()) {
    const MemoryStatistics memory = memory_statistics(root);
    return {{0,
             memory.total,
             memory.free,
             pages(root + "/sys/kernel/mm/hugepages", memory.total),
             {},
             cell_cpus(root, cpu_map(root).online)}};
  }
  std::vector<Cell> cells;
  for (const unsigned id : all) {
    const std::string folder = node_folder(root, id);
    const MemoryStatistics memory = *cell_memory_statistics(id, root);
    Cell cell{id,          memory.total,
              memory.free, pages(folder + "/hugepages", memory.total),
              {},          cell_cpus(root, list_in(folder + "/cpulist"))};
    const std::string distances = proc::text(folder + "/distance").value_or("");
    const std::vector<std::string_view> words = proc::words(distances);  // in the order of the cells
    for (std::size_t i = 0; i < std::min(words.size(), all.size()); ++i)
      if (const auto distance = proc::number(words[i])) cell.distances[all[i]] = static_cast<unsigned>(*distance);
    cells.push_back(std::move(cell));
  }
  return cells;
}

std::optional<std::uint64_t> free_pages(std::optional<unsigned> cell, std::uint64_t size_kib, const std::string& root) {
  if (size_kib == static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024) {
    const auto memory = cell ? cell_memory_statistics(*cell, root) : memory_statistics(root);
    return memory ? std::optional(memory->free / size_kib) : std::nullopt;
  }
  const bool of_cell = cell && !nodes(root).empty();
  const std::string folder = of_cell ? node_folder(root, *cell) + "/hugepages" : root + "/sys/kernel/mm/hugepages";
  return proc::number_in(folder + "/hugepages-" + std::to_string(size_kib) + "kB/free_hugepages");
}

std::string hostname() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) < 0)
    throw core::Error::system(errno, "failed to determine host name");
  return name.data();
}

Availability kvm(const std::string& root) {
  if (std::filesystem::exists(root + "/sys/module/kvm_pvm"))
    return {false, "the host's KVM is PVM, which runs only guests made for it"};
  const std::string path = root + "/dev/kvm";
  const base::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) return {false, path + ": " + std::strerror(errno)};
  const int version = ::ioctl(fd.get(), KVM_GET_API_VERSION, 0);
  if (version == KVM_API_VERSION) return {true, {}};
  return {false, path + (version < 0 ? " is no KVM: " + std::string(std::strerror(errno))
                                     : " speaks version " + std::to_string(version) + " of its interface, not 12")};
}

Availability vhost_net(const std::string& root) {
  return device(root + "/dev/vhost-net");
}
Availability vhost_vsock(const std::string& root) {
  return device(root + "/dev/vhost-vsock");
}

}  // namespace host
