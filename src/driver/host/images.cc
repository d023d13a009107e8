#include "driver/host/images.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <initializer_list>
#include <map>

#include "base/mutex.h"
#include "driver/core/error.h"
#include "driver/host/acl.h"

namespace host {
namespace {

using core::Error;
using core::ErrorCode;

struct Kind {
  FileKind kind;
  mode_t type;
  const char* name;
};
constexpr std::array kinds{Kind{FileKind::regular, S_IFREG, "a regular file"},
                           Kind{FileKind::block, S_IFBLK, "a block device"},
                           Kind{FileKind::character, S_IFCHR, "a character device"}};

struct stat status_of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) < 0) throw Error::system(errno, "Cannot access storage file '" + path + "'");
  return status;
}

std::string numbers(uid_t uid, gid_t gid) {
  return std::to_string(uid) + ":" + std::to_string(gid);
}

// The bytes QEMU locks: one a permission that a user has, and one a permission that it does not let others have.
enum Permission : off_t { consistent_read = 0, write = 1, resize = 3 };
constexpr off_t has = 100;
constexpr off_t denies = 200;

struct flock byte(short type, off_t at) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = at;
  lock.l_len = 1;
  return lock;
}

struct LockPlan {
  ImageUse use;
  std::initializer_list<off_t> take;    ///< read locks, which many may have
  std::initializer_list<off_t> absent;  ///< that nobody else may have
};

// `resize` marks every writer of ours in place of `write`, whose byte a StratoVirt locks exclusively itself.
constexpr LockPlan lock_plans[] = {
    {ImageUse::read_only, {has + consistent_read}, {denies + consistent_read}},
    {ImageUse::shared,
     {has + consistent_read, has + resize},
     {denies + consistent_read, denies + write, denies + resize}},
    {ImageUse::exclusive,
     {has + consistent_read, has + resize, denies + write, denies + resize},
     {denies + consistent_read, denies + write, denies + resize, has + write, has + resize}},
};

}  // namespace

void require_file(const std::string& path, FileKind kind) {
  const struct stat status = status_of(path);
  for (const Kind& candidate : kinds)
    if (candidate.kind == kind && (status.st_mode & S_IFMT) != candidate.type)
      throw Error(ErrorCode::config_unsupported, "'" + path + "' is not " + candidate.name);
}

namespace {

/// What all objects of this process have, and how many of them: a file that two machines use goes back when the last of
/// them ends. Held while owners are looked at and changed for it, so that nobody sees one that is on its way back.
base::Mutex given_mutex;
std::map<std::pair<std::string, bool>, std::pair<FileOwner, unsigned>> given GUARDED_BY(given_mutex);

std::pair<std::string, bool> key(const FileOwner& file) {
  return {file.path, file.mode.has_value()};
}
void count(const FileOwner& file) REQUIRES(given_mutex) {
  ++given.try_emplace(key(file), file, 0u).first->second.second;
}
/// True where it was the last.
bool uncount(const FileOwner& file) REQUIRES(given_mutex) {
  const auto found = given.find(key(file));
  if (found == given.end()) return true;
  if (--found->second.second > 0) return false;
  given.erase(found);
  return true;
}
std::optional<FileOwner> find_given(const std::string& path, bool reading) REQUIRES(given_mutex) {
  const auto found = given.find({path, reading});
  return found == given.end() ? std::nullopt : std::optional(found->second.first);
}

}  // namespace

Ownership Ownership::record(const std::vector<std::string>& paths, uid_t uid, gid_t gid) {
  Ownership ownership(uid, gid);
  const base::Lock lock(given_mutex);
  for (const std::string& path : paths) {
    const struct stat status = status_of(path);
    auto file = find_given(path, false);
    if (!file && (status.st_uid != uid || status.st_gid != gid)) file = {path, status.st_uid, status.st_gid};
    if (!file) continue;
    count(*file);
    ownership.before_.push_back(*std::move(file));
  }
  return ownership;
}

