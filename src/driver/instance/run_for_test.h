#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <boost/asio/co_spawn.hpp>
#include <chrono>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>

#include "driver/core/error.h"
#include "driver/core/loop.h"

namespace instance::test {

/// What a loaded machine may take for anything a test waits for.
inline constexpr std::chrono::seconds patience{30};

/// Runs the loop until `done`; fails the test that waits longer than any may.
inline void run_until(core::Loop& loop, const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!done()) {
    ASSERT_LT(std::chrono::steady_clock::now(), end) << "waited too long";
    loop.context().restart();
    loop.context().run_one_for(std::chrono::milliseconds(5));
  }
}

/// Runs the loop until the task has ended, and answers what it returned or threw.
template <class T>
T run(core::Loop& loop, core::Task<T> task) {
  struct Outcome {
    bool ended = false;
    std::exception_ptr error;
    std::conditional_t<std::is_void_v<T>, std::optional<bool>, std::optional<T>> value;
  };
  auto outcome = std::make_shared<Outcome>();
  core::asio::co_spawn(
      loop.context(),
      [](core::Task<T> inner, std::shared_ptr<Outcome> to) -> core::Task<void> {
        if constexpr (std::is_void_v<T>) {
          co_await std::move(inner);
        } else {
          to->value.emplace(co_await std::move(inner));
        }
      }(std::move(task), outcome),
      [outcome](std::exception_ptr error) {
        outcome->error = std::move(error);
        outcome->ended = true;
      });
  run_until(loop, [&] { return outcome->ended; });
  if (outcome->error) std::rethrow_exception(outcome->error);
  if constexpr (!std::is_void_v<T>) return std::move(outcome->value).value();
}

/// The core::Error that `act` throws.
inline core::Error error_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const core::Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return {core::ErrorCode::ok, ""};
}

/// A folder of a test's own, gone with it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = "/tmp/instance-test-XXXXXX";
    if (!mkdtemp(name.data())) throw core::Error::system(errno, "cannot make a folder");
    path = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string path;
};

}  // namespace instance::test
