#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <vector>

/// Back ends of disks, which know nothing of the device in front of them.
namespace block {

enum class Kind : std::uint8_t { read, write, flush, discard, write_zeroes };

/// One operation. Memory named by its parts stays until it is done.
struct Request {
  Kind kind = Kind::read;
  std::uint64_t offset = 0;             ///< bytes; a multiple of 512, within the disk
  std::uint64_t length = 0;             ///< bytes, a multiple of 512; nothing for a flush
  std::vector<iovec> parts;             ///< of a read or a write: memory, `length` bytes in all
  bool may_unmap = false;               ///< of write_zeroes: the range may become a hole
  std::function<void(int error)> done;  ///< 0 or an errno value
};

/// What was done, for QMP's query-blockstats.
struct Statistics {
  struct Of {
    std::uint64_t operations = 0, bytes = 0, time_ns = 0, failed = 0;
  };
  Of read, write, flush, discard;   ///< written zeroes are writes
  std::uint64_t highest_write = 0;  ///< the end of the highest range written, in bytes
};

/// A disk of one loop: everything is called with its lock held, and everything done is told from it.
class Disk {
 public:
  virtual ~Disk() = default;

  virtual std::uint64_t size() const = 0;  ///< bytes
  virtual bool read_only() const = 0;
  virtual bool can_discard() const = 0;

  /// Takes a request; it may be done before this returns. It begins at kick() at the latest.
  virtual void submit(Request request) = 0;
  virtual void kick() = 0;
  /// Returns when nothing is under way any more, having told of all that was; what a limit had still held back is given
  /// up, with ECANCELED.
  virtual void drain() = 0;
  /// The most operations a second from now on, flushes aside; 0 for no limit.
  virtual void limit(std::uint64_t iops) = 0;
  /// `ended` is called after each time that one or several were done.
  virtual void on_batch(std::function<void()> ended) = 0;

  virtual Statistics statistics() const = 0;
};

}  // namespace block
