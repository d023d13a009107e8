#include "vmm/pid_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/file.h"

namespace {

void lock(int fd, const std::string& path) {
  struct flock whole{};
  whole.l_type = F_WRLCK;
  if (::fcntl(fd, F_OFD_SETLK, &whole) == 0) return;
  if (errno == ENOLCK) return;  // a file system without locks: nobody holds one
  if (errno != EACCES && errno != EAGAIN) base::throw_errno(errno, "cannot lock the pid file '" + path + "'");
  base::throw_errno(errno, "the pid file '" + path + "' is that of a program that runs");
}

/// Whether a descriptor is what a name stands for.
bool has_name(int fd, const std::string& path) {
  struct stat open{}, named{};
  return ::fstat(fd, &open) == 0 && ::lstat(path.c_str(), &named) == 0 && open.st_dev == named.st_dev &&
         open.st_ino == named.st_ino;
}

}  // namespace

PidFile::PidFile(std::string path) : path_(std::move(path)) {
  lock_what_is_there();
}

/// That of a program that has ended is nobody's.
void PidFile::lock_what_is_there() {
  lock_.reset();
  do {
    struct stat there{};
    if (::lstat(path_.c_str(), &there) < 0 && errno == ENOENT) return lock_.reset();
    lock_ = base::open_regular(path_, O_RDWR | O_NOFOLLOW);
    lock(lock_.get(), path_);
  } while (!has_name(lock_.get(), path_));  // replaced before it was locked
}

void PidFile::write() {
  for (;;) {
    base::TemporaryFile file(base::folder_of(path_), 0644);
    base::write_all(file.fd(), std::to_string(::getpid()) + "\n", file.path());
    base::UniqueFd own(::fcntl(file.fd(), F_DUPFD_CLOEXEC, 3));
    if (!own) base::throw_errno(errno, "cannot keep the pid file '" + path_ + "'");
    lock(own.get(), path_);
    try {
      file.commit(path_, static_cast<bool>(lock_));
    } catch (const std::system_error& error) {
      if (error.code() != std::errc::file_exists) throw;
      lock_what_is_there();  // somebody's since then
      continue;
    }
    lock_ = std::move(own);
    written_ = true;
    return;
  }
}

PidFile::~PidFile() {
  if (written_ && has_name(lock_.get(), path_)) ::unlink(path_.c_str());
}
