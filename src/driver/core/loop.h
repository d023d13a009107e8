#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <future>
#include <string>
#include <type_traits>
#include <utility>

namespace core {

namespace asio = boost::asio;

/// A coroutine of the loop. Parameters are taken by value: a reference may be gone after the first suspension.
template <class T = void>
using Task = asio::awaitable<T>;

/// The driver's one event loop, and the small pool beside it for work that blocks.
class Loop {
 public:
  explicit Loop(std::size_t pool_threads = 5) : context_(1), pool_(pool_threads) {}

  asio::io_context& context() { return context_; }

  /// Starts a coroutine that nobody waits for. An exception out of it ends this work and no other: it goes to
  /// on_failure() with `whose`, a few words on what it was for. There is no other way to start one.
  void spawn(Task<void> task, std::string whose = "the daemon");

  /// Is told what ended work that nobody waits for. Where there is none, the exception ends run().
  using OnFailure = std::function<void(const std::string& whose, const std::string& why)>;
  void on_failure(OnFailure on_failure) { on_failure_ = std::move(on_failure); }

  /// Runs `work` on the pool and goes on in the loop with what it returned or threw.
  template <class F>
  Task<std::invoke_result_t<F>> blocking(F work) {
    std::packaged_task<std::invoke_result_t<F>()> task(std::move(work));
    std::future<std::invoke_result_t<F>> result = task.get_future();
    co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(
        [&](auto resume) {
          auto busy = asio::make_work_guard(resume);
          asio::post(pool_, [&task, busy = std::move(busy), resume = std::move(resume)]() mutable {
            task();
            asio::post(std::move(resume));
          });
        },
        asio::use_awaitable);
    co_return result.get();
  }

  /// Serves until stop(). An exception out of a handler ends that handler alone, as one out of a coroutine.
  void run();
  void stop() { context_.stop(); }
  /// Destroys what run() left under way, while that to which it refers is still there.
  void abandon() {
    pool_.stop();
    pool_.join();
    pool_.shutdown();
    context_.shutdown();
  }

 private:
  struct Context : asio::io_context {
    using io_context::io_context;
    using io_context::shutdown;
  };

  struct Pool : asio::thread_pool {
    using thread_pool::shutdown;
    using thread_pool::thread_pool;
  };

  /// Tells of `error`, or throws it where nobody is to be told.
  void report(const std::string& whose, const std::exception_ptr& error) const;

  Context context_;
  Pool pool_;
  OnFailure on_failure_;
};

/// Suspends the calling coroutine.
inline Task<void> sleep(std::chrono::nanoseconds time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  co_await timer.async_wait(asio::use_awaitable);
}

/// Something coroutines of one loop wait for: notify() wakes all that wait now.
class Signal {
 public:
  explicit Signal(asio::io_context& context) : timer_(context, asio::steady_timer::time_point::max()) {}
  void notify() { timer_.cancel(); }
  Task<void> wait() {
    boost::system::error_code woken;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  }

 private:
  asio::steady_timer timer_;
};

}  // namespace core