void Ownership::record_readable(const std::vector<std::string>& paths) {
  if (uid_ == 0) return;
  const base::Lock lock(given_mutex);
  for (const std::string& path : paths) {
    const struct stat status = status_of(path);
    auto file = find_given(path, true);
    if (!file && !(status.st_mode & S_IROTH) && status.st_uid != uid_ && !find_acl_user(path, uid_))
      file = {path, status.st_uid, status.st_gid, status.st_mode & 07777};
    if (!file) continue;
    count(*file);
    before_.push_back(*std::move(file));
  }
}

void Ownership::add(const std::vector<FileOwner>& more) {
  const base::Lock lock(given_mutex);
  for (const FileOwner& file : more) count(file);
  before_.insert(before_.end(), more.begin(), more.end());
}

std::vector<FileOwner> Ownership::release() noexcept {
  const base::Lock lock(given_mutex);
  for (const FileOwner& file : before_) uncount(file);
  return std::exchange(before_, {});
}

Ownership& Ownership::operator=(Ownership&& other) noexcept {
  if (this != &other) {
    restore();
    before_ = std::exchange(other.before_, {});
    uid_ = other.uid_;
    gid_ = other.gid_;
  }
  return *this;
}

void Ownership::give() const {
  for (const FileOwner& file : before_) {
    if (file.mode) {
      if (allow_acl_user(file.path, uid_)) continue;
    } else if (::chown(file.path.c_str(), uid_, gid_) == 0) {
      continue;
    }
    if (errno == EROFS || errno == EOPNOTSUPP || errno == ENOSYS) continue;
    throw file.mode
        ? Error::system(errno, "unable to let user '" + std::to_string(uid_) + "' read '" + file.path + "'")
        : Error::system(errno, "unable to set user and group to '" + numbers(uid_, gid_) + "' on '" + file.path + "'");
  }
}

void Ownership::restore(const FileOwner& file) const noexcept {
  const base::Lock lock(given_mutex);
  if (!uncount(file)) return;
  // Nobody can be told of a failure here: a right that stays is the worst that follows.
  if (file.mode) return forbid_acl_user(file.path, uid_, *file.mode);
  struct stat status{};
  if (::stat(file.path.c_str(), &status) == 0 && status.st_uid == uid_ && status.st_gid == gid_)
    static_cast<void>(!::chown(file.path.c_str(), file.uid, file.gid));
}

void Ownership::give_back(const std::string& path) noexcept {
  const auto file = std::ranges::find(before_, path, &FileOwner::path);
  if (file == before_.end()) return;
  restore(*file);
  before_.erase(file);
}

void Ownership::give_back(const FileOwner& file) noexcept {
  const auto found = std::ranges::find(before_, file);
  if (found == before_.end()) return;
  restore(*found);
  before_.erase(found);
}

void Ownership::restore() noexcept {
  for (; !before_.empty(); before_.pop_back()) restore(before_.back());
}

ImageLock ImageLock::take(const std::string& path, ImageUse use) {
  const auto refuse = [&](const char* lock) {
    return Error(ErrorCode::resource_busy,
                 std::string("Failed to get ") + lock + " lock: is another process using the image '" + path + "'?");
  };
  const LockPlan* plan = lock_plans;
  while (plan->use != use) ++plan;

  ImageLock lock;
  // Locks for reading need no right to write, so the emulator that inherits the descriptor gets none by it.
  lock.fd_.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!lock.fd_) throw Error::system(errno, "Cannot access storage file '" + path + "'");
  for (const off_t at : plan->take) {
    struct flock wanted = byte(F_RDLCK, at);
    if (::fcntl(lock.fd(), F_OFD_SETLK, &wanted) == 0) continue;
    if (errno == EAGAIN || errno == EACCES) throw refuse(at < denies ? "\"write\"" : "shared \"write\"");
    throw Error::system(errno, "cannot lock '" + path + "'");
  }
  // Looked at once ours are held: of two that come at once, one at least sees the other.
  for (const off_t at : plan->absent) {
    struct flock found = byte(F_WRLCK, at);
    if (::fcntl(lock.fd(), F_OFD_GETLK, &found) < 0) throw Error::system(errno, "cannot lock '" + path + "'");
    // Ours are of this open file description and do not count.
    if (found.l_type != F_UNLCK) throw refuse(at < denies ? "shared \"write\"" : "\"write\"");
  }
  return lock;
}

}  // namespace host
