#pragma once

#include <cstdint>
#include <memory>

/// How devices raise interrupts, whoever delivers them.
namespace irq {

/// One message-signalled interrupt: a write of `data` to `address` (PCI 3.0 §6.8). Its sender may be used from any
/// thread.
class Message {
 public:
  virtual ~Message() = default;
  /// What is sent from now on.
  virtual void set(std::uint64_t address, std::uint32_t data) = 0;
  virtual void send() = 0;
  /// An eventfd that sends it when written, for whoever is not this process; -1 where there is none.
  virtual int eventfd() = 0;
};

/// The machine's interrupt controllers as devices see them. Thread safe.
class Controller {
 public:
  virtual ~Controller() = default;
  /// A level-triggered or edge-triggered input of the interrupt controller (a global system interrupt).
  virtual void set_line(unsigned gsi, bool high) = 0;
  virtual std::unique_ptr<Message> make_message() = 0;
};

}  // namespace irq
