#include "vmm/block/raw_file.h"

#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/file.h"

namespace block {
namespace {

constexpr std::uint64_t sector = 512;
constexpr std::size_t bounce_alignment = 4096;
/// What one step of an operation moves at most through memory of ours, and in parts.
constexpr std::size_t most_bounced = std::size_t{64} << 10, most_parts = 1024;
/// Longer writes are not searched for zeroes: a guest may make one as long as its disk.
constexpr std::uint64_t most_searched = 1 << 20;
constexpr unsigned ring_entries = 256;

/// Bytes that writing zeroes takes from, where a host cannot do it otherwise.
alignas(bounce_alignment) constexpr std::array<std::uint8_t, 65536> zeroes{};

bool all_zero(const std::vector<iovec>& parts) {
  return std::ranges::all_of(parts, [](const iovec& part) {
    const auto* bytes = static_cast<const char*>(part.iov_base);
    for (std::size_t at = 0; at < part.iov_len;) {
      const std::size_t size = std::min(part.iov_len - at, zeroes.size());
      if (std::memcmp(bytes + at, zeroes.data(), size) != 0) return false;
      at += size;
    }
    return true;
  });
}

struct Freed {
  void operator()(void* memory) const { std::free(memory); }
};
using Bounce = std::unique_ptr<std::uint8_t, Freed>;

Bounce make_bounce(std::size_t size) {
  return Bounce(static_cast<std::uint8_t*>(std::aligned_alloc(bounce_alignment, size)));
}

}  // namespace

/// A request on its way, in as many steps as it takes.
struct RawFile::Operation {
  enum class Method { transfer, sync, allocate, discard_device, zero_writes };

  Request request;
  Method method = Method::transfer;
  std::int64_t begun = 0;
  std::uint64_t moved = 0;  ///< bytes
  std::vector<iovec> now;   ///< of this step
  Bounce bounce;
  bool bounced = false;
  int mode = 0;                          ///< of fallocate
  std::array<std::uint64_t, 2> range{};  ///< of ioctl

  std::uint64_t left() const { return request.length - moved; }
  bool reads() const { return request.kind == Kind::read; }

