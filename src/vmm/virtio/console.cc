#include "vmm/virtio/console.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace virtio {

using namespace console_layout;

namespace {

constexpr std::uint32_t bit(Event event) {
  return 1U << static_cast<unsigned>(event);
}

/// In this order is a driver told of what is new: that the port before is gone, that there is one, what it is.
constexpr Event telling_order[] = {Event::device_remove, Event::device_add, Event::console_port,
                                   Event::port_name,     Event::port_open,  Event::resize};

/// What is said of a port only once its driver has said that it is ready for it.
constexpr std::uint32_t of_ready_ports =
    bit(Event::console_port) | bit(Event::port_name) | bit(Event::port_open) | bit(Event::resize);

/// Linux waits with its interrupts off until a console has taken what it was given; a peer that does not read must not
/// stop a processor for longer than this, ns.
constexpr std::int64_t console_patience = 1'000'000'000;

/// Bytes that one port puts out before others have their turn.
constexpr std::size_t most_in_turn = std::size_t{1} << 20;

}  // namespace

Console::Console(const ConsoleConfig& config)
    : max_ports_(std::clamp(config.max_ports, 1U, 31U)),
      traits_{.type = 3,
              .features = size_feature | multiport_feature | feature::version_1,
              .queue_sizes = std::vector<std::uint16_t>(2 * (std::size_t{max_ports_} + 1), port_queue_size),
              .config_size = config_size,
              .class_code = 0x078000} {
  traits_.queue_sizes[control_receive] = traits_.queue_sizes[control_transmit] = control_queue_size;
}

Console::~Console() {
  for (auto& [number, port] : ports_) {
    if (port.chardev) port.chardev->attach({});
  }
}

// --- ports

bool Console::add_port(unsigned number, chardev::Chardev& chardev, bool console, std::string name) {
  if (number >= max_ports_) return false;
  Port& port = ports_[number];
  if (port.chardev) return false;
  port.chardev = &chardev;
  port.console = console;
  port.name = std::move(name);
  port.cols = port.rows = 0;
  port.open = active_ && !multiport();
  attach(number, port);
  tell(port, Event::device_add);
  if (active_) queue_ready(receive_queue(number) + 1);
  return true;
}

void Console::attach(unsigned number, Port& port) {
  port.chardev->attach(
      {.room = [this, number] { return room(number); },
       .take = [this, number](std::span<const std::uint8_t> bytes) { receive(number, bytes); },
       .writable = [this, number] { send_output(number); },
       .patience = port.console ? std::optional(console_patience) : std::nullopt,
       .connected =
           [this, number](bool) {
             Port& one = ports_.at(number);
             if (!one.console) tell(one, Event::port_open);
           },
       .resized = [this, number](std::uint16_t cols, std::uint16_t rows) { resize(number, cols, rows); }});
}

bool Console::opened(unsigned number) const {
  const auto found = ports_.find(number);
  return found != ports_.end() && (found->second.console || found->second.open);
}

bool Console::remove_port(unsigned number) {
  const auto found = ports_.find(number);
  if (found == ports_.end() || !found->second.chardev) return false;
  Port& port = found->second;
  std::exchange(port.chardev, nullptr)->attach({});
  const unsigned receiving = receive_queue(number);
  if (port.receiving) {  // the driver takes its buffers back by itself
    port.receiving.reset();
    if (Queue* const from = queue(receiving)) from->put_back();
  }
  if (port.sending) give_back(receiving + 1, std::move(*std::exchange(port.sending, {})), 0);
  drop_output(receiving + 1);  // nor does it go to who has the number next
  port.ready = port.open = false;
  const bool known = std::exchange(port.told, false) || (port.untold & bit(Event::device_remove));
  port.untold = 0;
  if (known) {
    tell(port, Event::device_remove);
  } else {
    ports_.erase(found);
  }
  return true;
}

void Console::resize(unsigned number, std::uint16_t cols, std::uint16_t rows) {
  const auto found = ports_.find(number);
  if (found == ports_.end() || !found->second.console) return;
  Port& port = found->second;
  if (std::exchange(port.cols, cols) == cols && port.rows == rows) return;
  port.rows = rows;
  if (multiport()) {
    tell(port, Event::resize);
  } else if (number == 0 && active_ && (active_->features & size_feature)) {
    active_->interrupt.config();
  }
}

