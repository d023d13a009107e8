#include "vmm/acpi/smbios.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace acpi {
namespace {

using Said = std::map<std::pair<unsigned, std::string>, std::string>;

enum Handle : std::uint16_t {
  bios = 0x0,
  system_board = 0x100,
  base_board = 0x200,
  chassis = 0x300,
  processors = 0x400,
  memory_array = 0x1000,
  memory_device = 0x1100,
  memory_range = 0x1300,
  end = 0x7f00,
  none_provided = 0xfffe,
  not_there = 0xffff,
};

std::uint16_t number(std::string_view text, std::uint16_t otherwise = 0) {
  std::from_chars(text.data(), text.data() + text.size(), otherwise);
  return otherwise;
}

/// One structure: its fixed part, then its strings, numbered from 1 (§6.1).
class Structure {
 public:
  Structure(std::uint8_t type, unsigned handle, const Said& said) : type_(type), said_(said) {
    byte(type).byte(0).word(handle);
  }
  Structure& byte(unsigned value) { return put(value, 1); }
  Structure& word(unsigned value) { return put(value, 2); }
  Structure& dword(std::uint64_t value) { return put(value, 4); }
  Structure& qword(std::uint64_t value) { return put(value, 8); }
  Structure& zeros(std::size_t count) {
    fixed_.resize(fixed_.size() + count);
    return *this;
  }
  /// What is said by that key, or else.
  std::string_view said(const std::string& key, std::string_view otherwise = {}) const {
    const auto found = said_.find({type_, key});
    return found == said_.end() ? otherwise : found->second;
  }
  Structure& text(const std::string& key, std::string_view otherwise = {}) { return string(said(key, otherwise)); }
  Structure& string(std::string_view value) {
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
  Structure& put(std::uint64_t value, unsigned size) {
    for (unsigned i = 0; i < size; ++i) fixed_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
    return *this;
  }

  std::uint8_t type_;
  const Said& said_;
  std::vector<std::uint8_t> fixed_;
  std::string strings_;
  std::uint8_t count_ = 0;
};

using Tables = std::vector<std::uint8_t>;
constexpr std::string_view maker = "StratoVirt";

/// §7.1.
void put_bios(const Said& said, Tables& tables) {
  constexpr unsigned characteristics_not_supported = 8, is_virtual_machine = 0x1c, no_release = 0xff;
  Structure one(0, bios, said);
  const std::string_view release = one.said("release");
  const auto dot = std::min(release.find('.'), release.size());
  one.text("vendor", maker).text("version", STRATOVIRT_VERSION).zeros(2).text("date", "01/01/2026").byte(0);
  one.qword(characteristics_not_supported).byte(0).byte(is_virtual_machine);
  one.byte(number(release.substr(0, dot), no_release));
  one.byte(number(release.substr(std::min(dot + 1, release.size())), no_release));
  one.byte(no_release).byte(no_release);  // of an embedded controller
  one.finish(tables);
}

/// §7.2.
void put_system(const SmbiosConfig& config, Tables& tables) {
  constexpr unsigned power_switch = 6;
  Structure one(1, system_board, config.said);
  one.text("manufacturer", maker).text("product", maker).text("version", STRATOVIRT_VERSION).text("serial");
  // The first three fields of a uuid are little endian (§7.2.1).
  constexpr std::size_t order[] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
  for (const std::size_t i : order) one.byte(config.uuid[i]);
  one.byte(power_switch).text("sku").text("family");
  one.finish(tables);
}

/// §7.3.
void put_base_board(const Said& said, Tables& tables) {
  if (std::ranges::none_of(said, [](const auto& one) { return one.first.first == 2; })) return;
  constexpr unsigned hosts = 1, motherboard = 0xa;
  Structure one(2, base_board, said);
  one.text("manufacturer", maker).text("product", maker).text("version").text("serial").text("asset").byte(hosts);
  one.text("location").word(chassis).byte(motherboard).byte(0);
  one.finish(tables);
}

/// §7.4.
void put_chassis(const Said& said, Tables& tables) {
  constexpr unsigned other = 1, safe = 3, no_security = 3;
  Structure one(3, chassis, said);
  one.text("manufacturer", maker).byte(other).text("version").text("serial").text("asset");
  one.byte(safe).byte(safe).byte(safe).byte(no_security).zeros(4).zeros(4).text("sku");
  one.finish(tables);
}

/// §7.5.
void put_processors(const SmbiosConfig& config, Tables& tables) {
  constexpr unsigned other = 1, central = 3, populated_and_enabled = 0x41, in_second_word = 0xfe, is_64_bit = 1 << 2;
  constexpr std::uint16_t mhz = 2000;
  const auto counted = [](unsigned count) { return std::min(count, 0xffU); };  // or see the words
  const unsigned threads = config.cores * config.threads;
  for (unsigned socket = 0; socket < config.sockets; ++socket) {
    Structure one(4, processors + socket, config.said);
    one.string(std::string(one.said("sock_pfx", "CPU ")) + std::to_string(socket)).byte(central).byte(in_second_word);
    one.text("manufacturer", maker).zeros(8).text("version").zeros(1 + 2);
    one.word(number(one.said("max-speed"), mhz)).word(number(one.said("current-speed"), mhz));
    one.byte(populated_and_enabled).byte(other).word(not_there).word(not_there).word(not_there);  // no caches
    one.text("serial").text("asset").text("part");
    one.byte(counted(config.cores)).byte(counted(config.cores)).byte(counted(threads)).word(is_64_bit).word(other);
    one.word(config.cores).word(config.cores).word(threads);
    one.finish(tables);
  }
}

/// §7.17, §7.18, §7.20: an array of one device.
void put_memory(const Said& said, const memory::GuestMemory& memory, Tables& tables) {
  constexpr unsigned other = 1, system = 3, no_correction = 3, unknown = 0xffff, dimm = 9, ram = 7, detail_other = 2;
  constexpr std::uint64_t kib = 1024, mib = kib * kib, largest_word = 0x7fff, beyond_dword = 0x8000'0000;
  std::uint64_t size = 0;
  for (const auto& region : memory.regions()) size += region.bytes.size();

  Structure array(16, memory_array, said);
  array.byte(other).byte(system).byte(no_correction).dword(std::min(size / kib, beyond_dword)).word(none_provided);
  array.word(1).qword(size / kib >= beyond_dword ? size : 0);
  array.finish(tables);

  Structure device(17, memory_device, said);
  const std::uint16_t speed = number(device.said("speed"));
  device.word(memory_array).word(none_provided).word(unknown).word(unknown);
  device.word(static_cast<unsigned>(std::min(size / mib, largest_word))).byte(dimm).byte(0);
  device.string(std::string(device.said("loc_pfx", "DIMM")) + " 0").text("bank").byte(ram).word(detail_other);
  device.word(speed).text("manufacturer", maker).text("serial").text("asset").text("part").byte(0);
  device.dword(size / mib >= largest_word ? size / mib : 0).word(speed).zeros(3 * 2);
  device.finish(tables);

  unsigned handle = memory_range;
  for (const auto& region : memory.regions()) {
    constexpr std::uint64_t see_qwords = 0xffff'ffff;
    const std::uint64_t last = region.address + region.bytes.size() - 1;
    const bool fits = last / kib < see_qwords;
    Structure range(19, handle++, said);
    range.dword(fits ? region.address / kib : see_qwords).dword(fits ? last / kib : see_qwords).word(memory_array);
    range.byte(1).qword(fits ? 0 : region.address).qword(fits ? 0 : last);
    range.finish(tables);
  }
}

}  // namespace

void write_smbios(const SmbiosConfig& config, const memory::GuestMemory& memory, std::uint64_t address,
                  std::uint64_t size) {
  Tables tables;
  put_bios(config.said, tables);
  put_system(config, tables);
  put_base_board(config.said, tables);
  put_chassis(config.said, tables);
  put_processors(config, tables);
  put_memory(config.said, memory, tables);
  Structure(127, end, config.said).finish(tables);

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
