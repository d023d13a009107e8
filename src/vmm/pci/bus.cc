#include "vmm/pci/bus.h"

#include <algorithm>
#include <stdexcept>

#include "vmm/pci/registers.h"
#include "vmm/pci/root_port.h"

namespace pci {

void Bus::add(unsigned devfn, Function& function) {
  if (functions_.at(devfn)) {
    throw std::invalid_argument("slot " + std::to_string(devfn >> 3) + "." + std::to_string(devfn & 7) +
                                " is taken by '" + functions_[devfn]->id() + "'");
  }
  functions_[devfn] = &function;
  const unsigned pin = function.config().get<std::uint8_t>(reg::interrupt_pin);
  std::function<void(bool)> intx;
  if (pin) intx = [this, slot = devfn >> 3, pin](bool high) { intx_(slot, pin - 1, high); };
  function.connect({memory_, ports_, interrupts_, std::move(intx)});
}

void Bus::remove(unsigned devfn) {
  Function* const function = at(devfn);
  if (!function) return;
  function->disconnect();
  functions_[devfn] = nullptr;
}

void Bus::each(const std::function<void(Function&)>& visit) const {
  for (Function* function : functions_) {
    if (function) visit(*function);
  }
}

Function* RootComplex::find(unsigned bus, unsigned devfn) const {
  if (bus == 0) return root_.at(devfn);
  Function* found = nullptr;
  root_.each([&](Function& function) {
    auto* const port = dynamic_cast<RootPort*>(&function);
    if (!found && port && port->secondary_number() == bus) found = port->secondary().at(devfn);
  });
  return found;
}

void RootComplex::read(unsigned bus, unsigned devfn, std::uint64_t offset, std::span<std::uint8_t> value) const {
  std::ranges::fill(value, std::uint8_t{0xff});
  if (Function* const function = find(bus, devfn)) function->read_config(offset, value);
}

void RootComplex::write(unsigned bus, unsigned devfn, std::uint64_t offset, std::span<const std::uint8_t> value) const {
  if (Function* const function = find(bus, devfn)) function->write_config(offset, value);
}

namespace {

constexpr std::uint32_t enabled = 1U << 31;
constexpr std::uint64_t data_port = 4;  // 0xcfc

}  // namespace

void RootComplex::Ports::read(std::uint64_t offset, std::span<std::uint8_t> value) {
  std::ranges::fill(value, std::uint8_t{0xff});
  if (offset < data_port) {
    for (std::size_t i = 0; i < value.size() && offset + i < data_port; ++i) {
      value[i] = static_cast<std::uint8_t>(address >> (8 * (offset + i)));
    }
  } else if (address & enabled) {
    complex.read(address >> 16 & 0xff, address >> 8 & 0xff, (address & 0xfc) + offset - data_port, value);
  }
}

void RootComplex::Ports::write(std::uint64_t offset, std::span<const std::uint8_t> value) {
  if (offset == 0 && value.size() == 4) {  // smaller writes pass by to whatever else is there
    address = value[0] | std::uint32_t{value[1]} << 8 | std::uint32_t{value[2]} << 16 | std::uint32_t{value[3]} << 24;
    address &= 0x80ff'fffcU;
  } else if (offset >= data_port && (address & enabled)) {
    complex.write(address >> 16 & 0xff, address >> 8 & 0xff, (address & 0xfc) + offset - data_port, value);
  }
}

void RootComplex::Memory::read(std::uint64_t offset, std::span<std::uint8_t> value) {
  std::ranges::fill(value, std::uint8_t{0});  // a longer access is none of configuration space's
  if (value.size() <= 4) complex.read(offset >> 20 & 0xff, offset >> 12 & 0xff, offset & 0xfff, value);
}

void RootComplex::Memory::write(std::uint64_t offset, std::span<const std::uint8_t> value) {
  if (value.size() <= 4) complex.write(offset >> 20 & 0xff, offset >> 12 & 0xff, offset & 0xfff, value);
}

}  // namespace pci