// --- the driver

void Console::read_config(std::uint64_t offset, std::span<std::uint8_t> value) {
  const auto first = ports_.find(0);
  const auto of_first = [&](std::uint16_t Port::* size) { return first == ports_.end() ? 0 : first->second.*size; };
  bus::read_registers(config_registers, offset, value, [&](Config id) -> std::uint64_t {
    switch (id) {
      case Config::cols: return of_first(&Port::cols);
      case Config::rows: return of_first(&Port::rows);
      case Config::max_nr_ports: return max_ports_;
      case Config::emerg_wr: break;
    }
    return 0;
  });
}

bool Console::activate(Active active) {
  active_.emplace(std::move(active));
  driver_ready_ = broken_ = false;
  if (!multiport()) {
    if (const auto first = ports_.find(0); first != ports_.end()) first->second.open = true;
  }
  for (auto& [number, port] : ports_) port.chardev->room_again();
  return true;
}

void Console::reset() {
  active_.reset();
  driver_ready_ = broken_ = false;
  std::erase_if(ports_, [](const auto& entry) { return !entry.second.chardev; });
  for (auto& [number, port] : ports_) {
    port.sending.reset();
    port.receiving.reset();
    port.sent = 0;
    port.untold = 0;
    port.told = port.ready = port.open = false;
  }
}

void Console::queue_ready(unsigned index) {
  if (!queue(index)) return;
  if (multiport() && index == control_receive) return send_control();
  if (multiport() && index == control_transmit) return read_control();
  if (index == control_receive || index == control_transmit) return;
  const unsigned number = index < 2 ? 0 : index / 2 - 1;
  const auto found = ports_.find(number);
  const bool is_there = found != ports_.end() && found->second.chardev;
  if (index % 2) {
    is_there ? send_output(number) : drop_output(index);
  } else if (is_there) {
    found->second.chardev->room_again();
  }
}

Queue* Console::queue(unsigned index) {
  if (!active_ || broken_ || index >= active_->queues.size() || !active_->queues[index]) return nullptr;
  return &*active_->queues[index];
}

std::optional<Chain> Console::take(unsigned index) {
  Queue* const from = queue(index);
  if (!from) return {};
  auto taken = from->take();
  if (taken) return std::move(*taken);
  broken();
  return {};
}

void Console::give_back(unsigned index, Chain chain, std::size_t written) {
  Queue* const to = queue(index);
  if (!to) return;
  to->give_back(std::move(chain), static_cast<std::uint32_t>(written));
  if (to->wants_interrupt()) active_->interrupt.queue(index);
}

void Console::broken() {
  broken_ = true;
  active_->interrupt.needs_reset();
}

// --- bytes

void Console::send_output(unsigned number) {
  Port& port = ports_.at(number);
  const unsigned index = receive_queue(number) + 1;
  std::size_t left = most_in_turn;
  for (unsigned served = 0;; ++served) {
    if (!queue(index)) return;
    if (!port.sending) {
      if (served == port_queue_size) return call_again(*active_, index);
      port.sending = take(index);
      port.sent = 0;
      if (!port.sending) return;
    }
    std::size_t skip = port.sent;
    for (const Chain::Buffer buffer : port.sending->readable()) {
      if (skip >= buffer.size()) {
        skip -= buffer.size();
        continue;
      }
      const auto rest = buffer.subspan(std::exchange(skip, 0));
      const auto part = rest.first(std::min(rest.size(), left));
      const std::size_t taken = port.chardev->write(part);
      port.sent += taken;
      left -= taken;
      if (taken < part.size()) return;  // it tells when it is writable
      if (left == 0) return call_again(*active_, index);
    }
    give_back(index, std::move(*std::exchange(port.sending, {})), 0);
  }
}

/// What goes to a port that is not there.
void Console::drop_output(unsigned index) {
  for (unsigned served = 0; served < port_queue_size; ++served) {
    auto chain = take(index);
    if (!chain) return;
    give_back(index, std::move(*chain), 0);
  }
  call_again(*active_, index);
}

