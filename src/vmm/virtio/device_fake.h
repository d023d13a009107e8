#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "vmm/virtio/device.h"
#include "vmm/virtio/queue_fake.h"

namespace virtio::fake {

/// Counts what a device tells its driver.
class Interrupts : public Interrupt {
 public:
  explicit Interrupts(std::size_t queues) : queues_(queues) {}
  void queue(unsigned index) override { ++queues_.at(index); }
  void config() override { ++configs; }
  void needs_reset() override { broken = true; }
  int queue_eventfd(unsigned) override { return -1; }
  /// How often since this was last asked.
  unsigned taken(unsigned index) { return std::exchange(queues_.at(index), 0U); }

  unsigned configs = 0;
  bool broken = false;

 private:
  std::vector<unsigned> queues_;
};

/// A device with a driver at each of its queues and no transport between. The device's calls are the test's to make,
/// with the loop's lock held where a loop runs.
class Bench {
 public:
  explicit Bench(Device& device, std::size_t memory = std::size_t{4} << 20)
      : ram(memory), interrupts(device.traits().queue_sizes.size()), device_(device) {}

  bool activate(std::uint64_t features) { return device_.activate(make_active(features)); }
  /// What a device gets then: new, empty queues.
  Active make_active(std::uint64_t features) {
    const bool event_index = features & feature::event_idx, tables = features & feature::indirect_desc;
    Active active{ram.memory(), interrupts, features, {}, {}};
    queues.clear();
    for (const std::uint16_t size : device_.traits().queue_sizes) {
      queues.emplace_back(ram, size, event_index, tables);
      active.queues.emplace_back(queues.back().queue());
    }
    return active;
  }
  Driver& operator[](std::size_t index) { return queues.at(index); }

  Ram ram;
  Interrupts interrupts;
  std::vector<Driver> queues;

 private:
  Device& device_;
};

/// A loop that a thread of its own runs, as long as this lives. What belongs to it ends before it, with its lock held.
class LoopThread {
 public:
  explicit LoopThread(loop::Loop& loop) : loop_(loop), thread_([&loop] { loop.run(); }) {}
  ~LoopThread() {
    loop_.stop();
    thread_.join();
  }

  /// Waits, for ten seconds at most, until what is asked for with the lock held is so.
  template <class Condition>
  bool eventually(Condition condition) {
    for (int i = 0; i < 10'000; ++i) {
      {
        const base::Lock lock(loop_.mutex());
        if (condition()) return true;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }

 private:
  loop::Loop& loop_;
  std::thread thread_;
};

}  // namespace virtio::fake
