#include "driver/host/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "driver/host/proc.h"

namespace host {
namespace {

/// The daemon's own folders: where its group is in each hierarchy that counts.
std::vector<std::string> own_folders(const std::string& root) {
  const auto groups = proc::text(root + "/proc/self/cgroup");  // 4:cpu,cpuacct:/a
  const auto mounts = proc::text(root + "/proc/self/mounts");
  if (!groups || !mounts) return {};
  std::map<std::string, std::string> mounted;  // controller, or "" for version 2 -> folder
  for (const std::string_view line : proc::lines(*mounts)) {
    const std::vector<std::string_view> words = proc::words(line);
    if (words.size() < 4) continue;
    const std::string options = "," + std::string(words[3]) + ",";
    if (words[2] == "cgroup2") mounted.emplace("", words[1]);
    for (const char* controller : {"cpu", "cpuacct"})
      if (words[2] == "cgroup" && options.find("," + std::string(controller) + ",") != options.npos)
        mounted.emplace(controller, words[1]);
  }
  std::vector<std::string> version1, version2;
  for (const std::string_view line : proc::lines(*groups)) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string controllers = "," + std::string(line.substr(first + 1, second - first - 1)) + ",";
    const std::string group = line.substr(second + 1) == "/" ? "" : std::string(line.substr(second + 1));
    for (const auto& [controller, folder] : mounted) {
      if (controllers.find("," + controller + ",") == controllers.npos) continue;
      auto& found = controller.empty() ? version2 : version1;
      if (std::find(found.begin(), found.end(), root + folder + group) == found.end())
        found.push_back(root + folder + group);
    }
  }
  return version1.empty() ? version2 : version1;
}

bool write_file(const std::string& path, const std::string& text) {
  const base::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

}  // namespace

Cgroup Cgroup::make(const std::string& name, const std::string& root) {
  Cgroup cgroup;
  for (const std::string& above : own_folders(root)) {
    const std::string folder = above + "/" + name;
    ::rmdir(folder.c_str());  // of a dead domain, empty
    if (::mkdir(folder.c_str(), 0755) == 0) cgroup.folders_.push_back(folder);
  }
  return cgroup;
}

Cgroup Cgroup::find(const std::string& name, const std::string& root) {
  std::vector<std::string> folders = own_folders(root);
  for (std::string& folder : folders) folder += "/" + name;
  return adopt(std::move(folders));
}

Cgroup Cgroup::adopt(std::vector<std::string> folders) {
  return Cgroup(std::move(folders));
}

Cgroup& Cgroup::operator=(Cgroup&& other) noexcept {
  if (this != &other) {
    remove();
    folders_ = other.release();
  }
  return *this;
}

std::vector<base::UniqueFd> Cgroup::join_fds() const {
  std::vector<base::UniqueFd> fds;
  for (const std::string& folder : folders_) {
    base::UniqueFd fd(::open((folder + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    if (fd) fds.push_back(std::move(fd));
  }
  return fds;
}

bool Cgroup::set_shares(std::uint64_t shares) const {
  return std::any_of(folders_.begin(), folders_.end(), [&](const std::string& folder) {
    return write_file(folder + "/cpu.shares", std::to_string(shares)) ||
           write_file(folder + "/cpu.weight", std::to_string(shares));
  });
}

std::optional<std::uint64_t> Cgroup::usage_ns() const {
  for (const std::string& folder : folders_) {
    if (const auto usage = proc::number_in(folder + "/cpuacct.usage")) return usage;
    const std::string stat = proc::text(folder + "/cpu.stat").value_or("");
    for (const std::string_view line : proc::lines(stat)) {
      const std::vector<std::string_view> words = proc::words(line);
      if (words.size() != 2 || words[0] != "usage_usec") continue;
      if (const auto usage = proc::number(words[1])) return *usage * 1000;
    }
  }
  return std::nullopt;
}

void Cgroup::remove() noexcept {
  for (const std::string& folder : folders_) ::rmdir(folder.c_str());
  folders_.clear();
}

}  // namespace host
