#include "vmm/platform/power.h"

#include "vmm/platform/power_registers.h"

namespace platform {
namespace {

constexpr std::int64_t frequency = 3'579'545, second = 1'000'000'000;
constexpr std::uint32_t carry_every = 1U << 31;  // of 32 bits, as the FADT says
/// The clock's alarm never comes, but Linux reports an error where its bit does not stick.
constexpr std::uint16_t meant = pm1::timer_carry | pm1::global_lock | pm1::power_button | pm1::clock_alarm;

}  // namespace

Power::Power(loop::Loop& loop, std::function<void(bool)> sci, std::function<void()> off)
    : loop_(loop), sci_(std::move(sci)), off_(std::move(off)), carry_(loop, [this] {
        status_ |= pm1::timer_carry;
        update();
      }) {}

std::uint32_t Power::ticks() const {
  const std::int64_t now = loop_.clock().now();
  return static_cast<std::uint32_t>(now / second * frequency + now % second * frequency / second);
}

void Power::press_button() {
  status_ |= pm1::power_button;
  update();
}

void Power::reset() {
  status_ = enable_ = control_ = 0;
  update();
}

void Power::update() {
  sci_((status_ & enable_) != 0);
  if (!(enable_ & pm1::timer_carry) || (status_ & pm1::timer_carry)) {
    carry_.cancel();
  } else if (!carry_.is_set()) {
    const std::int64_t left = carry_every - ticks() % carry_every;
    carry_.set(loop_.clock().now() + (left * second + frequency - 1) / frequency);
  }
}

void Power::read(std::uint64_t offset, std::span<std::uint8_t> value) {
  bus::read_registers(power_registers, offset, value, [this](PowerRegister id) -> std::uint64_t {
    switch (id) {
      case PowerRegister::status: return status_;
      case PowerRegister::enable: return enable_;
      case PowerRegister::control: return control_ | pm1::sci_enable;  // there is no other mode
      case PowerRegister::timer: return ticks();
    }
    return 0;
  });
}

void Power::write(std::uint64_t offset, std::span<const std::uint8_t> value) {
  bus::write_registers(
      power_registers, offset, value, [this](PowerRegister id, std::uint64_t bits, std::uint64_t mask) {
        const auto merged = [&](std::uint16_t before) { return static_cast<std::uint16_t>((before & ~mask) | bits); };
        switch (id) {
          case PowerRegister::status: status_ = static_cast<std::uint16_t>(status_ & ~bits); break;
          case PowerRegister::enable: enable_ = merged(enable_) & meant; break;
          case PowerRegister::control:
            control_ = merged(control_) & pm1::sleep_type_mask;
            if ((bits & pm1::sleep_enable) && control_ == pm1::soft_off) off_();
            break;
          case PowerRegister::timer: break;
        }
      });
  update();
}

}  // namespace platform
