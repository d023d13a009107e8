#include "driver/core/loop.h"

#include <boost/asio/co_spawn.hpp>

namespace core {

void Loop::spawn(Task<void> task, std::string whose) {
  asio::co_spawn(context_, std::move(task), [this, whose = std::move(whose)](const std::exception_ptr& error) {
    if (error) report(whose, error);
  });
}

void Loop::run() {
  for (;;) {
    try {
      context_.run();
      return;
    } catch (...) {
      report("a handler", std::current_exception());
    }
  }
}

void Loop::report(const std::string& whose, const std::exception_ptr& error) const {
  if (!on_failure_) std::rethrow_exception(error);
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& known) {
    on_failure_(whose, known.what());
  } catch (...) {
    on_failure_(whose, "an exception of no known kind");
  }
}

}  // namespace core
