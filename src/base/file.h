#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

/// Files as both programs use them. Every failure is a std::system_error whose what() is libvirt's form of a
/// SYSTEM_ERROR, "cannot open '/a/b': No such file or directory"; the driver answers it with that code where it makes
/// its replies.
namespace base {

/// Throws the std::system_error for an errno value; the message names what failed.
[[noreturn]] void throw_errno(int errno_value, const std::string& what);

/// open(2) with O_CLOEXEC.
UniqueFd open_file(const std::string& path, int flags, mode_t mode = 0);
/// The same, of nothing but a regular file; what else is there is not opened, and EINVAL.
UniqueFd open_regular(const std::string& path, int flags, mode_t mode = 0);
/// The same, of a regular file or a block device that is there.
UniqueFd open_disk(const std::string& path, int flags);

/// The whole file; EFBIG when it is longer than `limit` bytes. Works for files of /proc and /sys, which tell no size.
std::string read_file(const std::string& path, std::size_t limit);
/// The same, nothing when there is no such file.
std::optional<std::string> read_file_if_exists(const std::string& path, std::size_t limit);
/// From the descriptor's position to its end.
std::string read_all(int fd, std::size_t limit, const std::string& name);

void write_all(int fd, std::string_view bytes, const std::string& name);

/// A new file of its own name in `folder`, removed at the end of its life unless commit() gave it its place.
class TemporaryFile {
 public:
  TemporaryFile(const std::string& folder, mode_t mode);
  TemporaryFile(TemporaryFile&& other) noexcept;
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  ~TemporaryFile();

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }

  /// Makes the content durable under `target`, in the same folder: fsync, rename, fsync of the folder. EEXIST when
  /// `replace` is false and there is such a file; EINVAL when what is there is no regular file, which nobody replaces.
  void commit(const std::string& target, bool replace = true);

 private:
  std::string path_;
  UniqueFd fd_;
};

/// Removes what the TemporaryFiles of a process that was killed left in the folder, where nobody writes now.
void remove_temporaries(const std::string& folder);

/// Puts a whole new content in the file's place, durably: after a crash there is the old file or the new one.
void replace_file(const std::string& path, std::string_view bytes, mode_t mode);

/// Removes the file, durably; false when there was none.
bool remove_file(const std::string& path);

/// fsync of a folder, which makes names in it durable.
void sync_folder(const std::string& folder);

/// Makes the folder and those above it that are missing, all with `mode` whatever the umask says. Existing ones stay as
/// they are; something else of that name is ENOTDIR.
void make_folders(const std::string& path, mode_t mode);

/// The folder a path is in: "/a" of "/a/b", "/" of "/b", "." of "b".
std::string folder_of(const std::string& path);

}  // namespace base
