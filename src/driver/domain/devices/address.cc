#include "driver/domain/devices/address.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>

#include "driver/domain/element.h"

namespace domain {
namespace {

constexpr std::string_view other_addresses =
    "drive virtio-serial ccid usb spapr-vio virtio-s390 ccw virtio-mmio isa dimm unassigned";

std::string hex(unsigned value, std::size_t digits) {
  std::array<char, 8> text;
  const std::string_view shown(text.data(), std::to_chars(text.begin(), text.end(), value, 16).ptr);
  return "0x" + std::string(digits - std::min(digits, shown.size()), '0') + std::string(shown);
}

bool is_well_formed(std::string_view alias) {
  constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  return !alias.empty() && alias.size() <= 255 && alias.find_first_not_of(allowed) == std::string_view::npos;
}

}  // namespace

bool is_kept(const std::string& alias, AliasRule rule) {
  return !alias.empty() && (rule == AliasRule::any || alias.starts_with("ua-"));
}

std::optional<PciAddress> parse_address(const core::XmlNode& device) {
  const auto node = device.child("address");
  if (!node) return std::nullopt;
  if (!node->attribute("type")) refuse_lack(*node, "attribute 'type'", core::ErrorCode::internal_error);
  read_word(*node, "type", "pci", other_addresses, core::ErrorCode::config_unsupported);
  const auto part = [&](const char* name, std::uint64_t most) {
    return read_number(*node, name, 0, most, true).value_or(0);
  };
  PciAddress address;
  address.domain = static_cast<std::uint16_t>(part("domain", 0xffff));
  address.bus = static_cast<std::uint8_t>(part("bus", 0xff));
  address.slot = static_cast<std::uint8_t>(part("slot", 31));
  address.function = static_cast<std::uint8_t>(part("function", 7));
  address.multifunction = read_on_off(*node, "multifunction").value_or(false);
  if (address.domain != 0) refuse_value(*node, "domain", hex(address.domain, 4), "0");
  if (address.bus == 0 && address.slot == 0 && address.function == 0) return std::nullopt;
  return address;
}

DeviceInfo parse_info(const core::XmlNode& device, AliasRule rule, bool live) {
  DeviceInfo info;
  if (const auto boot = device.child("boot")) {
    required(*boot, "order");
    info.boot_order = read_unsigned(*boot, "order", 1);
  }
  if (const auto alias = device.child("alias")) {
    const std::string name = alias->attribute("name").value_or("");
    if (live || is_kept(name, rule)) {
      if (!is_well_formed(name)) refuse_value(*alias, "name", name, "1 to 255 of A-Z a-z 0-9 _ . -");
      info.alias = name;
    }
  }
  info.address = parse_address(device);
  return info;
}

void format_info(core::XmlWriter& writer, const DeviceInfo& info, AliasRule rule, bool live) {
  if (info.boot_order) writer.start("boot").attribute("order", *info.boot_order).end();
  if (is_kept(info.alias, live ? AliasRule::any : rule)) writer.start("alias").attribute("name", info.alias).end();
  if (!info.address) return;
  writer.start("address").attribute("type", "pci").attribute("domain", hex(info.address->domain, 4));
  writer.attribute("bus", hex(info.address->bus, 2)).attribute("slot", hex(info.address->slot, 2));
  writer.attribute("function", hex(info.address->function, 1));
  if (info.address->multifunction) writer.attribute("multifunction", "on");
  writer.end();
}

std::string to_string(const PciAddress& address) {
  char text[32];
  std::snprintf(text, sizeof text, "%04x:%02x:%02x.%x", address.domain, address.bus, address.slot, address.function);
  return text;
}

}  // namespace domain
