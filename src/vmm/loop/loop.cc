#include "vmm/loop/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <utility>

#include "base/file.h"

namespace loop {

Watch& Watch::operator=(Watch&& other) noexcept {
  if (this == &other) return *this;
  end();
  loop_ = std::exchange(other.loop_, nullptr);
  fd_ = std::exchange(other.fd_, -1);
  return *this;
}

void Watch::want(std::uint32_t events) {
  epoll_event event{events, {.fd = fd_}};
  if (::epoll_ctl(loop_->epoll_.get(), EPOLL_CTL_MOD, fd_, &event) < 0) base::throw_errno(errno, "epoll_ctl");
}

void Watch::end() {
  if (!loop_) return;
  loop_->watched_.erase(fd_);
  ::epoll_ctl(loop_->epoll_.get(), EPOLL_CTL_DEL, fd_, nullptr);
  loop_ = nullptr;
}

void Timer::set(std::int64_t time) {
  cancel();
  const bool first = loop_.timers_.empty() || time < loop_.timers_.begin()->first;
  place_ = loop_.timers_.emplace(time, this);
  if (first) loop_.wake();
}

void Timer::cancel() {
  if (!place_) return;
  loop_.timers_.erase(*place_);
  place_.reset();
}

Loop::Loop(Clock& clock)
    : clock_(clock), epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_ || !wake_) base::throw_errno(errno, "cannot make an event loop");
  epoll_event event{EPOLLIN, {.fd = wake_.get()}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) < 0) base::throw_errno(errno, "epoll_ctl");
  clock_.add(this);
}

Loop::~Loop() {
  clock_.remove(this);
}

Watch Loop::watch(int fd, std::uint32_t events, std::function<void(std::uint32_t)> ready) {
  epoll_event event{events, {.fd = fd}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) base::throw_errno(errno, "epoll_ctl");
  watched_[fd] = std::make_shared<Watched>(std::move(ready));
  return {this, fd};
}

void Loop::post(std::function<void()> work) {
  {
    const base::Lock lock(posted_mutex_);
    posted_.push_back(std::move(work));
  }
  wake();
}

void Loop::stop() {
  stopped_ = true;
  wake();
}

void Loop::wake() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
}

std::optional<std::int64_t> Loop::next_expiry() const {
  if (timers_.empty()) return {};
  return timers_.begin()->first;
}

void Loop::run_due(std::int64_t now) {
  while (!timers_.empty() && timers_.begin()->first <= now) {
    Timer& timer = *timers_.begin()->second;
    timer.cancel();
    const auto expired = timer.expired_;  // it may end its own timer
    expired();
  }
}

void Loop::run_posted() {
  std::vector<std::function<void()>> work;
  {
    const base::Lock lock(posted_mutex_);
    work.swap(posted_);
  }
  for (const auto& one : work) one();
}

/// Milliseconds for epoll_wait; -1 for ever.
int Loop::wait_time() const {
  const auto next = next_expiry();
  if (!next || clock_.simulated()) return -1;
  const std::int64_t left = *next - clock_.now();
  if (left <= 0) return 0;
  return static_cast<int>(std::min<std::int64_t>((left + 999'999) / 1'000'000, std::numeric_limits<int>::max()));
}

void Loop::run() {
  std::array<epoll_event, 64> ready;
  while (!stopped_) {
    int timeout = 0;
    {
      const base::Lock lock(mutex_);
      timeout = wait_time();
    }
    const int count = ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), timeout);
    if (count < 0 && errno != EINTR) base::throw_errno(errno, "epoll_wait");
    const base::Lock lock(mutex_);
    for (int i = 0; i < count && !stopped_; ++i) {
      const int fd = ready[static_cast<std::size_t>(i)].data.fd;
      if (fd == wake_.get()) {
        std::uint64_t times;
        // NOLINTNEXTLINE(clang-analyzer-unix.BlockInCriticalSection): the descriptor is one that never blocks
        [[maybe_unused]] const auto got = ::read(fd, &times, sizeof times);
        continue;
      }
      const auto found = watched_.find(fd);
      if (found == watched_.end()) continue;  // ended by one before it in this round
      const std::shared_ptr<Watched> keep = found->second;
      keep->ready(ready[static_cast<std::size_t>(i)].events);
    }
    run_posted();
    if (!clock_.simulated()) run_due(clock_.now());
  }
}

}  // namespace loop
