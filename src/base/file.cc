#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

namespace base {
namespace {

constexpr std::string_view temporary_prefix = ".new-", temporary_rest = "XXXXXX";

/// No name that somebody chose for a file with an ending.
bool is_temporary(std::string_view name) {
  return name.starts_with(temporary_prefix) && name.size() == temporary_prefix.size() + temporary_rest.size() &&
         name.find('.', 1) == name.npos;
}

std::string quoted(const char* verb, const std::string& path) {
  return std::string(verb) + " '" + path + "'";
}

void sync(int fd, const std::string& path) {
  if (::fsync(fd) < 0) throw_errno(errno, quoted("cannot sync", path));
}

/// Opens what is of a kind that fits, once it has been looked at: to open some devices is to start them.
UniqueFd open_seen(const std::string& path, int flags, bool (*fits)(mode_t), const char* otherwise) {
  const UniqueFd seen = open_file(path, O_PATH | (flags & O_NOFOLLOW));
  struct stat status{};
  if (::fstat(seen.get(), &status) < 0) throw_errno(errno, quoted("cannot look at", path));
  if (S_ISLNK(status.st_mode)) throw_errno(ELOOP, quoted("cannot open", path));
  if (!fits(status.st_mode)) throw_errno(EINVAL, "'" + path + "' " + otherwise);
  const std::string same = "/proc/self/fd/" + std::to_string(seen.get());
  UniqueFd fd(TEMP_FAILURE_RETRY(::open(same.c_str(), (flags & ~O_NOFOLLOW) | O_CLOEXEC)));
  if (!fd) throw_errno(errno, quoted("cannot open", path));
  return fd;
}

/// rename(2) that replaces nothing, by other means where a file system (NFS, FUSE) does not know it.
int rename_new(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL) return -1;
  if (::link(from.c_str(), to.c_str()) < 0) return -1;
  ::unlink(from.c_str());
  return 0;
}

}  // namespace

void throw_errno(int errno_value, const std::string& what) {
  throw std::system_error(errno_value, std::generic_category(), what);
}

UniqueFd open_file(const std::string& path, int flags, mode_t mode) {
  UniqueFd fd(TEMP_FAILURE_RETRY(::open(path.c_str(), flags | O_CLOEXEC, mode)));
  if (!fd) throw_errno(errno, quoted("cannot open", path));
  return fd;
}

UniqueFd open_regular(const std::string& path, int flags, mode_t mode) {
  if (flags & O_CREAT) {
    UniqueFd made(TEMP_FAILURE_RETRY(::open(path.c_str(), flags | O_EXCL | O_CLOEXEC, mode)));
    if (made) return made;
    if (errno != EEXIST || (flags & O_EXCL)) throw_errno(errno, quoted("cannot open", path));
  }
  return open_seen(path, flags & ~O_CREAT, [](mode_t kind) { return S_ISREG(kind); }, "is not a regular file");
}

UniqueFd open_disk(const std::string& path, int flags) {
  const auto is_disk = [](mode_t kind) { return S_ISREG(kind) || S_ISBLK(kind); };
  return open_seen(path, flags, is_disk, "is neither a file nor a block device");
}

std::string read_all(int fd, std::size_t limit, const std::string& name) {
  constexpr std::size_t chunk = 16384;
  std::string bytes;
  while (true) {
    const std::size_t before = bytes.size();
    const std::size_t room = std::min(std::max(chunk, before), limit - before);
    // One byte beyond the limit tells a file that is too long from one that ends there.
    bytes.resize(before + room + 1);
    const ssize_t n = TEMP_FAILURE_RETRY(::read(fd, bytes.data() + before, room + 1));
    if (n < 0) throw_errno(errno, quoted("cannot read", name));
    bytes.resize(before + static_cast<std::size_t>(n));
    if (n == 0) return bytes;
    if (bytes.size() > limit) throw_errno(EFBIG, quoted("cannot read", name));
  }
}

std::string read_file(const std::string& path, std::size_t limit) {
  return read_all(open_file(path, O_RDONLY).get(), limit, path);
}

std::optional<std::string> read_file_if_exists(const std::string& path, std::size_t limit) try {
  return read_file(path, limit);
} catch (const std::system_error& error) {
  if (error.code() == std::errc::no_such_file_or_directory) return std::nullopt;
  throw;
}

