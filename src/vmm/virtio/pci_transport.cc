#include "vmm/virtio/pci_transport.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include "base/file.h"
#include "vmm/pci/registers.h"

namespace virtio {

using namespace pci_layout;

namespace {

pci::Identity identity_of(const Traits& traits) {
  return {.vendor = vendor,
          .device = static_cast<std::uint16_t>(first_device + traits.type),
          .class_code = traits.class_code,
          .revision = 1,
          .subsystem_vendor = vendor,
          .subsystem = static_cast<std::uint16_t>(first_subsystem + traits.type),
          .interrupt_pin = 1};
}

/// struct virtio_pci_cap (§4.1.4), without the id and the link before it.
std::array<std::uint8_t, 18> capability_body(std::uint8_t length, std::uint8_t type, std::uint32_t offset,
                                             std::uint32_t size, std::uint32_t more) {
  std::array<std::uint8_t, 18> body{length, type, registers_bar};
  const auto put = [&](std::size_t at, std::uint32_t value) {
    for (unsigned i = 0; i < 4; ++i) body[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
  };
  put(6, offset);
  put(10, size);
  put(14, more);
  return body;
}

/// The window into the BARs that is configuration space itself (§4.1.4.9).
namespace window {
constexpr std::size_t bar = pci_cap + 4, offset = pci_cap + 8, length = pci_cap + 12, data = pci_cap + 16;
}

}  // namespace

PciTransport::PciTransport(std::string id, std::unique_ptr<Device> device, const memory::GuestMemory& memory,
                           hypervisor::Hypervisor& hypervisor, loop::Loop& main, loop::Loop& loop)
    : Function(std::move(id), identity_of(device->traits())),
      device_(std::move(device)),
      memory_(memory),
      hypervisor_(hypervisor),
      main_(main),
      loop_(loop),
      registers_(*this, &PciTransport::read_registers, &PciTransport::write_registers),
      msix_block_(*this, &PciTransport::read_msix, &PciTransport::write_msix),
      queues_(device_->traits().queue_sizes.size()) {
  const auto add = [this](std::uint8_t at, std::uint8_t length, CfgType type, std::uint32_t offset, std::uint32_t size,
                          std::uint32_t more) {
    const auto body = capability_body(length, type, offset, size, more);
    Function::config().add_capability(pci::capability::vendor, std::span(body).first(length - 2U), at);
  };
  add(common_cap, 16, common_cfg, common_at, part_size, 0);
  add(isr_cap, 16, isr_cfg, isr_at, part_size, 0);
  add(device_cap, 16, device_cfg, device_at, part_size, 0);
  add(notify_cap, 20, notify_cfg, notify_at, part_size, notify_multiplier);
  add(pci_cap, 20, pci_cfg, 0, 0, 0);
  pci::ConfigSpace& space = Function::config();
  space.make_writable<std::uint8_t>(window::bar, 0xff);
  for (const std::size_t at : {window::offset, window::length, window::data})
    space.make_writable<std::uint32_t>(at, ~0U);

  const auto vectors = static_cast<unsigned>(queues_.size() + 1);
  add_msix(vectors, msix_bar, 0, vectors * pci::msix::entry_size, msix_cap);
  set_bar(msix_bar, {.space = Space::memory32, .size = msix_bar_size, .handler = &msix_block_});
  set_bar(registers_bar, {.space = Space::memory64,
                          .size = registers_bar_size,
                          .handler = &registers_,
                          .moved = [this](std::optional<std::uint64_t> address) { place_events(address); }});
  for (QueueState& one : queues_) {
    one.notify.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!one.notify) base::throw_errno(errno, "eventfd");
  }
  for (std::size_t i = 0; i < queues_.size(); ++i) queues_[i].size = device_->traits().queue_sizes[i];
}

/// Calls `act` with the lock of the device's loop held; the main loop's is held already.
template <class Act>
auto PciTransport::with_device(Act act) {
  if (&loop_ == &main_) return act();
  const base::Lock lock(loop_.mutex());
  return act();
}

PciTransport::~PciTransport() {
  reset_device();
  with_device([this] { device_.reset(); });  // it ends as it lived, with its loop's lock held
}

void PciTransport::disconnect() {
  reset_device();
  Function::disconnect();
}

void PciTransport::reset() {
  reset_device();
  Function::reset();
}

// --- what the guest reads and writes

void PciTransport::read_config(std::uint64_t offset, std::span<std::uint8_t> value) {
  if (offset < window::data + 4 && offset + value.size() > window::data) window_access(false);
  Function::read_config(offset, value);
}

void PciTransport::write_config(std::uint64_t offset, std::span<const std::uint8_t> value) {
  const auto is_master = [this] {
    return (Function::config().get<std::uint16_t>(pci::reg::command) & pci::command::bus_master) != 0;
  };
  const bool was_master = is_master();
  Function::write_config(offset, value);
  // It may touch memory no longer (PCI 3.0 §6.2.2). A kernel that hands over to another one stops it so, without a
  // word.
  if (was_master && !is_master()) reset_device();
  if (offset < window::data + 4 && offset + value.size() > window::data) window_access(true);
}

void PciTransport::window_access(bool write) {
  pci::ConfigSpace& space = Function::config();
  const auto size = space.get<std::uint32_t>(window::length);
  const auto offset = space.get<std::uint32_t>(window::offset);
  if ((size != 1 && size != 2 && size != 4) || offset % size) return;
  const unsigned bar = space.get<std::uint8_t>(window::bar);
  bus::Handler* const block = bar == registers_bar ? &registers_ : bar == msix_bar ? &msix_block_ : nullptr;
  const std::uint64_t end = bar == registers_bar ? registers_bar_size : msix_bar_size;
  if (!block || offset + std::uint64_t{size} > end) return;
  std::array<std::uint8_t, 4> bytes{};
  if (write) {
    space.read(window::data, bytes);
    block->write(offset, std::span(bytes).first(size));
  } else {
    block->read(offset, std::span(bytes).first(size));
    for (std::uint32_t i = 0; i < size; ++i) space.set<std::uint8_t>(window::data + i, bytes[i]);
  }
}

void PciTransport::read_msix(std::uint64_t offset, std::span<std::uint8_t> value) {
  if (offset < msix()->table_size()) return msix()->read_table(offset, value);
  msix()->read_pending(offset - msix()->table_size(), value);
}

void PciTransport::write_msix(std::uint64_t offset, std::span<const std::uint8_t> value) {
  msix()->write_table(offset, value);
}

void PciTransport::read_registers(std::uint64_t offset, std::span<std::uint8_t> value) {
  std::ranges::fill(value, std::uint8_t{0});
  const std::uint64_t at = offset % part_size;
  switch (offset / part_size * part_size) {
    case common_at:
      bus::read_registers(common_registers, at, value, [this](Common id) { return load_common(id); });
      break;
    case isr_at:
      if (at == 0) value[0] = take_isr();
      break;
    case device_at:
      if (at + value.size() <= device_->traits().config_size) {
        with_device([&] { device_->read_config(at, value); });
      }
      break;
    default: break;
  }
}

void PciTransport::write_registers(std::uint64_t offset, std::span<const std::uint8_t> value) {
  const std::uint64_t at = offset % part_size;
  switch (offset / part_size * part_size) {
    case common_at:
      bus::write_registers(common_registers, at, value,
                           [this](Common id, std::uint64_t bits, std::uint64_t mask) { store_common(id, bits, mask); });
      break;
    case device_at:
      if (at + value.size() <= device_->traits().config_size) {
        with_device([&] { device_->write_config(at, value); });
      }
      break;
    case notify_at: notify(static_cast<unsigned>(at / notify_multiplier)); break;
    default: break;
  }
}

std::uint64_t PciTransport::load_common(Common id) {
  const QueueState* const queue = queue_select_ < queues_.size() ? &queues_[queue_select_] : nullptr;
  switch (id) {
    case Common::device_feature_select: return device_feature_select_;
    case Common::device_feature:
      return device_feature_select_ < 2
                 ? static_cast<std::uint32_t>(device_->traits().features >> (32 * device_feature_select_))
                 : 0;
    case Common::driver_feature_select: return driver_feature_select_;
    case Common::driver_feature:
      return driver_feature_select_ < 2 ? static_cast<std::uint32_t>(driver_features_ >> (32 * driver_feature_select_))
                                        : 0;
    case Common::config_msix_vector: return config_vector_;
    case Common::num_queues: return queues_.size();
    case Common::device_status: return status_;
    case Common::config_generation: return generation_;
    case Common::queue_select: return queue_select_;
    case Common::queue_size: return queue ? queue->size : 0;
    case Common::queue_msix_vector: return queue ? queue->vector.load() : no_vector;
    case Common::queue_enable: return queue && queue->enabled;
    case Common::queue_notify_off: return queue ? queue_select_ : 0;
    case Common::queue_desc: return queue ? queue->descriptors : 0;
    case Common::queue_driver: return queue ? queue->available : 0;
    case Common::queue_device: return queue ? queue->used : 0;
  }
  return 0;
}

std::uint16_t PciTransport::valid_vector(std::uint64_t vector) const {
  return vector <= queues_.size() ? static_cast<std::uint16_t>(vector) : no_vector;
}

void PciTransport::store_common(Common id, std::uint64_t value, std::uint64_t mask) {
  const auto merge = [&](std::uint64_t before) { return (before & ~mask) | (value & mask); };
  switch (id) {
    case Common::device_feature_select:
      device_feature_select_ = static_cast<std::uint32_t>(merge(device_feature_select_));
      break;
    case Common::driver_feature_select:
      driver_feature_select_ = static_cast<std::uint32_t>(merge(driver_feature_select_));
      break;
    case Common::driver_feature: {
      // Features are settled by FEATURES_OK (§2.2.1).
      if (driver_feature_select_ > 1 || (status_ & status::features_ok)) break;
      const unsigned shift = 32 * driver_feature_select_;
      const auto word = static_cast<std::uint32_t>(merge(driver_features_ >> shift & 0xffff'ffff));
      driver_features_ = (driver_features_ & ~(std::uint64_t{0xffff'ffff} << shift)) | std::uint64_t{word} << shift;
      break;
    }
    case Common::config_msix_vector: config_vector_ = valid_vector(merge(config_vector_)); break;
    case Common::device_status: set_status(static_cast<std::uint8_t>(value)); break;
    case Common::queue_select: queue_select_ = static_cast<std::uint16_t>(merge(queue_select_)); break;
    default: store_queue(id, value, mask); break;
  }
}

void PciTransport::store_queue(Common id, std::uint64_t value, std::uint64_t mask) {
  if (queue_select_ >= queues_.size()) return;
  QueueState& queue = queues_[queue_select_];
  const auto merge = [&](std::uint64_t before) { return (before & ~mask) | (value & mask); };
  if (id == Common::queue_msix_vector) {
    queue.vector = valid_vector(merge(queue.vector));
    return;
  }
  if (queue.enabled || (status_ & status::driver_ok)) return;  // a queue in use stays as it is (§4.1.4.3.2)
  switch (id) {
    case Common::queue_size: {
      const std::uint64_t size = merge(queue.size);
      if (std::has_single_bit(size) && size <= device_->traits().queue_sizes[queue_select_]) {
        queue.size = static_cast<std::uint16_t>(size);
      }
      break;
    }
    case Common::queue_enable: queue.enabled = merge(0) == 1; break;
    case Common::queue_desc: queue.descriptors = merge(queue.descriptors); break;
    case Common::queue_driver: queue.available = merge(queue.available); break;
    case Common::queue_device: queue.used = merge(queue.used); break;
    default: break;
  }
}

void PciTransport::set_status(std::uint8_t value) {
  if (value == 0) return reset_device();
  const std::uint8_t before = status_;
  std::uint8_t now = value | before;  // a driver takes no bit back but by a reset (§2.1.1)
  if ((now & ~before) & status::features_ok) {
    const bool acceptable =
        !(driver_features_ & ~device_->traits().features) && (driver_features_ & feature::version_1);
    if (!acceptable) now = static_cast<std::uint8_t>(now & ~status::features_ok);
  }
  const bool start = (now & ~before) & status::driver_ok;
  if (start && !(now & status::features_ok)) now = static_cast<std::uint8_t>(now & ~status::driver_ok);
  status_ = now;
  if (start && (now & status::driver_ok)) activate();
}

void PciTransport::activate() {
  Active active{memory_, *this, driver_features_, {}, {}};
  for (std::size_t i = 0; i < queues_.size(); ++i) {
    QueueState& one = queues_[i];
    active.notify_fds.push_back(one.notify.get());
    if (!one.enabled) {
      active.queues.emplace_back();
      continue;
    }
    auto queue = Queue::make(memory_, {.size = one.size,
                                       .descriptors = one.descriptors,
                                       .available = one.available,
                                       .used = one.used,
                                       .longest = device_->traits().queue_sizes[i],
                                       .event_index = (driver_features_ & feature::event_idx) != 0,
                                       .indirect = (driver_features_ & feature::indirect_desc) != 0});
    if (!queue) return needs_reset();
    active.queues.push_back(queue);
  }
  const bool served = with_device([&] {
    if (!device_->activate(std::move(active))) return false;
    if (device_->watches_queues()) return true;
    for (unsigned index = 0; index < queues_.size(); ++index) {
      QueueState& one = queues_[index];
      if (!one.enabled) continue;
      one.watch = loop_.watch(one.notify.get(), EPOLLIN, [this, index](std::uint32_t) {
        std::uint64_t times;
        if (::read(queues_[index].notify.get(), &times, sizeof times) > 0) device_->queue_ready(index);
      });
    }
    return true;
  });
  if (!served) return needs_reset();
  update_events();
}

void PciTransport::reset_device() {
  for (QueueState& one : queues_) one.event.reset();
  with_device([&] {
    for (QueueState& one : queues_) {
      one.watch.end();
      std::uint64_t times;
      // NOLINTNEXTLINE(clang-analyzer-unix.BlockInCriticalSection): the descriptor is one that never blocks
      [[maybe_unused]] const auto dropped = ::read(one.notify.get(), &times, sizeof times);
    }
    if (status_ & status::driver_ok) device_->reset();
  });
  status_ = 0;
  take_isr();
  generation_ = 0;
  config_vector_ = no_vector;
  device_feature_select_ = driver_feature_select_ = 0;
  driver_features_ = 0;
  queue_select_ = 0;
  for (std::size_t i = 0; i < queues_.size(); ++i) {
    QueueState& one = queues_[i];
    one.size = device_->traits().queue_sizes[i];
    one.vector = no_vector;
    one.enabled = false;
    one.descriptors = one.available = one.used = 0;
  }
}

// --- notifications from the driver

void PciTransport::notify(unsigned index) {
  if (index >= queues_.size()) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(queues_[index].notify.get(), &one, sizeof one);
}

void PciTransport::place_events(std::optional<std::uint64_t> registers) {
  for (QueueState& one : queues_) one.event.reset();
  registers_address_ = registers;
  update_events();
}

/// Lets the hypervisor set the queues' eventfds itself, while there is a driver to write and a place for it to write
/// to.
void PciTransport::update_events() {
  if (!registers_address_ || !(status_ & status::driver_ok)) return;
  for (unsigned index = 0; index < queues_.size(); ++index) {
    QueueState& one = queues_[index];
    if (!one.enabled) continue;
    constexpr unsigned any_size = 0;  // drivers write the queue's number in two bytes or in four
    try {
      one.event = hypervisor_.on_write(*registers_address_ + notify_at + std::uint64_t{index} * notify_multiplier,
                                       any_size, {}, one.notify.get());
    } catch (const std::system_error&) {
      // No room for another, or another device's registers lie there too: the write comes to write_registers().
    }
  }
}

// --- interrupts to the driver

void PciTransport::interrupt(std::uint8_t isr, std::uint16_t vector) {
  if (msix()->enabled()) {
    if (vector != no_vector) msix()->send(vector);
    return;
  }
  const base::Lock lock(isr_mutex_);
  isr_ = static_cast<std::uint8_t>(isr_ | isr);
  set_intx(true);
}

std::uint8_t PciTransport::take_isr() {
  const base::Lock lock(isr_mutex_);
  set_intx(false);
  return std::exchange(isr_, std::uint8_t{0});
}

void PciTransport::queue(unsigned index) {
  if (index < queues_.size()) interrupt(isr_queue, queues_[index].vector);
}

void PciTransport::config() {
  ++generation_;
  interrupt(isr_config, config_vector_);
}

void PciTransport::needs_reset() {
  status_ |= status::needs_reset;
  if (status_ & status::driver_ok) interrupt(isr_config, config_vector_);
}

int PciTransport::queue_eventfd(unsigned index) {
  const std::uint16_t vector = index < queues_.size() ? queues_[index].vector.load() : no_vector;
  return msix()->enabled() ? msix()->eventfd(vector) : -1;
}

}  // namespace virtio
