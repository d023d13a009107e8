#include "vmm/machine/iothread.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <latch>

namespace machine {

IoThread::IoThread(std::string id, loop::Clock& clock, std::function<void()> started)
    : id_(std::move(id)), loop_(clock) {
  std::latch begun(1);
  thread_ = std::thread([this, &begun, started = std::move(started)] {
    ::pthread_setname_np(::pthread_self(), ("IO " + id_).substr(0, 15).c_str());
    thread_id_ = static_cast<pid_t>(::syscall(SYS_gettid));
    begun.count_down();
    if (started) started();
    loop_.run();
  });
  begun.wait();
}

IoThread::~IoThread() {
  loop_.stop();
  thread_.join();
}

}  // namespace machine
