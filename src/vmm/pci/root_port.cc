#include "vmm/pci/root_port.h"

#include <stdexcept>
#include <utility>

#include "vmm/pci/registers.h"

namespace pci {
namespace {

constexpr Identity identity{.vendor = 0x1b36, .device = 0x000c, .class_code = 0x060400, .interrupt_pin = 1};
constexpr std::uint8_t express_at = 0x40, msix_at = 0x7c;
constexpr std::uint64_t bar_size = 4096;
constexpr std::uint32_t pending_at = 0x10;

/// The PCI Express capability structure (PCIe 5.0 §7.5.3), by offset from its start.
namespace express {
constexpr std::size_t flags = 0x02, device_capabilities = 0x04, device_control = 0x08, device_status = 0x0a,
                      link_capabilities = 0x0c, link_control = 0x10, link_status = 0x12, slot_capabilities = 0x14,
                      slot_control = 0x18, slot_status = 0x1a, root_control = 0x1c, device_capabilities2 = 0x24,
                      device_control2 = 0x28, link_capabilities2 = 0x2c, link_control2 = 0x30, size = 0x3c;
constexpr std::uint16_t version2_root_port_with_slot = 0x2 | 0x4 << 4 | 1 << 8;
constexpr std::uint32_t role_based_errors = 1U << 15;
constexpr std::uint32_t speed_16gt = 4, width_32 = 32U << 4, link_active_reporting = 1U << 20;
constexpr std::uint16_t link_active = 1 << 13;
}  // namespace express

namespace slot {
constexpr std::uint32_t attention_button = 1 << 0, power_controller = 1 << 1, attention_indicator = 1 << 3,
                        power_indicator = 1 << 4, hotplug_capable = 1 << 6, number_shift = 19;
// Control.
constexpr std::uint16_t hotplug_interrupt_enable = 1 << 5, power_indicator_on = 1 << 8, power_indicator_off = 3 << 8,
                        power_indicator_blink = 2 << 8, power_indicator_mask = 3 << 8, attention_indicator_off = 3 << 6,
                        power_off = 1 << 10, writable = 0x1fff;
// Status; the first five can be enabled by the same bits of the control register.
constexpr std::uint16_t button_pressed = 1 << 0, presence_changed = 1 << 3, command_completed = 1 << 4,
                        presence = 1 << 6, link_changed = 1 << 8;
constexpr std::uint16_t link_changed_enable = 1 << 12;
constexpr std::uint16_t events = 0x1f | link_changed;
}  // namespace slot

/// By the slot's control register: what is in it can be taken out.
bool powered_off(std::uint16_t control) {
  return (control & slot::power_off) && (control & slot::power_indicator_mask) == slot::power_indicator_off;
}

constexpr std::uint8_t bridge_header = 1;

}  // namespace

RootPort::RootPort(const RootPortConfig& config, Bus& parent, unsigned slot, std::function<void()> unplugged)
    : Function(config.id, identity),
      secondary_(
          parent.memory(), parent.ports(), parent.interrupts(),
          // The bridge's swizzle: pins of a device turn by its slot (PCI-to-PCI Bridge 1.2 §9.1).
          [&parent, slot](unsigned behind, unsigned pin, bool high) { parent.intx()(slot, (behind + pin) % 4, high); }),
      unplugged_(std::move(unplugged)) {
  ConfigSpace& space = this->config();
  space.set<std::uint8_t>(reg::header_type, bridge_header);
  space.make_writable<std::uint8_t>(reg::primary_bus, 0xff);
  space.make_writable<std::uint8_t>(reg::secondary_bus, 0xff);
  space.make_writable<std::uint8_t>(reg::subordinate_bus, 0xff);
  space.set<std::uint16_t>(reg::io_base, 0x0101);  // 32-bit I/O addressing
  space.make_writable<std::uint16_t>(reg::io_base, 0xf0f0);
  space.make_writable<std::uint32_t>(reg::memory_base, 0xfff0'fff0);
  space.set<std::uint32_t>(reg::prefetchable_base, 0x0001'0001);  // 64-bit
  space.make_writable<std::uint32_t>(reg::prefetchable_base, 0xfff0'fff0);
  space.make_writable<std::uint32_t>(reg::prefetchable_base_upper, ~0U);
  space.make_writable<std::uint32_t>(reg::prefetchable_limit_upper, ~0U);
  space.make_writable<std::uint32_t>(reg::io_base_upper, ~0U);
  space.make_writable<std::uint16_t>(reg::bridge_control, 0x0043);  // parity, SERR#, secondary reset
  space.make_cleared_by_one<std::uint16_t>(reg::secondary_status, status::errors);

  const std::array<std::uint8_t, express::size - 2> body{};
  express_ = space.add_capability(capability::express, body, express_at);
  const auto at = [this](std::size_t offset) { return express_ + offset; };
  space.set<std::uint16_t>(at(express::flags), express::version2_root_port_with_slot);
  space.set<std::uint32_t>(at(express::device_capabilities), express::role_based_errors);
  space.make_writable<std::uint16_t>(at(express::device_control), 0x000f);
  space.make_cleared_by_one<std::uint16_t>(at(express::device_status), 0x000f);
  space.set<std::uint32_t>(at(express::link_capabilities), express::speed_16gt | express::width_32 |
                                                               express::link_active_reporting |
                                                               std::uint32_t{config.port} << 24);
  space.make_writable<std::uint16_t>(at(express::link_control), 0x00fb);
  space.set<std::uint16_t>(at(express::link_status), express::speed_16gt | express::width_32);
  space.set<std::uint32_t>(at(express::slot_capabilities), slot::attention_button | slot::power_controller |
                                                               slot::attention_indicator | slot::power_indicator |
                                                               slot::hotplug_capable |
                                                               std::uint32_t{config.chassis} << slot::number_shift);
  space.make_writable<std::uint16_t>(at(express::slot_control), slot::writable);
  space.make_cleared_by_one<std::uint16_t>(at(express::slot_status), slot::events);
  space.make_writable<std::uint16_t>(at(express::root_control), 0x000f);
  space.make_writable<std::uint16_t>(at(express::device_control2), 0x0020);  // ARI forwarding
  space.set<std::uint32_t>(at(express::device_capabilities2), 0x20);
  space.set<std::uint32_t>(at(express::link_capabilities2), 0x1e);  // 2.5 to 16 GT/s
  space.set<std::uint16_t>(at(express::link_control2), express::speed_16gt);
  space.set<std::uint16_t>(at(express::slot_control),
                           slot::attention_indicator_off | slot::power_indicator_off | slot::power_off);

  add_msix(1, 0, 0, pending_at, msix_at);
  set_bar(0, {.space = Space::memory32, .size = bar_size, .handler = this});
}

unsigned RootPort::secondary_number() const {
  return config().get<std::uint8_t>(reg::secondary_bus);
}

void RootPort::read(std::uint64_t offset, std::span<std::uint8_t> value) {
  if (offset < pending_at) {
    msix()->read_table(offset, value);
  } else {
    msix()->read_pending(offset - pending_at, value);
  }
}

void RootPort::write(std::uint64_t offset, std::span<const std::uint8_t> value) {
  if (offset < pending_at) msix()->write_table(offset, value);
}

void RootPort::plug(bool running) {
  ConfigSpace& space = config();
  space.set_bits<std::uint16_t>(express_ + express::slot_status, slot::presence, true);
  space.set_bits<std::uint16_t>(express_ + express::link_status, express::link_active, true);
  if (running) {
    slot_event(slot::presence_changed | slot::button_pressed);
  } else {  // it was there from the start, with power
    space.set_bits<std::uint16_t>(express_ + express::slot_control, slot::power_off | slot::power_indicator_mask,
                                  false);
    space.set_bits<std::uint16_t>(express_ + express::slot_control, slot::power_indicator_on, true);
  }
}

void RootPort::unplug() {
  const auto control = config().get<std::uint16_t>(express_ + express::slot_control);
  if ((control & slot::power_indicator_mask) == slot::power_indicator_blink) {
    throw std::runtime_error("the guest is busy with the slot: its power indicator blinks");
  }
  removing_ = true;
  declined_ = false;
  if (powered_off(control)) {
    unplugged_();  // nobody is to be asked
  } else {
    slot_event(slot::button_pressed);
  }
}

void RootPort::emptied() {
  removing_ = declined_ = false;
  config().set_bits<std::uint16_t>(express_ + express::slot_status, slot::presence, false);
  config().set_bits<std::uint16_t>(express_ + express::link_status, express::link_active, false);
  slot_event(slot::presence_changed);
}

void RootPort::slot_event(std::uint16_t events) {
  config().set_bits<std::uint16_t>(express_ + express::slot_status, events, true);
  notify();
}

/// A hot-plug interrupt for each event that is enabled and stands (PCIe 5.0 §6.7.3.4).
void RootPort::notify() {
  const auto control = config().get<std::uint16_t>(express_ + express::slot_control);
  const auto status = config().get<std::uint16_t>(express_ + express::slot_status);
  const bool event =
      (status & control & 0x1f) || ((status & slot::link_changed) && (control & slot::link_changed_enable));
  const bool wanted = event && (control & slot::hotplug_interrupt_enable);
  if (msix()->enabled()) {
    if (wanted) msix()->send(0);
  } else {
    set_intx(wanted);
  }
}

void RootPort::write_config(std::uint64_t offset, std::span<const std::uint8_t> value) {
  ConfigSpace& space = config();
  const std::size_t control_at = express_ + express::slot_control;
  const auto before = space.get<std::uint16_t>(control_at);
  const auto bridge_before = space.get<std::uint16_t>(reg::bridge_control);
  Function::write_config(offset, value);
  const auto touches = [&](std::size_t begin, std::size_t length) {
    return offset < begin + length && begin < offset + value.size();
  };
  if (touches(reg::bridge_control, 2) &&
      (space.get<std::uint16_t>(reg::bridge_control) & ~bridge_before & bridge_control::secondary_reset)) {
    reset_secondary();
  }
  if (touches(control_at, 2)) {
    const auto now = space.get<std::uint16_t>(control_at);
    const bool turned_off = (now & slot::power_off) && !(before & slot::power_off);
    if (turned_off && occupied()) reset_secondary();
    if (!(now & slot::power_off)) {
      declined_ = removing_ && (now & slot::power_indicator_mask) == slot::power_indicator_on;
    }
    if (powered_off(now) && !powered_off(before) && occupied() && removing_ && !declined_) unplugged_();
    slot_event(slot::command_completed);
  } else if (touches(express_ + express::slot_status, 2)) {
    notify();
  }
}

void RootPort::reset_secondary() {
  secondary_.each([](Function& function) { function.reset(); });
}

void RootPort::reset() {
  Function::reset();
  ConfigSpace& space = config();
  for (const std::size_t at : {reg::primary_bus, reg::secondary_bus, reg::subordinate_bus})
    space.set<std::uint8_t>(at, 0);
  space.set<std::uint16_t>(reg::io_base, 0x0101);
  space.set<std::uint32_t>(reg::memory_base, 0);
  space.set<std::uint32_t>(reg::prefetchable_base, 0x0001'0001);
  space.set<std::uint32_t>(reg::prefetchable_base_upper, 0);
  space.set<std::uint32_t>(reg::prefetchable_limit_upper, 0);
  space.set<std::uint32_t>(reg::io_base_upper, 0);
  space.set<std::uint16_t>(reg::bridge_control, 0);
  space.set<std::uint16_t>(express_ + express::slot_control,
                           slot::attention_indicator_off | slot::power_indicator_off | slot::power_off);
  space.set<std::uint16_t>(express_ + express::slot_status, occupied() ? slot::presence : 0);
  reset_secondary();
  if (!occupied()) return;
  if (std::exchange(removing_, false) && !std::exchange(declined_, false)) {
    unplugged_();  // the guest that was asked is gone
  } else {
    plug(false);
  }
}

}  // namespace pci
