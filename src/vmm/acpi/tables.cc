#include "vmm/acpi/tables.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string_view>

#include "vmm/acpi/dsdt.h"

namespace acpi {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// A table being written, after its header (§5.2.6).
class Table {
 public:
  Table(std::string_view signature, std::uint8_t revision) {
    text(signature);
    put<std::uint32_t>(0);  // length
    put<std::uint8_t>(revision);
    put<std::uint8_t>(0);  // checksum
    text("STRATO");
    text("VIRTQ35 ");
    put<std::uint32_t>(1);
    text("STRA");
    put<std::uint32_t>(1);
  }
  template <class T>
  Table& put(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i)
      bytes_.push_back(static_cast<std::uint8_t>(std::uint64_t{value} >> (8 * i)));
    return *this;
  }
  Table& text(std::string_view characters) {
    bytes_.insert(bytes_.end(), characters.begin(), characters.end());
    return *this;
  }
  Table& zeros(std::size_t count) {
    bytes_.resize(bytes_.size() + count);
    return *this;
  }
  /// A register of ports (§5.2.3.2).
  Table& ports(std::uint8_t bits, std::uint64_t port) {
    put<std::uint8_t>(1).put<std::uint8_t>(bits).put<std::uint8_t>(0).put<std::uint8_t>(bits == 8    ? 1
                                                                                        : bits == 16 ? 2
                                                                                                     : 3);
    return put<std::uint64_t>(port);
  }
  std::size_t size() const { return bytes_.size(); }
  Bytes finish() {
    const auto size = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(&bytes_[4], &size, sizeof size);
    return std::move(bytes_);
  }

 private:
  Bytes bytes_;
};

void set_checksum(std::span<std::uint8_t> bytes, std::size_t at) {
  bytes[at] = 0;
  std::uint8_t sum = 0;
  for (const std::uint8_t byte : bytes) sum = static_cast<std::uint8_t>(sum + byte);
  bytes[at] = static_cast<std::uint8_t>(-sum);
}

/// §5.2.9.
Bytes fadt(const Config& config, std::uint64_t facs, std::uint64_t dsdt) {
  enum Flag : std::uint32_t {
    wbinvd = 1 << 0,
    c1 = 1 << 2,
    no_sleep_button = 1 << 5,
    no_rtc_event = 1 << 6,
    timer_32_bits = 1 << 8,
    reset_register = 1 << 10
  };
  enum BootArch : std::uint16_t { legacy_devices = 1 << 0, no_vga = 1 << 2 };
  const std::uint16_t event = config.power_ports, control = static_cast<std::uint16_t>(event + 4),
                      timer = static_cast<std::uint16_t>(event + 8);
  Table table("FACP", 6);
  table.put<std::uint32_t>(static_cast<std::uint32_t>(facs)).put<std::uint32_t>(static_cast<std::uint32_t>(dsdt));
  table.put<std::uint8_t>(0).put<std::uint8_t>(0).put<std::uint16_t>(config.sci);
  table.put<std::uint32_t>(0).zeros(4);  // no SMI port: ACPI mode is always on
  table.put<std::uint32_t>(event).put<std::uint32_t>(0).put<std::uint32_t>(control).put<std::uint32_t>(0);
  table.put<std::uint32_t>(0).put<std::uint32_t>(timer).put<std::uint32_t>(0).put<std::uint32_t>(0);
  table.put<std::uint8_t>(4).put<std::uint8_t>(2).put<std::uint8_t>(0).put<std::uint8_t>(4).zeros(4);
  table.put<std::uint16_t>(0xfff).put<std::uint16_t>(0xfff);  // no C2, no C3
  table.zeros(2 + 2 + 1 + 1 + 1 + 1);                         // flush, duty, alarms
  table.put<std::uint8_t>(0x32);                              // the century's place in the CMOS
  table.put<std::uint16_t>(legacy_devices | no_vga).put<std::uint8_t>(0);
  table.put<std::uint32_t>(wbinvd | c1 | no_sleep_button | no_rtc_event | timer_32_bits | reset_register);
  table.ports(8, config.reset_port).put<std::uint8_t>(config.reset_value);
  table.put<std::uint16_t>(0).put<std::uint8_t>(4);  // minor version
  table.put<std::uint64_t>(0).put<std::uint64_t>(dsdt);
  table.ports(32, event).zeros(12).ports(16, control).zeros(12);
  table.zeros(12).ports(32, timer).zeros(12).zeros(12);
  table.zeros(12).zeros(12).put<std::uint64_t>(0);
  return table.finish();
}

