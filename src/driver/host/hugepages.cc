#include "driver/host/hugepages.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <sstream>

#include "base/file.h"
#include "driver/core/error.h"

namespace host {
namespace {

using core::Error;
using core::ErrorCode;

constexpr std::size_t max_proc_file = 1 << 20;
constexpr char below_mount[] = "/libvirt/stratovirt/";

/// "pagesize=2M" or "pagesize=1024M" among a mount's options; KiB.
std::optional<std::uint64_t> page_size(const std::string& options) {
  const std::string key = "pagesize=";
  const std::size_t at = ("," + options).find("," + key);
  if (at == std::string::npos) return std::nullopt;
  const char* begin = options.data() + at + key.size();
  std::uint64_t size = 0;
  const auto [end, error] = std::from_chars(begin, options.data() + options.size(), size);
  if (error != std::errc{}) return std::nullopt;
  switch (end == options.data() + options.size() ? '\0' : *end) {
    case 'K': return size;
    case 'M': return size << 10;
    case 'G': return size << 20;
    default: return size >> 10;
  }
}

/// /proc/mounts writes blanks and backslashes as \040 and such.
std::string unescape(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned code = 0;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 4, code, 8).ptr == text.data() + i + 4) {
      plain += static_cast<char>(code);
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

/// "2048 KiB at /dev/hugepages"
std::string describe(const std::vector<HugetlbMount>& mounts) {
  if (mounts.empty()) return "no hugetlbfs is mounted on this host";
  std::string text = "mounted are ";
  for (const HugetlbMount& mount : mounts) {
    if (&mount != &mounts.front()) text += ", ";
    text += std::to_string(mount.page_kib) + " KiB at " + mount.path;
  }
  return text;
}

}  // namespace

std::vector<HugetlbMount> hugetlb_mounts(const std::string& root) {
  std::vector<HugetlbMount> mounts;
  std::istringstream lines(base::read_file(root + "/proc/mounts", max_proc_file));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string device, path, type, options;
    if (!(fields >> device >> path >> type >> options) || type != "hugetlbfs") continue;
    if (const auto size = page_size(options)) mounts.push_back({unescape(path), *size});
  }
  return mounts;
}

std::optional<std::uint64_t> default_hugepage_kib(const std::string& root) {
  std::istringstream lines(base::read_file(root + "/proc/meminfo", max_proc_file));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string key;
    std::uint64_t size = 0;
    if (fields >> key >> size && key == "Hugepagesize:") return size;
  }
  return std::nullopt;
}

HugepageFolder HugepageFolder::make(std::optional<std::uint64_t> page_kib, const std::string& name, uid_t uid,
                                    gid_t gid, const std::string& root) {
  if (!page_kib) page_kib = default_hugepage_kib(root);
  const std::vector<HugetlbMount> mounts = hugetlb_mounts(root);
  if (!page_kib)
    throw Error(ErrorCode::config_unsupported, "the kernel of this host has no huge pages; " + describe(mounts));
  for (const HugetlbMount& mount : mounts) {
    if (mount.page_kib != *page_kib) continue;
    const std::string above = mount.path + below_mount;
    base::make_folders(above, 0755);
    HugepageFolder folder(above + name);
    folder.remove();
    if (::mkdir(folder.path_.c_str(), 0700) < 0 || ::chown(folder.path_.c_str(), uid, gid) < 0)
      throw Error::system(errno, "unable to create hugepage path " + folder.path_);
    return folder;
  }
  throw Error(ErrorCode::config_unsupported, "Unable to find any usable hugetlbfs mount for " +
                                                 std::to_string(*page_kib) + " KiB: " + describe(mounts));
}

void HugepageFolder::remove_all(const std::string& name, const std::string& root) {
  for (const HugetlbMount& mount : hugetlb_mounts(root)) HugepageFolder(mount.path + below_mount + name).remove();
}

HugepageFolder& HugepageFolder::operator=(HugepageFolder&& other) noexcept {
  if (this != &other) {
    remove();
    path_ = other.release();
  }
  return *this;
}

void HugepageFolder::remove() noexcept {
  std::error_code ignored;  // what cannot be removed now is replaced when the name is used again
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace host