  /// The parts of [moved, length), at most so many.
  void take_parts() {
    now.clear();
    std::uint64_t skip = moved;
    for (const iovec& part : request.parts) {
      if (skip >= part.iov_len) {
        skip -= part.iov_len;
        continue;
      }
      now.push_back({static_cast<char*>(part.iov_base) + skip, part.iov_len - static_cast<std::size_t>(skip)});
      skip = 0;
      if (now.size() == most_parts) break;
    }
  }
  std::size_t step_size() const {
    std::size_t size = 0;
    for (const iovec& part : now) size += part.iov_len;
    return size;
  }
  /// Between the request's memory from `moved` on and the bounce buffer.
  void copy(std::size_t size, bool to_request) {
    std::size_t done = 0;
    std::uint64_t skip = moved;
    for (const iovec& part : request.parts) {
      if (skip >= part.iov_len) {
        skip -= part.iov_len;
        continue;
      }
      const std::size_t length = std::min<std::size_t>(part.iov_len - skip, size - done);
      char* const memory = static_cast<char*>(part.iov_base) + skip;
      skip = 0;
      if (to_request) {
        std::memcpy(memory, bounce.get() + done, length);
      } else {
        std::memcpy(bounce.get() + done, memory, length);
      }
      done += length;
      if (done == size) break;
    }
  }
};

void RawFile::RingDeleter::operator()(io_uring* ring) const {
  io_uring_queue_exit(ring);
  delete ring;
}

// --- the file

RawFile::RawFile(RawFileConfig config, loop::Loop& loop)
    : config_(std::move(config)), loop_(loop), throttle_timer_(loop, [this] {
        let_go();
        kick();
      }) {
  open();
  if (config_.direct) make_direct();
  if (config_.iops_total) throttle_.emplace(*config_.iops_total);
  if (config_.use_io_uring) make_ring();
  if (!config_.read_only) lock();
}

RawFile::~RawFile() {
  RawFile::drain();
  if (!config_.read_only) unlock();
}

void RawFile::open() {
  fd_ = config_.fd ? std::move(config_.fd) : base::open_disk(config_.path, config_.read_only ? O_RDONLY : O_RDWR);
  struct stat status{};
  if (::fstat(fd_.get(), &status) < 0) base::throw_errno(errno, "cannot look at '" + config_.path + "'");
  block_device_ = S_ISBLK(status.st_mode);
  if (block_device_) {
    if (::ioctl(fd_.get(), BLKGETSIZE64, &size_) < 0) {
      base::throw_errno(errno, "cannot tell the size of '" + config_.path + "'");
    }
  } else if (S_ISREG(status.st_mode)) {
    size_ = static_cast<std::uint64_t>(status.st_size);
  } else {
    base::throw_errno(EINVAL, "'" + config_.path + "' is neither a file nor a block device");
  }
  size_ = size_ / sector * sector;
}

/// Byte 100 says that a user reads, byte 101 that it writes. To lock the second alone excludes whoever writes, QEMU,
/// which locks it shared, too.
void RawFile::lock() const {
  const auto set = [this](short type, off_t at) {
    struct flock wanted{};
    wanted.l_type = type;
    wanted.l_whence = SEEK_SET;
    wanted.l_start = at;
    wanted.l_len = 1;
    if (::fcntl(fd_.get(), F_OFD_SETLK, &wanted) == 0 || (errno != EAGAIN && errno != EACCES)) return;
    unlock();
    base::throw_errno(EBUSY, "'" + config_.path + "' is being written by another process");
  };
  set(F_RDLCK, 100);
  set(config_.share ? F_RDLCK : F_WRLCK, 101);
  if (!config_.share) return;
  struct flock other{};  // one who lets nobody write beside it
  other.l_type = F_WRLCK;
  other.l_whence = SEEK_SET;
  other.l_start = 201;
  other.l_len = 1;
  if (::fcntl(fd_.get(), F_OFD_GETLK, &other) == 0 && other.l_type != F_UNLCK) {
    unlock();
    base::throw_errno(EBUSY, "'" + config_.path + "' is used by another process that does not share it");
  }
}

/// Closing would do, were it not that the drive may have the open file too.
void RawFile::unlock() const {
  struct flock all{};
  all.l_type = F_UNLCK;
  all.l_whence = SEEK_SET;
  all.l_start = 100;
  all.l_len = 2;
  ::fcntl(fd_.get(), F_OFD_SETLK, &all);
}

/// Turns the page cache off where reads of single sectors work without it, and finds how their memory must be aligned.
/// A file on a disk of larger sectors keeps the cache, since guests read and write sectors of 512 bytes.
void RawFile::make_direct() {
  const int flags = ::fcntl(fd_.get(), F_GETFL);
  if (::fcntl(fd_.get(), F_SETFL, flags | O_DIRECT) < 0) return;
  const Bounce memory = make_bounce(2 * bounce_alignment);
  if (!memory) return;
  for (const std::size_t alignment : {std::size_t{sector}, bounce_alignment}) {
    if (::pread(fd_.get(), memory.get() + alignment, sector, 0) < 0) continue;
    direct_ = true;
    memory_alignment_ = alignment;
    return;
  }
  ::fcntl(fd_.get(), F_SETFL, flags);
}

namespace {

/// A ring does nothing but what disks need, whoever writes into it: seccomp does not see what goes through one.
int restrict_ring(io_uring* ring) {
  std::array<io_uring_restriction, 4> allowed{};
  constexpr std::uint8_t operations[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE};
  for (std::size_t i = 0; i < allowed.size(); ++i) {
    allowed[i].opcode = IORING_RESTRICTION_SQE_OP;
    allowed[i].sqe_op = operations[i];
  }
  const int error = io_uring_register_restrictions(ring, allowed.data(), allowed.size());
  return error < 0 ? error : io_uring_enable_rings(ring);
}

}  // namespace

/// Leaves it at none for a kernel that is old or does not let us.
void RawFile::make_ring() {
  auto made = std::make_unique<io_uring>();
  if (io_uring_queue_init(ring_entries, made.get(), IORING_SETUP_R_DISABLED) < 0) return;
  std::unique_ptr<io_uring, RingDeleter> ring(made.release());
  event_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event_) base::throw_errno(errno, "eventfd");
  if (io_uring_register_eventfd(ring.get(), event_.get()) < 0 || restrict_ring(ring.get()) < 0) return;
  ring_ = std::move(ring);
  watch_ = loop_.watch(event_.get(), EPOLLIN, [this](std::uint32_t) {
    std::uint64_t times;
    [[maybe_unused]] const auto got = ::read(event_.get(), &times, sizeof times);
    reap();
  });
}

// --- requests

void RawFile::submit(Request request) {
  auto operation = std::make_unique<Operation>();
  operation->request = std::move(request);
  operation->begun = loop_.clock().now();
  if (throttle_ && operation->request.kind != Kind::flush) {
    waiting_.push_back(std::move(operation));
    let_go();
  } else {
    begin(std::move(operation));
  }
}

void RawFile::kick() {
  if (ring_ && io_uring_sq_ready(ring_.get()) > 0 && io_uring_submit(ring_.get()) < 0) {
    // Out of something for a moment: it stays in the ring.
    if (!throttle_timer_.is_set()) throttle_timer_.set(loop_.clock().now() + 1'000'000);
  }
  end_batch();
}