void write_all(int fd, std::string_view bytes, const std::string& name) {
  while (!bytes.empty()) {
    const ssize_t n = TEMP_FAILURE_RETRY(::write(fd, bytes.data(), bytes.size()));
    if (n < 0) throw_errno(errno, quoted("cannot write", name));
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

TemporaryFile::TemporaryFile(const std::string& folder, mode_t mode)
    : path_((folder + "/").append(temporary_prefix).append(temporary_rest)) {
  fd_.reset(::mkostemp(path_.data(), O_CLOEXEC));
  if (!fd_) throw_errno(errno, quoted("cannot create a file in", folder));
  if (::fchmod(fd_.get(), mode) < 0) {
    const int why = errno;
    ::unlink(path_.c_str());
    throw_errno(why, quoted("cannot set the mode of", path_));
  }
}

TemporaryFile::TemporaryFile(TemporaryFile&& other) noexcept
    : path_(std::exchange(other.path_, {})), fd_(std::move(other.fd_)) {}

TemporaryFile::~TemporaryFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

void TemporaryFile::commit(const std::string& target, bool replace) {
  struct stat there{};
  if (replace && ::lstat(target.c_str(), &there) == 0 && !S_ISREG(there.st_mode)) {
    throw_errno(EINVAL, "cannot replace '" + target + "', which is not a regular file");
  }
  sync(fd_.get(), path_);
  if ((replace ? ::rename(path_.c_str(), target.c_str()) : rename_new(path_, target)) < 0)
    throw_errno(errno, quoted("cannot write", target));
  path_.clear();
  sync_folder(folder_of(target));
}

// By readdir, since std::filesystem would be a third of the monitor's program.
void remove_temporaries(const std::string& folder) {
  const std::unique_ptr<DIR, decltype([](DIR* dir) { ::closedir(dir); })> opened(::opendir(folder.c_str()));
  if (!opened) throw_errno(errno, quoted("cannot open", folder));
  std::vector<std::string> found;  // a folder is not changed while it is read
  while (const dirent* const entry = ::readdir(opened.get())) {
    if (is_temporary(entry->d_name)) found.push_back(folder + "/" + entry->d_name);
  }
  for (const std::string& path : found) {
    if (::unlink(path.c_str()) < 0 && errno != ENOENT) throw_errno(errno, quoted("cannot remove", path));
  }
}

void replace_file(const std::string& path, std::string_view bytes, mode_t mode) {
  TemporaryFile file(folder_of(path), mode);
  write_all(file.fd(), bytes, file.path());
  file.commit(path);
}

bool remove_file(const std::string& path) {
  if (::unlink(path.c_str()) < 0) {
    if (errno == ENOENT) return false;
    throw_errno(errno, quoted("cannot remove", path));
  }
  sync_folder(folder_of(path));
  return true;
}

void sync_folder(const std::string& folder) {
  sync(open_file(folder, O_RDONLY | O_DIRECTORY).get(), folder);
}

void make_folders(const std::string& path, mode_t mode) {
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) {
    if (!S_ISDIR(status.st_mode)) throw_errno(ENOTDIR, quoted("cannot make the folder", path));
    return;
  }
  if (errno != ENOENT) throw_errno(errno, quoted("cannot make the folder", path));
  if (const std::string above = folder_of(path); above != path) make_folders(above, mode);
  if (::mkdir(path.c_str(), mode) < 0) {
    const int why = errno;
    const bool there = ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
    if (why == EEXIST && there) return;  // another was faster
    throw_errno(why, quoted("cannot make the folder", path));
  }
  if (::chmod(path.c_str(), mode) < 0) throw_errno(errno, quoted("cannot set the mode of", path));
}

std::string folder_of(const std::string& path) {
  std::size_t end = path.find_last_not_of('/');  // "/a/b/" is "/a/b"
  if (end == std::string::npos) return path.empty() ? "." : "/";
  end = path.rfind('/', end);
  if (end == std::string::npos) return ".";
  end = path.find_last_not_of('/', end);
  return end == std::string::npos ? "/" : path.substr(0, end + 1);
}

}  // namespace base
