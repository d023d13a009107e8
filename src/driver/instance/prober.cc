#include "driver/instance/prober.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <cerrno>

#include "base/file.h"
#include "driver/core/error.h"
#include "driver/instance/probe_cache.h"

namespace instance {

using core::Error;
using core::ErrorCode;
using namespace core::asio::experimental::awaitable_operators;

FileStamp FileStamp::of(const std::string& path) {
  struct stat now{};
  if (!path.starts_with('/')) errno = ENOENT;
  if (!path.starts_with('/') || stat(path.c_str(), &now) < 0 || access(path.c_str(), X_OK) < 0)
    throw Error::system(errno, "Cannot check QEMU binary " + path);
  const auto nanoseconds = [](const timespec& time) {
    return std::int64_t{time.tv_sec} * 1'000'000'000 + std::int64_t{time.tv_nsec};
  };
  return {now.st_size, nanoseconds(now.st_ctim), nanoseconds(now.st_mtim)};
}

Prober::Prober(core::Loop& loop, const core::Layout& layout, const Settings& settings, Problem problem,
               std::chrono::milliseconds limit)
    : loop_(loop),
      layout_(layout),
      settings_(settings),
      problem_(std::move(problem)),
      limit_(limit),
      done_(loop.context()) {
  remove_probes(layout_.state);
}

core::Task<emulator::Capabilities> Prober::ask(std::string program) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + limit_ + grace;
  const auto asked = [&] {
    const auto found = known_.find(program);
    return found != known_.end() && found->second.asking;
  };
  FileStamp stamp;
  for (;;) {
    if (!asked()) stamp = co_await loop_.blocking([&] { return FileStamp::of(program); });
    if (!asked()) {
      const auto found = known_.find(program);
      if (found != known_.end() && found->second.stamp == stamp) {
        const Known& known = found->second;
        if (known.capabilities) co_return *known.capabilities;
        if (Clock::now() < known.again) throw Error(ErrorCode::internal_error, known.why);
      }
      if (asking_ < most_at_once) break;
    }
    const auto left = end - Clock::now();
    if (left <= left.zero())  // a program that cannot be killed keeps its thread
      throw Error(ErrorCode::internal_error,
                  "cannot find out what emulator '" + program + "' can do: those that are asked do not answer");
    co_await (done_.wait() || core::sleep(left));
  }
  if (!known_.contains(program)) make_room();
  Known& known = known_[program];
  struct Asking {
    Asking(Prober& owner, Known& of) : prober(owner), known(of) {
      known.asking = true;
      ++prober.asking_;
    }
    Asking(const Asking&) = delete;
    Asking& operator=(const Asking&) = delete;
    ~Asking() {
      known.asking = false;
      --prober.asking_;
      prober.done_.notify();
    }
    Prober& prober;
    Known& known;
  };
  const Asking asking(*this, known);
  known.stamp = stamp;
  known.capabilities.reset();
  try {
    std::string complaint;
    known.capabilities =
        co_await loop_.blocking([&, user = settings_.identity] { return find_out(program, stamp, user, complaint); });
    if (!complaint.empty()) problem_(complaint);
    co_return *known.capabilities;
  } catch (const Error& error) {
    known.why = error.detail();
  } catch (const std::exception& error) {
    known.why = error.what();
  }
  known.why = "cannot find out what emulator '" + program + "' can do: " + known.why;
  known.again = Clock::now() + pause;
  problem_(known.why);
  throw Error(ErrorCode::internal_error, known.why);
}

/// Blocks: for the pool.
emulator::Capabilities Prober::find_out(const std::string& program, const FileStamp& stamp, const host::Identity& user,
                                        std::string& complaint) const {
  if (auto cached = read_cache(layout_.cache, program, stamp)) return std::move(*cached);
  ProbeConfig config;
  config.state = layout_.state;
  config.limit = limit_;
  if (!layout_.session) config.identity = user;
  emulator::Capabilities capabilities = probe(program, config);
  try {
    write_cache(layout_.cache, program, stamp, capabilities);
  } catch (const std::exception& error) {  // it costs the next daemon another probe
    complaint = "what emulator '" + program + "' can do is not kept: " + error.what();
  }
  return capabilities;
}

/// Forgets a program, which is found in its file again.
void Prober::make_room() {
  if (known_.size() < most_programs) return;
  const auto idle = std::ranges::find_if(known_, [](const auto& one) { return !one.second.asking; });
  if (idle != known_.end()) known_.erase(idle);
}

}  // namespace instance