/// Begins what the throttle lets begin now.
void RawFile::let_go() {
  while (!waiting_.empty()) {
    const auto later = throttle_ ? throttle_->take(loop_.clock().now()) : std::nullopt;
    if (later) return throttle_timer_.set(*later);
    auto next = std::move(waiting_.front());
    waiting_.pop_front();
    begin(std::move(next));
  }
}

void RawFile::limit(std::uint64_t iops) {
  throttle_.reset();
  if (iops > 0) throttle_.emplace(iops);
  throttle_timer_.cancel();
  let_go();
  kick();
}

void RawFile::drain() {
  throttle_timer_.cancel();
  for (auto& one : std::exchange(waiting_, {})) {
    ++under_way_;
    finish(*one.release(), ECANCELED);
  }
  kick();
  while (under_way_ > 0) {
    io_uring_submit_and_wait(ring_.get(), 1);
    reap();
  }
}

void RawFile::begin(std::unique_ptr<Operation> owned) {
  Operation& operation = *owned.release();
  ++under_way_;
  using Method = Operation::Method;
  Request& request = operation.request;
  if (config_.read_only && request.kind != Kind::read && request.kind != Kind::flush) return finish(operation, EROFS);
  if (request.offset > size_ || request.length > size_ - request.offset) return finish(operation, EINVAL);
  if (request.kind == Kind::write && config_.detect_zeroes != RawFileConfig::Detect::off &&
      request.length <= most_searched && all_zero(request.parts)) {
    request.kind = Kind::write_zeroes;
    request.may_unmap = config_.detect_zeroes == RawFileConfig::Detect::unmap;
  }
  switch (request.kind) {
    case Kind::read:
    case Kind::write: operation.method = Method::transfer; break;
    case Kind::flush:
      if (config_.no_flush || config_.read_only) return finish(operation, 0);
      operation.method = Method::sync;
      break;
    case Kind::discard:
      operation.method = block_device_ ? Method::discard_device : Method::allocate;
      operation.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
      break;
    case Kind::write_zeroes:
      operation.method = Method::allocate;
      operation.mode =
          (request.may_unmap && config_.discard ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE;
      break;
  }
  if (request.length == 0 && request.kind != Kind::flush) return finish(operation, 0);
  go_on(operation);
}

/// Does step after step, until one is under way or it is done.
void RawFile::go_on(Operation& operation) {
  while (prepare(operation)) {
    if (ring_ && enqueue(operation)) return;
    if (!stepped(operation, run(operation))) return;
  }
}

/// Makes the next step ready, which is the whole operation mostly; false where it ended here.
bool RawFile::prepare(Operation& operation) {
  using Method = Operation::Method;
  const Request& request = operation.request;
  switch (operation.method) {
    case Method::transfer:
      operation.take_parts();
      operation.bounced =
          direct_ && std::ranges::any_of(operation.now, [this](const iovec& part) {
            return (reinterpret_cast<std::uintptr_t>(part.iov_base) | part.iov_len) & (memory_alignment_ - 1);
          });
      if (operation.bounced) {
        const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(operation.left(), most_bounced));
        if (!operation.bounce) operation.bounce = make_bounce((size + bounce_alignment - 1) & ~(bounce_alignment - 1));
        if (!operation.bounce) {
          finish(operation, ENOMEM);
          return false;
        }
        if (!operation.reads()) operation.copy(size, false);
        operation.now = {{operation.bounce.get(), size}};
      }
      break;
    case Method::zero_writes: {
      operation.now.clear();
      for (std::uint64_t left = operation.left(); left > 0 && operation.now.size() < 16;) {
        const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left, zeroes.size()));
        operation.now.push_back({const_cast<std::uint8_t*>(zeroes.data()), size});
        left -= size;
      }
      break;
    }
    case Method::discard_device: operation.range = {request.offset, request.length}; break;
    case Method::sync:
    case Method::allocate: break;
  }
  return true;
}

