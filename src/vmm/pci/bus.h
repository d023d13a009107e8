#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>

#include "vmm/bus/handler.h"
#include "vmm/pci/function.h"

namespace pci {

class RootPort;

/// A bus's 32 slots of 8 functions. Bus 0, or the one behind a root port, which has its slot 0 only.
class Bus {
 public:
  /// `intx(slot, pin, high)` drives a pin of a slot's (0: INTA#).
  using Intx = std::function<void(unsigned slot, unsigned pin, bool high)>;
  Bus(bus::Bus& memory, bus::Bus& ports, irq::Controller& interrupts, Intx intx)
      : memory_(memory), ports_(ports), interrupts_(interrupts), intx_(std::move(intx)) {}

  /// The function must outlive its place on the bus. Throws std::invalid_argument for a place that is taken.
  void add(unsigned devfn, Function& function);
  void remove(unsigned devfn);
  Function* at(unsigned devfn) const { return devfn < functions_.size() ? functions_[devfn] : nullptr; }

  /// Calls `visit` with each function.
  void each(const std::function<void(Function&)>& visit) const;

  bus::Bus& memory() { return memory_; }
  bus::Bus& ports() { return ports_; }
  irq::Controller& interrupts() { return interrupts_; }
  const Intx& intx() const { return intx_; }

 private:
  bus::Bus& memory_;
  bus::Bus& ports_;
  irq::Controller& interrupts_;
  Intx intx_;
  std::array<Function*, 256> functions_{};
};

/// Both ways a guest reaches configuration space: the ports 0xcf8 and 0xcfc (PCI 3.0 §3.2.2.3.2), and memory, a
/// megabyte a bus (PCIe 5.0 §7.2.2). Where no function is, reads give ones.
class RootComplex {
 public:
  explicit RootComplex(Bus& root) : root_(root) {}

  bus::Handler& ports() { return ports_; }
  bus::Handler& memory() { return memory_; }
  static constexpr std::uint64_t port_count = 8;  ///< from 0xcf8

  /// The function that the guest means by a bus number it has assigned; nullptr for none.
  Function* find(unsigned bus, unsigned devfn) const;
  void reset() { ports_.address = 0; }

 private:
  void read(unsigned bus, unsigned devfn, std::uint64_t offset, std::span<std::uint8_t> value) const;
  void write(unsigned bus, unsigned devfn, std::uint64_t offset, std::span<const std::uint8_t> value) const;

  struct Ports : bus::Handler {
    explicit Ports(RootComplex& owner) : complex(owner) {}
    void read(std::uint64_t offset, std::span<std::uint8_t> value) override;
    void write(std::uint64_t offset, std::span<const std::uint8_t> value) override;
    RootComplex& complex;
    std::uint32_t address = 0;
  };
  struct Memory : bus::Handler {
    explicit Memory(RootComplex& owner) : complex(owner) {}
    void read(std::uint64_t offset, std::span<std::uint8_t> value) override;
    void write(std::uint64_t offset, std::span<const std::uint8_t> value) override;
    RootComplex& complex;
  };

  Bus& root_;
  Ports ports_{*this};
  Memory memory_{*this};
};

}  // namespace pci
