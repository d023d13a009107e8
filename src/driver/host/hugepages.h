#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace host {

/// A mounted hugetlbfs.
struct HugetlbMount {
  std::string path;
  std::uint64_t page_kib;
};

/// From /proc/mounts under `root` (the real ones for "").
std::vector<HugetlbMount> hugetlb_mounts(const std::string& root = {});
/// Hugepagesize of /proc/meminfo, KiB; nothing where the kernel has no huge pages.
std::optional<std::uint64_t> default_hugepage_kib(const std::string& root = {});

/// A domain's own folder in a hugetlbfs, MOUNT/libvirt/stratovirt/NAME, mode 0700 and the emulator's; removed with what
/// is in it at the end of its life.
class HugepageFolder {
 public:
  /// `page_kib`: absent is the host's default. Throws Error: CONFIG_UNSUPPORTED naming the size and what is mounted;
  /// SYSTEM_ERROR, also as the std::system_error of base/file.h. A folder that a dead domain left under the name is
  /// replaced.
  static HugepageFolder make(std::optional<std::uint64_t> page_kib, const std::string& name, uid_t uid, gid_t gid,
                             const std::string& root = {});
  /// Takes over one made by an earlier daemon.
  static HugepageFolder adopt(std::string path) { return HugepageFolder(std::move(path)); }

  /// Removes those of this name that a daemon made and did not come to write down.
  static void remove_all(const std::string& name, const std::string& root = {});

  HugepageFolder(HugepageFolder&& other) noexcept : path_(other.release()) {}
  HugepageFolder& operator=(HugepageFolder&& other) noexcept;
  ~HugepageFolder() { remove(); }

  const std::string& path() const { return path_; }
  /// Lets it stay; gives its path.
  std::string release() { return std::exchange(path_, {}); }

 private:
  explicit HugepageFolder(std::string path) : path_(std::move(path)) {}
  void remove() noexcept;

  std::string path_;
};

}  // namespace host
