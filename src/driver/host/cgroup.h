#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

namespace host {

/// A control group of a domain's own, below the daemon's: for accounting and for shares of processor time. On version 1
/// in the hierarchies cpu and cpuacct, on version 2 in the only one. Where the host allows none it is empty and every
/// call does nothing: no start fails for want of it. Removed at the end of its life; the processes must be gone by
/// then.
class Cgroup {
 public:
  static Cgroup make(const std::string& name, const std::string& root = {});
  /// Takes over folders made by an earlier daemon.
  static Cgroup adopt(std::vector<std::string> folders);

  /// What a daemon made under this name and did not come to write down.
  static Cgroup find(const std::string& name, const std::string& root = {});

  Cgroup() = default;
  Cgroup(Cgroup&& other) noexcept : folders_(other.release()) {}
  Cgroup& operator=(Cgroup&& other) noexcept;
  ~Cgroup() { remove(); }

  /// For the live state file; empty where there is none.
  const std::vector<std::string>& folders() const { return folders_; }
  /// Open files that a process joins by writing "0" into each (SpawnConfig::cgroup).
  std::vector<base::UniqueFd> join_fds() const;
  /// cputune/shares: cpu.shares, or cpu.weight with the same number, as libvirt. False where the host refuses.
  bool set_shares(std::uint64_t shares) const;
  /// Processor time of all that ever ran in it, ns.
  std::optional<std::uint64_t> usage_ns() const;
  /// Lets it stay; gives the folders.
  std::vector<std::string> release() { return std::exchange(folders_, {}); }

 private:
  explicit Cgroup(std::vector<std::string> folders) : folders_(std::move(folders)) {}
  void remove() noexcept;

  std::vector<std::string> folders_;
};

}  // namespace host
