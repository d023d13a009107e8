#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

namespace host {

enum class FileKind { regular, block, character };

/// Throws Error: SYSTEM_ERROR "Cannot access storage file '/a': No such file or directory", as libvirt says it;
/// CONFIG_UNSUPPORTED when it is there and of another kind.
void require_file(const std::string& path, FileKind kind);

/// Who owned a file before a domain had it: plain data, for the live state file.
struct FileOwner {
  std::string path;
  uid_t uid;
  gid_t gid;
  std::optional<mode_t> mode = {};  ///< of one that was given for reading: its owner stays, an entry of its ACL is made
  friend bool operator==(const FileOwner&, const FileOwner&) = default;
};

/// The files given to the emulator's user while a domain runs (dynamic_ownership). They go back to whom they belonged
/// to at the end of this object's life, the last first; one that meanwhile belongs to a third stays with that one, and
/// one that other objects of this process have goes with the last of them.
class Ownership {
 public:
  Ownership() = default;
  /// Records the owners of those files that do not have this owner yet, and changes nothing: the caller makes before()
  /// durable first, so that a daemon killed after give() can restore. Throws Error: SYSTEM_ERROR for a missing file.
  static Ownership record(const std::vector<std::string>& paths, uid_t uid, gid_t gid);
  /// Records in the same way what the user is to read and not to write, where others may not read it anyway.
  void record_readable(const std::vector<std::string>& paths);
  /// Takes over what an earlier daemon recorded.
  static Ownership adopt(const std::vector<FileOwner>& before, uid_t uid, gid_t gid) {
    Ownership ownership(uid, gid);
    ownership.add(before);
    return ownership;
  }

  Ownership(Ownership&& other) noexcept
      : before_(std::exchange(other.before_, {})), uid_(other.uid_), gid_(other.gid_) {}
  Ownership& operator=(Ownership&& other) noexcept;
  ~Ownership() { restore(); }

  /// Gives the recorded files. Throws Error: SYSTEM_ERROR "unable to set user and group to '64055:64055' on '/a'". A
  /// file system that is read-only or has no owners, or no ACLs, is left as it is, as libvirt does.
  void give() const;

  const std::vector<FileOwner>& before() const { return before_; }
  /// Takes more files in, recorded elsewhere.
  void add(const std::vector<FileOwner>& more);
  /// Restores one file and forgets it.
  void give_back(const std::string& path) noexcept;
  void give_back(const FileOwner& file) noexcept;
  /// Lets the files stay as they are; gives the record.
  std::vector<FileOwner> release() noexcept;

 private:
  Ownership(uid_t uid, gid_t gid) : uid_(uid), gid_(gid) {}
  void restore(const FileOwner& file) const noexcept;
  void restore() noexcept;

  std::vector<FileOwner> before_;
  uid_t uid_ = 0;
  gid_t gid_ = 0;
};

/// How a domain uses an image.
enum class ImageUse { read_only, shared, exclusive };

/// The right to use an image. Open file description locks on the bytes QEMU uses, so a QEMU and a StratoVirt, of this
/// driver or of anyone, exclude each other: a writer that does not share excludes other writers; who only reads
/// excludes none and is excluded by none. Byte 101, 102 and 202 are left free: a StratoVirt locks those itself, for its
/// process.
///
/// The lock lives as long as a copy of its descriptor: handed to a StratoVirt it outlives the daemon and ends with the
/// machine. A QEMU locks by itself and would run into ours, so for one the lock is tried and let go before the start.
class ImageLock {
 public:
  /// Throws Error: RESOURCE_BUSY naming the image and the lock; SYSTEM_ERROR.
  static ImageLock take(const std::string& path, ImageUse use);
  int fd() const { return fd_.get(); }

 private:
  base::UniqueFd fd_;
};

}  // namespace host
