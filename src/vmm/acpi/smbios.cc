#include "vmm/acpi/smbios.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string_view>

namespace acpi {
namespace {

/// One structure: its fixed part, then its strings, numbered from 1 (§6.1).
class Structure {
 public:
  Structure(std::uint8_t type, std::uint16_t handle) {
    byte(type).byte(0).byte(static_cast<std::uint8_t>(handle)).byte(static_cast<std::uint8_t>(handle >> 8));
  }
  Structure& byte(std::uint8_t value) {
    fixed_.push_back(value);
    return *this;
  }
  Structure& zeros(std::size_t count) {
    fixed_.resize(fixed_.size() + count);
    return *this;
  }
  Structure& text(const std::string& value) {
    if (value.empty()) return byte(0);
    strings_ += value;
    strings_ += '\0';
    return byte(++count_);
  }
  void finish(std::vector<std::uint8_t>& into) {
    fixed_[1] = static_cast<std::uint8_t>(fixed_.size());
    into.insert(into.end(), fixed_.begin(), fixed_.end());
    into.insert(into.end(), strings_.begin(), strings_.end());
    into.insert(into.end(), count_ == 0 ? 2 : 1, 0);
  }

 private:
  std::vector<std::uint8_t> fixed_;
  std::string strings_;
  std::uint8_t count_ = 0;
};

}  // namespace

void write_smbios(const SmbiosConfig& config, const memory::GuestMemory& memory, std::uint64_t address,
                  std::uint64_t size) {
  std::vector<std::uint8_t> tables;
  Structure bios(0, 0);
  bios.text(config.bios_vendor).text(config.bios_version).zeros(2).text(config.bios_date).byte(0);
  constexpr std::uint8_t characteristics_not_supported = 8, is_virtual_machine = 0x1c;
  bios.byte(characteristics_not_supported)
      .zeros(7)
      .byte(0)
      .byte(is_virtual_machine)
      .byte(0)
      .byte(0)
      .byte(0xff)
      .byte(0xff);
  bios.finish(tables);

  Structure system(1, 0x100);
  system.text(config.manufacturer).text(config.product).text(config.version).text(config.serial);
  // The first three fields of a uuid are little endian (§7.2.1).
  constexpr std::size_t order[] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
  for (const std::size_t i : order) system.byte(config.uuid[i]);
  constexpr std::uint8_t power_switch = 6;
  system.byte(power_switch).text(config.sku).text(config.family);
  system.finish(tables);

  constexpr std::uint8_t other = 1, safe = 3, none = 3;
  Structure chassis(3, 0x300);
  chassis.text(config.chassis_manufacturer).byte(other).text(config.chassis_version).text(config.chassis_serial);
  chassis.text(config.chassis_asset)
      .byte(safe)
      .byte(safe)
      .byte(safe)
      .byte(none)
      .zeros(4)
      .byte(0)
      .byte(0)
      .byte(0)
      .byte(0);
  chassis.text(config.chassis_sku);
  chassis.finish(tables);
  Structure(127, 0x7f00).finish(tables);

  // The 64-bit entry point (§5.2.2).
  std::array<std::uint8_t, 24> entry{};
  std::ranges::copy(std::string_view("_SM3_"), entry.begin());
  entry[6] = 24;
  entry[7] = 3;
  entry[8] = 3;
  entry[10] = 1;
  const auto length = static_cast<std::uint32_t>(tables.size());
  const std::uint64_t at = address + 32;
  std::memcpy(&entry[12], &length, sizeof length);
  std::memcpy(&entry[16], &at, sizeof at);
  std::uint8_t sum = 0;
  for (const std::uint8_t byte : entry) sum = static_cast<std::uint8_t>(sum + byte);
  entry[5] = static_cast<std::uint8_t>(-sum);
  if (32 + tables.size() > size || !memory.write(address, entry) || !memory.write(at, tables)) {
    throw std::length_error("no room for the SMBIOS tables");
  }
}

}  // namespace acpi
