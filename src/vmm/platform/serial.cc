#include "vmm/platform/serial.h"

#include <algorithm>
#include <utility>

#include "vmm/platform/serial_registers.h"

namespace platform {

using namespace uart;

Serial::Serial(chardev::Chardev& chardev, std::function<void(bool)> interrupt)
    : chardev_(chardev), interrupt_(std::move(interrupt)) {
  chardev_.attach({.room =
                       [this] {
                         return received_.size() < fifo_size && !(modem_control_ & mcr::loop)
                                    ? fifo_size - received_.size()
                                    : 0;
                       },
                   .take =
                       [this](std::span<const std::uint8_t> bytes) {
                         for (const std::uint8_t byte : bytes) receive(byte);
                         update();
                       },
                   .writable =
                       [this] {
                         while (!unsent_.empty()) {
                           const std::uint8_t byte = unsent_.front();
                           if (chardev_.write({&byte, 1}) == 0) return;
                           unsent_.pop_front();
                         }
                         transmit_event_ = true;
                         update();
                       }});
}

Serial::~Serial() {
  chardev_.attach({});
}

void Serial::reset() {
  received_.clear();
  divisor_ = 12;
  interrupt_enable_ = fifo_control_ = line_control_ = modem_control_ = 0;
  transmit_event_ = overrun_ = false;
  update();
  chardev_.room_again();
}

void Serial::receive(std::uint8_t byte) {
  const std::size_t room = fifo_control_ & fcr::enable ? fifo_size : 1;
  if (received_.size() >= fifo_size || (modem_control_ & mcr::loop && received_.size() >= room)) {
    overrun_ = true;
    return;
  }
  received_.push_back(byte);
}

void Serial::transmit(std::uint8_t byte) {
  if (modem_control_ & mcr::loop) {
    receive(byte);
    transmit_event_ = true;
  } else if (unsent_.empty() && chardev_.write({&byte, 1}) == 1) {
    transmit_event_ = true;
  } else if (unsent_.size() < fifo_size) {
    unsent_.push_back(byte);  // the guest waits for THRE until it is out
    transmit_event_ = false;
  }
}

/// By priority (§8.6.1).
std::uint8_t Serial::interrupt_id() const {
  if ((interrupt_enable_ & ier::line) && overrun_) return iir::line;
  if ((interrupt_enable_ & ier::received) && !received_.empty()) return iir::received;
  if ((interrupt_enable_ & ier::transmit_empty) && transmit_event_) return iir::transmit_empty;
  return iir::none;
}

void Serial::update() {
  interrupt_(interrupt_id() != iir::none);
}

std::uint8_t Serial::modem_status() const {
  if (!(modem_control_ & mcr::loop)) return msr::cts | msr::dsr | msr::carrier;
  std::uint8_t status = 0;
  const auto wire = [&](std::uint8_t from, std::uint8_t to) {
    if (modem_control_ & from) status = static_cast<std::uint8_t>(status | to);
  };
  wire(mcr::rts, msr::cts);
  wire(mcr::dtr, msr::dsr);
  wire(mcr::out1, msr::ring);
  wire(mcr::out2, msr::carrier);
  return status;
}

std::uint8_t Serial::load(std::uint64_t at) {
  const bool divisor = line_control_ & divisor_access;
  switch (at) {
    case data: {
      if (divisor) return static_cast<std::uint8_t>(divisor_);
      if (received_.empty()) return 0;
      const std::uint8_t byte = received_.front();
      received_.pop_front();
      chardev_.room_again();
      return byte;
    }
    case interrupt_enable: return divisor ? static_cast<std::uint8_t>(divisor_ >> 8) : interrupt_enable_;
    case uart::interrupt_id: {
      const std::uint8_t id = interrupt_id();
      if (id == iir::transmit_empty) transmit_event_ = false;  // told now
      return static_cast<std::uint8_t>(id | (fifo_control_ & fcr::enable ? iir::fifos : 0));
    }
    case line_control: return line_control_;
    case modem_control: return modem_control_;
    case line_status: {
      std::uint8_t status = received_.empty() ? 0 : lsr::ready;
      if (unsent_.empty())
        status = static_cast<std::uint8_t>(status | lsr::transmit_holding_empty | lsr::transmit_empty);
      if (std::exchange(overrun_, false)) status = static_cast<std::uint8_t>(status | lsr::overrun);
      return status;
    }
    case uart::modem_status: return modem_status();
    case scratch: return scratch_;
    default: return 0;
  }
}

void Serial::store(std::uint64_t at, std::uint8_t value) {
  const bool divisor = line_control_ & divisor_access;
  switch (at) {
    case data:
      if (divisor) {
        divisor_ = static_cast<std::uint16_t>((divisor_ & 0xff00) | value);
      } else {
        transmit(value);
      }
      break;
    case interrupt_enable:
      if (divisor) {
        divisor_ = static_cast<std::uint16_t>((divisor_ & 0xff) | value << 8);
      } else {
        // Enabling it while there is nothing to send is an event (§8.7).
        if ((value & ~interrupt_enable_ & ier::transmit_empty) && unsent_.empty()) transmit_event_ = true;
        interrupt_enable_ = value & ier::mask;
      }
      break;
    case fifo_control:
      if ((value ^ fifo_control_) & fcr::enable) received_.clear();
      if (value & fcr::clear_receive) received_.clear();
      fifo_control_ = value & fcr::enable;
      chardev_.room_again();
      break;
    case line_control: line_control_ = value; break;
    case modem_control:
      modem_control_ = value & mcr::mask;
      chardev_.room_again();
      break;
    case scratch: scratch_ = value; break;
    default: break;
  }
}

void Serial::read(std::uint64_t offset, std::span<std::uint8_t> value) {
  for (std::size_t i = 0; i < value.size(); ++i) value[i] = load(offset + i);
  update();
}

void Serial::write(std::uint64_t offset, std::span<const std::uint8_t> value) {
  for (std::size_t i = 0; i < value.size(); ++i) store(offset + i, value[i]);
  update();
}

}  // namespace platform
