#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <thread>

#include "vmm/loop/loop.h"

namespace machine {

/// A thread with a loop for devices that are to have one of their own.
class IoThread {
 public:
  /// `started` runs on the thread before it serves: its sandbox.
  IoThread(std::string id, loop::Clock& clock, std::function<void()> started);
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  const std::string& id() const { return id_; }
  loop::Loop& loop() { return loop_; }
  pid_t thread_id() const { return thread_id_; }

 private:
  std::string id_;
  loop::Loop loop_;
  pid_t thread_id_ = 0;
  std::thread thread_;
};

}  // namespace machine
