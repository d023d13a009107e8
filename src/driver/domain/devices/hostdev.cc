#include "driver/domain/devices/hostdev.h"

#include "driver/domain/element.h"

namespace domain {
namespace {

using core::ErrorCode;

constexpr std::string_view other_types = "usb scsi scsi_host mdev storage misc net";

std::string hex(unsigned value, std::size_t digits) {
  constexpr char all[] = "0123456789abcdef";
  std::string text(digits, '0');
  for (std::size_t i = digits; i-- > 0; value >>= 4) text[i] = all[value & 15];
  return "0x" + text;
}

PciAddress read_source(const core::XmlNode& address) {
  const auto part = [&](const char* name, std::uint64_t most) {
    return read_number(address, name, 0, most, true).value_or(0);
  };
  PciAddress source;
  source.domain = static_cast<std::uint16_t>(part("domain", 0xffff));
  source.bus = static_cast<std::uint8_t>(part("bus", 0xff));
  source.slot = static_cast<std::uint8_t>(part("slot", 31));
  source.function = static_cast<std::uint8_t>(part("function", 7));
  return source;
}

}  // namespace

Hostdev parse_hostdev(const core::XmlNode& node, bool live) {
  Hostdev hostdev;
  read_word(node, "mode", "subsystem", "capabilities", ErrorCode::config_unsupported);
  if (!node.attribute("type")) refuse_lack(node, "attribute 'type'");
  read_word(node, "type", "pci", other_types, ErrorCode::config_unsupported);
  hostdev.managed = read_yes_no(node, "managed").value_or(false);
  if (const auto driver = node.child("driver"))
    if (read_word(*driver, "name", "vfio", "kvm xen")) hostdev.vfio_driver = true;
  hostdev.source = read_source(required_child(required_child(node, "source"), "address"));
  hostdev.info = parse_info(node, AliasRule::user_only, live);
  return hostdev;
}

std::optional<Hostdev> parse_hostdev_pattern(const core::XmlNode& node) {
  require_known(node, "mode", "subsystem capabilities", ErrorCode::config_unsupported);
  const std::string type = required(node, "type");
  require_known(node, "type", "pci " + std::string(other_types), ErrorCode::config_unsupported);
  const core::XmlNode source = required_child(node, "source");
  if (type != "pci") return std::nullopt;
  Hostdev hostdev;
  if (const auto address = source.child("address")) hostdev.source = read_source(*address);
  return hostdev;
}

void format(core::XmlWriter& writer, const Hostdev& hostdev, bool live) {
  writer.start("hostdev")
      .attribute("mode", "subsystem")
      .attribute("type", "pci")
      .attribute("managed", yes_no(hostdev.managed));
  if (hostdev.vfio_driver == true) writer.start("driver").attribute("name", "vfio").end();
  writer.start("source").start("address");
  writer.attribute("domain", hex(hostdev.source.domain, 4)).attribute("bus", hex(hostdev.source.bus, 2));
  writer.attribute("slot", hex(hostdev.source.slot, 2)).attribute("function", hex(hostdev.source.function, 1));
  writer.end().end();
  format_info(writer, hostdev.info, AliasRule::user_only, live);
  writer.end();
}

}  // namespace domain
