#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "vmm/block/disk.h"
#include "vmm/block/throttle.h"
#include "vmm/loop/loop.h"

struct io_uring;

namespace block {

struct RawFileConfig {
  enum class Detect { off, on, unmap };
  std::string path;
  base::UniqueFd fd;  ///< the open file in place of the path
  bool read_only = false;
  bool direct = true;        ///< past the host's page cache, where the file system has that
  bool discard = false;      ///< discarded ranges become holes
  bool share = false;        ///< other writers are allowed
  bool no_flush = false;     ///< flushes do nothing
  bool use_io_uring = true;  ///< where the host has it
  Detect detect_zeroes = Detect::off;
  std::optional<std::uint64_t> iops_total;  ///< operations a second, flushes not counted
};

/// A disk whose bytes are those of a file or of a block device. Operations go through io_uring and are done out of
/// order; where there is none, each is done when it is submitted. One who writes excludes other writers, QEMU's
/// too, by locks of the open file description on the bytes that QEMU uses (100 and up: what a user does); who only
/// reads excludes nobody.
class RawFile final : public Disk {
 public:
  /// Throws std::system_error; EBUSY where another one writes the file.
  RawFile(RawFileConfig config, loop::Loop& loop);
  ~RawFile() override;

  std::uint64_t size() const override { return size_; }
  bool read_only() const override { return config_.read_only; }
  bool can_discard() const override { return config_.discard && !config_.read_only; }
  void submit(Request request) override;
  void kick() override;
  void drain() override;
  void limit(std::uint64_t iops) override;
  void on_batch(std::function<void()> ended) override { batch_ended_ = std::move(ended); }
  Statistics statistics() const override { return statistics_; }

  bool uses_io_uring() const { return ring_ != nullptr; }
  bool is_direct() const { return direct_; }

 private:
  struct Operation;
  struct RingDeleter {
    void operator()(io_uring* ring) const;
  };

  void open();
  void lock() const;
  void unlock() const;
  void make_direct();
  void make_ring();

  void begin(std::unique_ptr<Operation> operation);
  void go_on(Operation& operation);
  bool prepare(Operation& operation);
  bool enqueue(Operation& operation);
  std::int64_t run(Operation& operation);
  bool stepped(Operation& operation, std::int64_t result);
  bool fall_back(Operation& operation, int error);
  void finish(Operation& operation, int error);
  void reap();
  void let_go();
  void end_batch();

  RawFileConfig config_;
  loop::Loop& loop_;
  base::UniqueFd fd_, event_;
  std::uint64_t size_ = 0;
  bool block_device_ = false, direct_ = false;
  std::size_t memory_alignment_ = 1;  ///< of memory that is read and written directly

  std::unique_ptr<io_uring, RingDeleter> ring_;
  loop::Watch watch_;
  std::size_t under_way_ = 0;
  std::optional<Throttle> throttle_;
  std::deque<std::unique_ptr<Operation>> waiting_;  ///< for the throttle
  loop::Timer throttle_timer_;
  std::function<void()> batch_ended_;
  bool any_done_ = false;
  Statistics statistics_;
};

}  // namespace block