/// §5.2.12.
Bytes madt(const Config& config) {
  constexpr std::uint32_t local_apic = 0xfee0'0000, io_apic = 0xfec0'0000;
  constexpr std::uint16_t active_high_level = 0xd;
  Table table("APIC", 5);
  table.put<std::uint32_t>(local_apic).put<std::uint32_t>(1);  // the old controllers are there as well
  std::uint32_t uid = 0;
  bool wide = false;
  for (const Processor& one : config.processors) {
    enum : std::uint32_t { enabled = 1, online_capable = 2 };
    const std::uint32_t flags = one.enabled ? enabled : online_capable;
    if (one.apic_id < 255) {
      table.put<std::uint8_t>(0).put<std::uint8_t>(8).put<std::uint8_t>(static_cast<std::uint8_t>(uid));
      table.put<std::uint8_t>(static_cast<std::uint8_t>(one.apic_id)).put<std::uint32_t>(flags);
    } else {
      wide = true;
      table.put<std::uint8_t>(9).put<std::uint8_t>(16).put<std::uint16_t>(0).put<std::uint32_t>(one.apic_id);
      table.put<std::uint32_t>(flags).put<std::uint32_t>(uid);
    }
    ++uid;
  }
  table.put<std::uint8_t>(1).put<std::uint8_t>(12).put<std::uint8_t>(0).put<std::uint8_t>(0);
  table.put<std::uint32_t>(io_apic).put<std::uint32_t>(0);
  const auto wired = [&](std::uint8_t irq, std::uint32_t gsi, std::uint16_t flags) {
    table.put<std::uint8_t>(2).put<std::uint8_t>(10).put<std::uint8_t>(0).put<std::uint8_t>(irq);
    table.put<std::uint32_t>(gsi).put<std::uint16_t>(flags);
  };
  wired(0, 2, 0);
  wired(config.sci, config.sci, active_high_level);
  constexpr std::uint8_t lint1 = 1, all = 0xff;
  table.put<std::uint8_t>(4).put<std::uint8_t>(6).put<std::uint8_t>(all).put<std::uint16_t>(0).put<std::uint8_t>(lint1);
  if (wide) {
    table.put<std::uint8_t>(10).put<std::uint8_t>(12).put<std::uint16_t>(0).put<std::uint32_t>(~0U);
    table.put<std::uint8_t>(lint1).zeros(3);
  }
  return table.finish();
}

/// PCI firmware specification 3.3 §4.1.2.
Bytes mcfg(const Config& config) {
  Table table("MCFG", 1);
  table.zeros(8)
      .put<std::uint64_t>(config.ecam)
      .put<std::uint16_t>(0)
      .put<std::uint8_t>(0)
      .put<std::uint8_t>(config.last_bus)
      .zeros(4);
  return table.finish();
}

/// What dsdt.asl wants to know of the machine: Name (LBUS, last_bus) (§20.2.5.1, §20.2.3).
Bytes ssdt(const Config& config) {
  enum : std::uint8_t { name_op = 0x08, byte_prefix = 0x0a };
  Table table("SSDT", 2);
  table.put<std::uint8_t>(name_op).text("LBUS").put<std::uint8_t>(byte_prefix).put<std::uint8_t>(config.last_bus);
  return table.finish();
}

/// §5.2.10.
Bytes facs() {
  Bytes bytes(64);
  std::ranges::copy(std::string_view("FACS"), bytes.begin());
  bytes[4] = 64;
  bytes[32] = 2;  // version
  return bytes;
}

/// Where tables go, one after the other.
class Place {
 public:
  Place(const memory::GuestMemory& memory, std::uint64_t address, std::uint64_t size)
      : memory_(memory), next_(address), end_(address + size) {}

  std::uint64_t put(std::span<const std::uint8_t> bytes, std::uint64_t align = 16) {
    const std::uint64_t at = (next_ + align - 1) / align * align;
    if (at + bytes.size() > end_ || !memory_.write(at, bytes)) throw std::length_error("no room for the ACPI tables");
    next_ = at + bytes.size();
    return at;
  }
  std::uint64_t put_table(Bytes bytes) {
    set_checksum(bytes, 9);
    return put(bytes);
  }

 private:
  const memory::GuestMemory& memory_;
  std::uint64_t next_, end_;
};

}  // namespace

std::uint64_t write_tables(const Config& config, const memory::GuestMemory& memory, std::uint64_t address,
                           std::uint64_t size) {
  constexpr std::size_t pointer_size = 36;
  Place place(memory, address + 48, size - 48);  // the root pointer goes first
  const std::uint64_t facs_at = place.put(facs(), 64);
  const std::uint64_t dsdt_at = place.put(dsdt());
  const std::uint64_t tables[] = {place.put_table(fadt(config, facs_at, dsdt_at)), place.put_table(madt(config)),
                                  place.put_table(mcfg(config)), place.put_table(ssdt(config))};
  Table xsdt("XSDT", 1);
  for (const std::uint64_t one : tables) xsdt.put<std::uint64_t>(one);
  const std::uint64_t xsdt_at = place.put_table(xsdt.finish());

  // §5.2.5.3.
  std::array<std::uint8_t, pointer_size> pointer{};
  std::ranges::copy(std::string_view("RSD PTR "), pointer.begin());
  std::ranges::copy(std::string_view("STRATO"), pointer.begin() + 9);
  pointer[15] = 2;
  pointer[20] = pointer_size;
  std::memcpy(&pointer[24], &xsdt_at, sizeof xsdt_at);
  set_checksum(std::span(pointer).first(20), 8);
  set_checksum(pointer, 32);
  memory.write(address, pointer);
  return address;
}

}  // namespace acpi
