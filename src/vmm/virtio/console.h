#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "vmm/chardev/chardev.h"
#include "vmm/virtio/console_registers.h"
#include "vmm/virtio/device.h"

namespace virtio {

struct ConsoleConfig {
  unsigned max_ports = 31;  ///< 1 to 31
};

/// The console device (Virtio 1.2 §5.3): streams of bytes between a guest's ports and character devices, each with its
/// pair of queues, and a pair of queues that says which ports there are. A driver that does not know of several ports
/// has port 0. Output that the other end cannot take now stays in the driver's buffers, a console's for a second; then
/// it is kept as for a peer that is away. Input is fetched only where the driver has a buffer for it.
class Console : public Device {
 public:
  explicit Console(const ConsoleConfig& config);
  ~Console() override;

  /// A port of that number, a console or a plain stream; the driver is told. The character device, of the same loop,
  /// must outlive the port. False where the number is taken or is none.
  bool add_port(unsigned number, chardev::Chardev& chardev, bool console, std::string name);
  /// False where there is none.
  bool remove_port(unsigned number);
  /// Whether the guest can be spoken to: a plain port that it has open, any console.
  bool opened(unsigned number) const;
  /// The size of a console's terminal, in characters.
  void resize(unsigned number, std::uint16_t cols, std::uint16_t rows);

  const Traits& traits() const override { return traits_; }
  void read_config(std::uint64_t offset, std::span<std::uint8_t> value) override;
  bool activate(Active active) override;
  void queue_ready(unsigned index) override;
  void reset() override;

 private:
  using Event = console_layout::Event;

  /// One number's. It stays, without its character device, until the driver has been told that the port is gone.
  struct Port {
    chardev::Chardev* chardev = nullptr;
    bool console = false;
    std::string name;
    std::uint16_t cols = 0, rows = 0;
    // What the driver knows, and what it has said.
    std::uint32_t untold = 0;  ///< events it is still to be told of, a bit each
    bool told = false;         ///< that the port is there
    bool ready = false, open = false;
    std::optional<Chain> sending, receiving;
    std::size_t sent = 0;  ///< bytes of `sending`
  };

  bool multiport() const { return active_ && (active_->features & console_layout::multiport_feature); }
  Queue* queue(unsigned index);
  std::optional<Chain> take(unsigned index);
  void give_back(unsigned index, Chain chain, std::size_t written);
  void broken();

  void attach(unsigned number, Port& port);
  void send_output(unsigned number);
  void drop_output(unsigned index);
  std::size_t room(unsigned number);
  void receive(unsigned number, std::span<const std::uint8_t> bytes);
  void tell(Port& port, Event event);
  void read_control();
  void handle(const console_layout::Control& control);
  void send_control();
  bool send_next(unsigned number, Port& port);

  unsigned max_ports_;
  Traits traits_;
  std::map<unsigned, Port> ports_;
  std::optional<Active> active_;
  bool driver_ready_ = false, broken_ = false;
};

}  // namespace virtio