/// False where it is to be run here.
bool RawFile::enqueue(Operation& operation) {
  using Method = Operation::Method;
  if (operation.method == Method::discard_device) return false;  // io_uring has none
  const Request& request = operation.request;
  io_uring_sqe* entry = io_uring_get_sqe(ring_.get());
  if (!entry) {
    io_uring_submit(ring_.get());
    entry = io_uring_get_sqe(ring_.get());
  }
  if (!entry) return false;
  const auto parts = static_cast<unsigned>(operation.now.size());
  switch (operation.method) {
    case Method::transfer:
      if (operation.reads()) {
        io_uring_prep_readv(entry, fd_.get(), operation.now.data(), parts, request.offset + operation.moved);
        break;
      }
      [[fallthrough]];
    case Method::zero_writes:
      io_uring_prep_writev(entry, fd_.get(), operation.now.data(), parts, request.offset + operation.moved);
      break;
    case Method::sync: io_uring_prep_fsync(entry, fd_.get(), IORING_FSYNC_DATASYNC); break;
    default:
      io_uring_prep_fallocate(entry, fd_.get(), operation.mode, static_cast<off_t>(request.offset),
                              static_cast<off_t>(request.length));
      break;
  }
  io_uring_sqe_set_data(entry, &operation);
  return true;
}

/// A step in this thread: what a system call answers, or a negative errno value.
std::int64_t RawFile::run(Operation& operation) {
  using Method = Operation::Method;
  const Request& request = operation.request;
  const auto at = static_cast<off_t>(request.offset + operation.moved);
  const auto parts = static_cast<int>(operation.now.size());
  std::int64_t result = 0;
  do {
    switch (operation.method) {
      case Method::transfer:
      case Method::zero_writes:
        result = operation.reads() ? ::preadv(fd_.get(), operation.now.data(), parts, at)
                                   : ::pwritev(fd_.get(), operation.now.data(), parts, at);
        break;
      case Method::sync: result = ::fdatasync(fd_.get()); break;
      case Method::allocate:
        result = ::fallocate(fd_.get(), operation.mode, static_cast<off_t>(request.offset),
                             static_cast<off_t>(request.length));
        break;
      case Method::discard_device: result = ::ioctl(fd_.get(), BLKDISCARD, operation.range.data()); break;
    }
  } while (result < 0 && errno == EINTR);
  return result < 0 ? -std::int64_t{errno} : result;
}

/// Whether the operation has another step; it is gone otherwise.
bool RawFile::stepped(Operation& operation, std::int64_t result) {
  using Method = Operation::Method;
  if (result == -EAGAIN || result == -EINTR) return true;
  if (result < 0) return fall_back(operation, static_cast<int>(-result));
  int error = 0;
  if (operation.method == Method::transfer || operation.method == Method::zero_writes) {
    if (result > 0) {
      if (operation.bounced && operation.reads()) operation.copy(static_cast<std::size_t>(result), true);
      operation.moved += static_cast<std::uint64_t>(result);
      if (operation.left() > 0) return true;
    } else {
      error = operation.reads() ? EIO : ENOSPC;  // the file was cut short
    }
  }
  finish(operation, error);
  return false;
}

/// What cannot be done in one way may be in another.
bool RawFile::fall_back(Operation& operation, int error) {
  using Method = Operation::Method;
  const bool unknown = error == EOPNOTSUPP || error == ENOSYS || error == ENOTTY || error == EINVAL;
  const bool has_other_way = operation.method == Method::allocate || operation.method == Method::discard_device;
  if (unknown && has_other_way && operation.request.kind == Kind::write_zeroes) {
    if (operation.mode & FALLOC_FL_PUNCH_HOLE) {
      operation.mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;  // of a block device the kernel writes them itself
    } else {
      operation.method = Method::zero_writes;
    }
    return true;
  }
  const bool advice = unknown && has_other_way;  // a discard is no more
  finish(operation, advice ? 0 : error);
  return false;
}

void RawFile::finish(Operation& operation, int error) {
  const std::unique_ptr<Operation> owned(&operation);
  --under_way_;
  Statistics::Of* const of[] = {&statistics_.read, &statistics_.write, &statistics_.flush, &statistics_.discard,
                                &statistics_.write};
  Statistics::Of& one = *of[static_cast<std::size_t>(operation.request.kind)];
  if (error) {
    ++one.failed;
  } else {
    ++one.operations;
    one.bytes += operation.request.length;
    one.time_ns += static_cast<std::uint64_t>(loop_.clock().now() - operation.begun);
    if (&one == &statistics_.write) {
      statistics_.highest_write =
          std::max(statistics_.highest_write, operation.request.offset + operation.request.length);
    }
  }
  any_done_ = true;
  operation.request.done(error);
}

void RawFile::reap() {
  io_uring_cqe* entry = nullptr;
  while (io_uring_peek_cqe(ring_.get(), &entry) == 0) {
    auto& operation = *static_cast<Operation*>(io_uring_cqe_get_data(entry));
    const std::int64_t result = entry->res;
    io_uring_cqe_seen(ring_.get(), entry);
    if (stepped(operation, result)) go_on(operation);
  }
  kick();  // what has a next step
}

void RawFile::end_batch() {
  if (std::exchange(any_done_, false) && batch_ended_) batch_ended_();
}

}  // namespace block
