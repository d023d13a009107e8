#include "vmm/platform/reset_ports.h"

#include <algorithm>

namespace platform {

void ResetControl::read(std::uint64_t, std::span<std::uint8_t> value) {
  std::ranges::fill(value, std::uint8_t{0});
  value[0] = value_;
}

void ResetControl::write(std::uint64_t, std::span<const std::uint8_t> value) {
  constexpr std::uint8_t full = 1 << 3, reset = 1 << 2, system = 1 << 1;
  const bool rises = (value[0] & reset) && !(value_ & reset);
  value_ = value[0] & (full | system);
  if (rises) reset_();
}

namespace {

constexpr std::uint64_t data = 0, command_status = 4;
constexpr std::uint8_t output_full = 1 << 0, self_test_passed = 1 << 2, last_was_command = 1 << 3;
enum Command : std::uint8_t {
  read_control = 0x20,
  write_control = 0x60,
  test_second_port = 0xa9,
  self_test = 0xaa,
  test_first_port = 0xab,
  read_output_port = 0xd0,
  write_output_port = 0xd1,
  pulse_reset = 0xfe,
};
constexpr std::uint8_t not_in_reset = 1;  // of the output port

}  // namespace

void KeyboardController::answer(std::uint8_t byte) {
  output_ = byte;
  full_ = true;
}

void KeyboardController::read(std::uint64_t offset, std::span<std::uint8_t> value) {
  std::ranges::fill(value, std::uint8_t{0xff});
  if (offset == data) {
    value[0] = output_;
    full_ = false;
  } else if (offset == command_status) {
    value[0] = static_cast<std::uint8_t>(self_test_passed | last_was_command | (full_ ? output_full : 0));
  }
}

void KeyboardController::write(std::uint64_t offset, std::span<const std::uint8_t> value) {
  if (offset == command_status) {
    command(value[0]);
  } else if (offset == data) {
    if (pending_ == write_control) control_ = value[0];
    if (pending_ == write_output_port && !(value[0] & not_in_reset)) reset_();
    pending_ = 0;
  }
}

void KeyboardController::command(std::uint8_t code) {
  constexpr std::uint8_t passed = 0x55, nothing_there = 0x01;
  pending_ = 0;
  switch (code) {
    case read_control: answer(control_); break;
    case self_test: answer(passed); break;
    case test_first_port:
    case test_second_port: answer(nothing_there); break;
    case read_output_port: answer(not_in_reset); break;
    case write_control:
    case write_output_port: pending_ = code; break;
    case pulse_reset: reset_(); break;
    default: break;
  }
}

}  // namespace platform
