#pragma once

#include <cerrno>
#include <cstring>
#include <deque>
#include <vector>

#include "vmm/block/disk.h"

namespace block {

/// A disk in memory, for tests: it does what it is asked at once, or when it is told to.
class FakeDisk : public Disk {
 public:
  explicit FakeDisk(std::size_t size) : bytes(size) {}

  std::uint64_t size() const override { return bytes.size(); }
  bool read_only() const override { return is_read_only; }
  bool can_discard() const override { return discards; }
  void submit(Request request) override {
    kinds.push_back(request.kind);
    held.push_back(std::move(request));
    if (!holds) complete(held.size() - 1);
  }
  void kick() override { end(); }
  void drain() override {
    while (!held.empty()) complete(0);
    end();
  }
  void limit(std::uint64_t) override {}
  void on_batch(std::function<void()> callback) override { ended = std::move(callback); }
  Statistics statistics() const override { return {}; }

  void complete(std::size_t index) {
    Request request = std::move(held.at(index));
    held.erase(held.begin() + static_cast<std::ptrdiff_t>(index));
    std::uint8_t* at = bytes.data() + request.offset;
    if (error == 0) {
      for (const iovec& part : request.parts) {
        if (request.kind == Kind::read) std::memcpy(part.iov_base, at, part.iov_len);
        if (request.kind == Kind::write) std::memcpy(at, part.iov_base, part.iov_len);
        at += part.iov_len;
      }
      if (request.kind == Kind::discard || request.kind == Kind::write_zeroes) std::memset(at, 0, request.length);
    }
    last = {request.kind, request.offset, request.length, {}, request.may_unmap, {}};
    any = true;
    request.done(error);
  }
  void end() {
    if (any && ended) ended();
    any = false;
  }

  std::vector<std::uint8_t> bytes;
  bool is_read_only = false, discards = true, holds = false, any = false;
  int error = 0;
  std::vector<Kind> kinds;
  std::deque<Request> held;
  Request last;
  std::function<void()> ended;
};

}  // namespace block
