#include <array>
#include <cstdlib>

#include "vmm/virtio/device_fuzz.h"

// A queue whose descriptors, rings and tables are a driver's moves (device_fuzz.h), served as devices do: taken, looked
// at, given back in another order. What it hands out is memory, once.
namespace {

using virtio::Chain;

class Mirror : public virtio::Device {
 public:
  const virtio::Traits& traits() const override { return traits_; }
  void read_config(std::uint64_t, std::span<std::uint8_t>) override {}
  bool activate(virtio::Active active) override {
    active_.emplace(std::move(active));
    return true;
  }
  void queue_ready(unsigned) override {
    if (!active_) return;
    virtio::Queue& queue = *active_->queues[0];
    queue.ignore_notifications();
    for (unsigned served = 0; served < 2U * queue.config().size; ++served) {
      auto taken = queue.take();
      if (!taken) return active_.reset();
      if (!*taken) break;
      Chain& chain = **taken;
      std::size_t readable = 0, writable = 0;
      for (const Chain::Buffer buffer : chain.readable()) readable += buffer.size();
      for (const Chain::Buffer buffer : chain.writable()) writable += buffer.size();
      if (readable != chain.readable_bytes() || writable != chain.writable_bytes()) std::abort();
      std::array<std::uint8_t, 300> bytes{};
      const std::size_t out = chain.copy_out(served, bytes);
      const std::size_t in = chain.copy_in(served, bytes);
      if (out > readable || in > writable) std::abort();
      held_.push_back(std::move(chain));
      if (held_.size() > 3) give_back();
    }
    if (queue.want_notifications() && !held_.empty()) give_back();
    static_cast<void>(queue.wants_interrupt());
  }
  void reset() override {
    held_.clear();
    active_.reset();
  }
  void give_back() {
    if (!active_ || held_.empty()) return;
    const std::size_t at = held_.size() / 2;
    const auto size = static_cast<std::uint32_t>(held_[at].writable_bytes());
    active_->queues[0]->give_back(std::move(held_[at]), size);
    held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(at));
  }

 private:
  virtio::Traits traits_{
      .type = 0,
      .features = virtio::feature::version_1 | virtio::feature::event_idx | virtio::feature::indirect_desc,
      .queue_sizes = {16},
      .config_size = 0,
      .class_code = 0};
  std::optional<virtio::Active> active_;
  std::vector<Chain> held_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Mirror mirror;
  virtio::fake::Moves(mirror).play({data, size}, [&](virtio::fake::Input&) { mirror.give_back(); });
  return 0;
}
