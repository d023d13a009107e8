#pragma once

#include <sys/types.h>

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
  friend bool operator==(const FileOwner&, const FileOwner&) = default;
};

/// The files given to the emulator's user while a domain runs (dynamic_ownership). They go back to whom they belonged
/// to at the end of this object's life, the last taken first. A file that had the owner already is not recorded.
class Ownership {
 public:
  Ownership() = default;
  /// Takes over what an earlier daemon recorded.
  explicit Ownership(std::vector<FileOwner> before) : before_(std::move(before)) {}
  Ownership(Ownership&& other) noexcept : before_(other.release()) {}
  Ownership& operator=(Ownership&& other) noexcept;
  ~Ownership() { restore(); }

  /// The record of what give() would change, made durable by the caller before it calls it: a daemon killed in between
  /// then restores. Empty when the owner is right already.
  static std::vector<FileOwner> plan(const std::vector<std::string>& paths, uid_t uid, gid_t gid);
  /// Throws Error: SYSTEM_ERROR "unable to set user and group to '64055:64055' on '/a'". What a file system cannot do
  /// (read-only, or without owners) is left as it is.
  void give(const std::string& path, uid_t uid, gid_t gid);

  const std::vector<FileOwner>& before() const { return before_; }
  /// Lets the files stay as they are; gives the record.
  std::vector<FileOwner> release() { return std::exchange(before_, {}); }

 private:
  void restore() noexcept;
  std::vector<FileOwner> before_;
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
