#include "driver/host/process_stats.h"

#include <dirent.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>

#include "driver/core/error.h"
#include "driver/host/proc.h"

namespace host {
namespace {

constexpr unsigned max_cpus = 4096;

std::string folder(const std::string& root, pid_t pid) {
  return root + "/proc/" + std::to_string(pid);
}

/// The fields of a stat file (proc(5)).
struct Stat {
  std::string name;
  std::vector<std::string> fields;  ///< from the third on: [0] is the state

  std::uint64_t operator[](std::size_t number) const {
    return number - 3 < fields.size() ? proc::number(fields[number - 3]).value_or(0) : 0;
  }
  char state() const { return fields[0][0]; }
};

std::optional<Stat> read_stat(const std::string& path) {
  const std::optional<std::string> text = proc::text(path);
  if (!text) return std::nullopt;
  // A name may hold blanks and brackets: it ends at the last one.
  const std::size_t open = text->find('('), close = text->rfind(')');
  if (open == text->npos || close == text->npos || close < open) return std::nullopt;
  Stat stat{text->substr(open + 1, close - open - 1), {}};
  for (const std::string_view word : proc::words(std::string_view(*text).substr(close + 1)))
    stat.fields.emplace_back(word);
  if (stat.fields.empty()) return std::nullopt;
  return stat;
}

struct FreeCpuSet {
  void operator()(cpu_set_t* set) const { CPU_FREE(set); }
};
using CpuSet = std::unique_ptr<cpu_set_t, FreeCpuSet>;
const std::size_t set_size = CPU_ALLOC_SIZE(max_cpus);

CpuSet make_set() {
  CpuSet set(CPU_ALLOC(max_cpus));
  if (!set) throw std::bad_alloc();
  CPU_ZERO_S(set_size, set.get());
  return set;
}

}  // namespace

std::optional<ProcessStatistics> process_statistics(pid_t pid, const std::string& root) {
  const std::optional<Stat> stat = read_stat(folder(root, pid) + "/stat");
  if (!stat) return std::nullopt;
  const std::uint64_t page_kib = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024;
  return ProcessStatistics{.user_ns = (*stat)[14] * proc::tick_ns(),
                           .system_ns = (*stat)[15] * proc::tick_ns(),
                           .resident_kib = (*stat)[24] * page_kib,
                           .virtual_kib = (*stat)[23] / 1024,
                           .start_ticks = (*stat)[22],
                           .state = stat->state()};
}

std::optional<ThreadStatistics> thread_statistics(pid_t pid, pid_t tid, const std::string& root) {
  const std::string path = folder(root, pid) + "/task/" + std::to_string(tid);
  const std::optional<Stat> stat = read_stat(path + "/stat");
  if (!stat) return std::nullopt;
  const std::string scheduler = proc::text(path + "/schedstat").value_or("");
  const std::vector<std::string_view> times = proc::words(scheduler);  // on a processor, waiting, slices
  const auto time = [&](std::size_t i) { return i < times.size() ? proc::number(times[i]).value_or(0) : 0; };
  return ThreadStatistics{.tid = tid,
                          .name = stat->name,
                          .state = stat->state(),
                          .user_ns = (*stat)[14] * proc::tick_ns(),
                          .system_ns = (*stat)[15] * proc::tick_ns(),
                          .run_ns = time(0),
                          .wait_ns = time(1),
                          .cpu = static_cast<unsigned>((*stat)[39])};
}

std::vector<pid_t> threads(pid_t pid, const std::string& root) {
  std::vector<pid_t> tids;
  std::error_code gone;
  for (auto entry = std::filesystem::directory_iterator(folder(root, pid) + "/task", gone);
       entry != std::filesystem::directory_iterator(); entry.increment(gone))
    if (const auto tid = proc::number(entry->path().filename().string())) tids.push_back(static_cast<pid_t>(*tid));
  std::sort(tids.begin(), tids.end());
  return tids;
}

std::optional<ProcessIo> process_io(pid_t pid, const std::string& root) {
  const std::optional<std::string> text = proc::text(folder(root, pid) + "/io");
  if (!text) return std::nullopt;
  const auto value = [&](std::string_view key) {
    return proc::number(proc::field(*text, key).value_or("")).value_or(0);
  };
  return ProcessIo{value("read_bytes"), value("write_bytes"), value("syscr"), value("syscw")};
}

std::vector<unsigned> affinity(pid_t tid) {
  const CpuSet set = make_set();
  if (::sched_getaffinity(tid, set_size, set.get()) < 0)
    throw core::Error::system(errno, "cannot get CPU affinity of process " + std::to_string(tid));
  std::vector<unsigned> cpus;
  for (unsigned cpu = 0; cpu < max_cpus; ++cpu)
    if (CPU_ISSET_S(cpu, set_size, set.get())) cpus.push_back(cpu);
  return cpus;
}

void set_affinity(pid_t tid, const std::vector<unsigned>& cpus) {
  if (cpus.empty()) throw core::Error(core::ErrorCode::invalid_arg, "no processor is named to pin to");
  const CpuSet set = make_set();
  for (const unsigned cpu : cpus) {
    if (cpu >= max_cpus)
      throw core::Error(core::ErrorCode::invalid_arg, "there is no processor " + std::to_string(cpu));
    CPU_SET_S(cpu, set_size, set.get());
  }
  if (::sched_setaffinity(tid, set_size, set.get()) < 0)
    throw core::Error::system(errno, "cannot set CPU affinity on process " + std::to_string(tid));
}

}  // namespace host
