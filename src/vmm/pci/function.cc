#include "vmm/pci/function.h"

#include <algorithm>
#include <utility>

#include "vmm/pci/registers.h"

namespace pci {
namespace {

std::size_t bar_register(unsigned index) {
  return reg::bar0 + std::size_t{4} * index;
}

}  // namespace

Function::Function(std::string id, const Identity& identity) : id_(std::move(id)) {
  config_.set<std::uint16_t>(reg::vendor, identity.vendor);
  config_.set<std::uint16_t>(reg::device, identity.device);
  config_.set<std::uint8_t>(reg::revision, identity.revision);
  config_.set<std::uint8_t>(reg::class_code, static_cast<std::uint8_t>(identity.class_code));
  config_.set<std::uint16_t>(reg::class_code + 1, static_cast<std::uint16_t>(identity.class_code >> 8));
  config_.set<std::uint16_t>(reg::subsystem_vendor, identity.subsystem_vendor);
  config_.set<std::uint16_t>(reg::subsystem, identity.subsystem);
  config_.set<std::uint8_t>(reg::interrupt_pin, identity.interrupt_pin);
  config_.make_writable<std::uint16_t>(reg::command, command::io | command::memory | command::bus_master |
                                                         command::parity | command::serr | command::intx_disable);
  config_.make_cleared_by_one<std::uint16_t>(reg::status, status::errors);
  config_.make_writable<std::uint8_t>(reg::interrupt_line, 0xff);
}

void Function::set_bar(unsigned index, Bar bar) {
  const std::size_t at = bar_register(index);
  const bool memory = bar.space != Space::io;
  const std::uint64_t mask = ~(bar.size - 1);
  config_.set<std::uint32_t>(at, !memory ? 1U : bar.space == Space::memory64 ? 4U : 0U);
  config_.make_writable<std::uint32_t>(at, static_cast<std::uint32_t>(mask) & (memory ? ~0xfU : ~0x3U));
  if (bar.space == Space::memory64)
    config_.make_writable<std::uint32_t>(at + 4, static_cast<std::uint32_t>(mask >> 32));
  bars_[index].bar = std::move(bar);
}

Msix& Function::add_msix(unsigned vectors, unsigned bar, std::uint32_t table, std::uint32_t pending, std::uint8_t at) {
  msix_ = std::make_unique<Msix>(vectors);
  std::array<std::uint8_t, 10> body{};
  const auto put = [&](std::size_t offset, std::uint32_t value, unsigned size) {
    for (unsigned i = 0; i < size; ++i) body[offset - 2 + i] = static_cast<std::uint8_t>(value >> (8 * i));
  };
  put(msix::control, vectors - 1, 2);
  put(msix::table, table | bar, 4);
  put(msix::pending, pending | bar, 4);
  msix_offset_ = config_.add_capability(capability::msix, body, at);
  config_.make_writable<std::uint16_t>(msix_offset_ + msix::control, msix::enable | msix::function_mask);
  return *msix_;
}

void Function::connect(Connection connection) {
  connection_.emplace(std::move(connection));
  if (msix_) msix_->connect(connection_->interrupts);
  place_bars();
  drive_intx();
}

void Function::disconnect() {
  set_intx(false);
  for (Placed& one : bars_) {
    one.place.end();
    if (std::exchange(one.address, {}) && one.bar.moved) one.bar.moved({});
  }
  if (msix_) msix_->disconnect();
  connection_.reset();
}

void Function::read_config(std::uint64_t offset, std::span<std::uint8_t> value) {
  {
    const base::Lock lock(intx_mutex_);
    config_.set_bits<std::uint16_t>(reg::status, status::interrupt, intx_wanted_);
  }
  config_.read(offset, value);
}

void Function::write_config(std::uint64_t offset, std::span<const std::uint8_t> value) {
  config_.write(offset, value);
  const auto touches = [&](std::size_t begin, std::size_t length) {
    return offset < begin + length && begin < offset + value.size();
  };
  if (touches(reg::command, 2) || touches(reg::bar0, std::size_t{4} * bars)) place_bars();
  if (touches(reg::command, 2)) {
    {
      const base::Lock lock(intx_mutex_);
      intx_disabled_ = config_.get<std::uint16_t>(reg::command) & command::intx_disable;
    }
    drive_intx();
  }
  if (msix_ && touches(msix_offset_ + msix::control, 2)) {
    msix_->set_control(config_.get<std::uint16_t>(msix_offset_ + msix::control));
    drive_intx();
  }
}

void Function::reset() {
  config_.set<std::uint16_t>(reg::command, 0);
  config_.set<std::uint8_t>(reg::interrupt_line, 0);
  for (unsigned index = 0; index < bars; ++index) {
    const Bar& bar = bars_[index].bar;
    if (!bar.size) continue;
    const std::size_t at = bar_register(index);
    config_.set<std::uint32_t>(at, config_.get<std::uint32_t>(at) & (bar.space == Space::io ? 3U : 0xfU));
    if (bar.space == Space::memory64) config_.set<std::uint32_t>(at + 4, 0);
  }
  if (msix_) {
    config_.set_bits<std::uint16_t>(msix_offset_ + msix::control, msix::enable | msix::function_mask, false);
    msix_->reset();
  }
  place_bars();
  {
    const base::Lock lock(intx_mutex_);
    intx_disabled_ = false;
  }
  set_intx(false);
}

/// Where a block answers by its registers; nowhere while decoding is off or the register holds what sizing wrote.
std::optional<std::uint64_t> Function::decoded(unsigned index) const {
  const Bar& bar = bars_[index].bar;
  const auto enabled = config_.get<std::uint16_t>(reg::command);
  const bool io = bar.space == Space::io;
  if (!bar.size || !(enabled & (io ? command::io : command::memory))) return {};
  const std::size_t at = bar_register(index);
  std::uint64_t address = config_.get<std::uint32_t>(at) & (io ? ~std::uint32_t{3} : ~std::uint32_t{0xf});
  if (bar.space == Space::memory64) address |= std::uint64_t{config_.get<std::uint32_t>(at + 4)} << 32;
  const std::uint64_t last = address + bar.size - 1;
  const std::uint64_t top = io ? 0xffff : bar.space == Space::memory32 ? 0xffff'fffe : ~std::uint64_t{0} - 1;
  if (address == 0 || last < address || last > top) return {};
  return address;
}

void Function::place_bars() {
  if (!connection_) return;
  for (unsigned index = 0; index < bars; ++index) {
    Placed& one = bars_[index];
    const auto address = decoded(index);
    if (address == one.address) continue;
    one.address = address;
    one.place.end();
    if (address && one.bar.handler) {
      bus::Bus& space = one.bar.space == Space::io ? connection_->ports : connection_->memory;
      one.place = space.place(*address, one.bar.size, *one.bar.handler);
    }
    if (one.bar.moved) one.bar.moved(address);
  }
}

void Function::set_intx(bool high) {
  {
    const base::Lock lock(intx_mutex_);
    intx_wanted_ = high;
  }
  drive_intx();
}

void Function::drive_intx() {
  const base::Lock lock(intx_mutex_);
  if (!connection_) return;
  const bool high = intx_wanted_ && !intx_disabled_ && !(msix_ && msix_->enabled());
  if (high == intx_driven_) return;
  intx_driven_ = high;
  if (connection_->intx) connection_->intx(high);
}

}  // namespace pci