std::size_t Console::room(unsigned number) {
  Port& port = ports_.at(number);
  if (!active_ || broken_ || !port.open) return 0;
  const unsigned index = receive_queue(number);
  for (unsigned served = 0; !port.receiving && served < port_queue_size; ++served) {
    port.receiving = take(index);
    if (!port.receiving) return 0;
    if (port.receiving->writable_bytes() == 0) give_back(index, std::move(*std::exchange(port.receiving, {})), 0);
  }
  return port.receiving ? port.receiving->writable_bytes() : 0;
}

void Console::receive(unsigned number, std::span<const std::uint8_t> bytes) {
  Port& port = ports_.at(number);
  if (!port.receiving) return;
  Chain chain = std::move(*std::exchange(port.receiving, {}));
  const std::size_t written = chain.copy_in(0, bytes);
  give_back(receive_queue(number), std::move(chain), written);
}

// --- control

void Console::tell(Port& port, Event event) {
  if (!driver_ready_) return;  // it is told of everything when it is
  if ((of_ready_ports & bit(event)) && !port.ready) return;
  port.untold |= bit(event);
  send_control();
}

void Console::read_control() {
  for (unsigned served = 0; served < control_queue_size; ++served) {
    auto chain = take(control_transmit);
    if (!chain) return;
    Control control{};
    std::array<std::uint8_t, sizeof control> bytes{};
    if (chain->copy_out(0, bytes) < bytes.size()) return broken();
    give_back(control_transmit, std::move(*chain), 0);
    handle(std::bit_cast<Control>(bytes));
  }
  call_again(*active_, control_transmit);
}

void Console::handle(const Control& control) {
  if (control.event == Event::device_ready) {
    if (!control.value) return;
    driver_ready_ = true;
    for (auto& [number, port] : ports_) {
      if (port.chardev) port.untold |= bit(Event::device_add);
    }
    return send_control();
  }
  const auto found = ports_.find(control.port);
  if (found == ports_.end() || !found->second.chardev) return;
  Port& port = found->second;
  if (control.event == Event::port_ready) {
    port.ready = control.value == 1;
    if (!port.ready) return;
    if (port.console) port.untold |= bit(Event::console_port);
    if (!port.name.empty()) port.untold |= bit(Event::port_name);
    // A console takes output always: what nobody reads now is kept for who comes next.
    if (port.console || port.chardev->connected()) port.untold |= bit(Event::port_open);
    if (port.cols || port.rows) port.untold |= bit(Event::resize);
    send_control();
  } else if (control.event == Event::port_open) {
    port.open = control.value == 1;
    if (port.open) port.chardev->room_again();
  }
}

/// Says what is to be said, as far as there are buffers for it. What changes before it is said is said once, as it is
/// then, so nothing piles up behind a driver that gives no buffers.
void Console::send_control() {
  if (!multiport()) return;
  for (auto& [number, port] : ports_) {
    while (port.untold) {
      if (!send_next(number, port)) return;
    }
  }
  std::erase_if(ports_, [](const auto& entry) { return !entry.second.chardev && !entry.second.untold; });
}

bool Console::send_next(unsigned number, Port& port) {
  auto chain = take(control_receive);
  if (!chain) return false;
  const Event event = *std::ranges::find_if(telling_order, [&](Event one) { return (port.untold & bit(one)) != 0; });
  port.untold &= ~bit(event);
  Control control{number, event, 1};
  if (event == Event::port_open) control.value = port.console || port.chardev->connected();
  if (event == Event::resize) control.value = 0;
  const auto bytes = std::bit_cast<std::array<std::uint8_t, sizeof control>>(control);
  std::string message(bytes.begin(), bytes.end());
  if (event == Event::port_name) message += port.name;
  if (event == Event::resize) {
    for (const std::uint16_t size : {port.cols, port.rows}) {
      message += {static_cast<char>(size), static_cast<char>(size >> 8)};
    }
  }
  if (event == Event::device_add) port.told = true;
  if (chain->writable_bytes() < sizeof control) {
    broken();
    return false;
  }
  const std::size_t written =
      chain->copy_in(0, {reinterpret_cast<const std::uint8_t*>(message.data()), message.size()});
  give_back(control_receive, std::move(*chain), written);
  return true;
}

}  // namespace virtio
