#include "vmm/virtio/rng.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace virtio {
namespace {

constexpr std::uint16_t queue_size = 256;

}  // namespace

Rng::Rng(RngConfig config, loop::Loop& loop)
    : config_(std::move(config)),
      loop_(loop),
      traits_{.type = 4,
              .features = feature::version_1,
              .queue_sizes = {queue_size},
              .config_size = 0,
              .class_code = 0x00ff00},
      next_period_(loop, [this] { serve(); }) {
  config_.period_ms = std::clamp<std::uint64_t>(config_.period_ms, 1, 1'000'000'000);
  constexpr std::uint64_t most = std::uint64_t{1} << 40;  // what no source gives in a period
  if (config_.max_bytes) config_.max_bytes = std::clamp<std::uint64_t>(*config_.max_bytes, 1, most);
}

void Rng::read_config(std::uint64_t, std::span<std::uint8_t> value) {
  std::ranges::fill(value, std::uint8_t{0});
}

bool Rng::activate(Active active) {
  active_.emplace(std::move(active));
  return true;
}

void Rng::reset() {
  next_period_.cancel();
  watch_.end();
  active_.reset();  // what was overdrawn stays so: a reset is no way around the limit
}

void Rng::queue_ready(unsigned index) {
  if (index == 0) serve();
}

void Rng::serve() {
  if (!active_ || !active_->queues[0]) return;
  Queue& queue = *active_->queues[0];
  for (unsigned served = 0; served < queue_size && allowed(); ++served) {
    auto taken = queue.take();
    if (!taken) {
      active_->queues[0].reset();
      return active_->interrupt.needs_reset();
    }
    if (!*taken) return;
    const auto size = fill(**taken);
    if (!size) {
      return queue.put_back();
    }
    left_ -= static_cast<std::int64_t>(*size);
    queue.give_back(std::move(**taken), static_cast<std::uint32_t>(*size));
    if (queue.wants_interrupt()) active_->interrupt.queue(0);
  }
  if (!next_period_.is_set()) call_again(*active_, 0);
}

/// Whether something may be given now; if not, the timer is set to when this is to be asked again.
bool Rng::allowed() {
  if (!config_.max_bytes) return true;
  const auto period = static_cast<std::int64_t>(config_.period_ms) * 1'000'000;
  const auto bytes = static_cast<std::int64_t>(*config_.max_bytes);
  const std::int64_t now = loop_.clock().now();
  if (now >= period_end_) {
    const std::int64_t periods = period_end_ == 0 ? 1 : (now - period_end_) / period + 1;
    // Overdrawn by a request at most: more periods than its bytes make no difference.
    const std::int64_t counted = std::min<std::int64_t>(periods, most_in_request + 1);
    left_ = std::min(left_ + counted * bytes, bytes);
    period_end_ = std::max(now + 1, (period_end_ == 0 ? now : period_end_) + periods * period);
  }
  if (left_ > 0) return true;
  next_period_.set(period_end_);
  return false;
}

/// How many bytes the request got; nothing where the source has none now.
std::optional<std::size_t> Rng::fill(const Chain& chain) {
  std::size_t done = 0;
  for (const Chain::Buffer buffer : chain.writable()) {
    const auto part = buffer.first(std::min(buffer.size(), most_in_request - done));
    if (part.empty()) break;
    ssize_t got;
    do {
      got = ::read(config_.source.get(), part.data(), part.size());
    } while (got < 0 && errno == EINTR);
    if (got > 0) done += static_cast<std::size_t>(got);
    if (got == static_cast<ssize_t>(part.size())) continue;
    if (done > 0) break;
    if (got < 0 && errno == EAGAIN) wait_for_source();  // and of a file at its end there is nothing to wait for
    return {};
  }
  return done;
}

void Rng::wait_for_source() {
  if (watch_) return;
  try {
    watch_ = loop_.watch(config_.source.get(), EPOLLIN, [this](std::uint32_t) {
      watch_.end();
      serve();
    });
  } catch (const std::system_error&) {
    // What cannot be waited for does not say that it would block.
  }
}

}  // namespace virtio
