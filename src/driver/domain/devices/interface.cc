#include "driver/domain/devices/interface.h"

#include <sys/random.h>

#include <cstdio>

#include "driver/domain/element.h"

namespace domain {
namespace {

using core::ErrorCode;

constexpr Name<Interface::Type> types[] = {{Interface::Type::bridge, "bridge"},
                                           {Interface::Type::ethernet, "ethernet"}};
constexpr Name<Interface::Backend> backends[] = {{Interface::Backend::qemu, "qemu"},
                                                 {Interface::Backend::vhost, "vhost"}};
constexpr Name<Interface::Link> links[] = {{Interface::Link::up, "up"}, {Interface::Link::down, "down"}};

constexpr std::string_view other_types =
    "user vhostuser server client mcast network internal direct hostdev udp vdpa null vds";
/// The names that the host's part gives by itself, so no description keeps them.
constexpr std::string_view generated = "vnet";
constexpr std::size_t longest_name = 15;  // IFNAMSIZ less its end

std::optional<Mac> parse_mac(std::string_view text) {
  Mac mac;
  for (std::size_t i = 0; i < mac.size(); ++i) {
    const std::size_t end = std::min(text.find(':'), text.size());
    const std::string_view part = text.substr(0, end);
    if (part.empty() || part.size() > 2 || part.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
      return std::nullopt;
    mac[i] = static_cast<std::uint8_t>(*to_number("0x" + std::string(part), true));
    if ((end == text.size()) != (i + 1 == mac.size())) return std::nullopt;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return mac;
}

/// A MAC below QEMU's prefix, as libvirt makes them.
Mac make_mac() {
  Mac mac{0x52, 0x54, 0x00};
  if (getrandom(mac.data() + 3, 3, 0) != 3) throw core::Error::system(errno, "cannot make a MAC address");
  return mac;
}

std::optional<unsigned> read_queue_size(const core::XmlNode& node, const char* attribute) {
  const auto size = read_unsigned(node, attribute);
  if (size && (*size < 64 || *size > 1024 || (*size & (*size - 1))))
    refuse_value(node, attribute, std::to_string(*size), "a power of two from 64 to 1024",
                 ErrorCode::config_unsupported);
  return size;
}

bool is_interface_name(std::string_view name) {
  return name.size() <= longest_name && name != "." && name != ".." &&
         name.find_first_of(" \t\n\r\v\f/:%") == std::string_view::npos;
}

void parse_target(Interface& interface, const core::XmlNode& node, bool live) {
  const std::string name = node.attribute("dev").value_or("");
  if (!is_interface_name(name)) refuse_value(node, "dev", name, "at most 15 bytes without blanks, '/', ':' and '%'");
  if (live || !name.starts_with(generated)) interface.target = name;
  interface.target_managed = read_yes_no(node, "managed");
  if (interface.target_managed && interface.type == Interface::Type::bridge)
    refuse_value(node, "managed", *node.attribute("managed"), "of an interface of type ethernet only",
                 ErrorCode::config_unsupported);
}

/// Without an address, as libvirt: none.
std::optional<Mac> read_mac(const core::XmlNode& interface) {
  const auto mac = interface.child("mac");
  const auto text = mac ? mac->attribute("address") : std::nullopt;
  if (!text) return std::nullopt;
  const auto value = parse_mac(*text);
  if (!value) refuse_value(*mac, "address", *text, "as '52:54:00:12:34:56'");
  if ((*value)[0] & 1) refuse_value(*mac, "address", *text, "a unicast address, this is multicast");
  return value;
}

}  // namespace

Interface parse_interface(const core::XmlNode& node, bool live) {
  Interface interface;
  // Without a type libvirt means user networking.
  if (!node.attribute("type")) refuse_lack(node, "attribute 'type'", ErrorCode::config_unsupported);
  interface.type = read_choice(node, "type", types, other_types).value();
  const auto mac = read_mac(node);
  interface.mac = mac ? *mac : make_mac();
  if (interface.type == Interface::Type::bridge) {
    const core::XmlNode source = required_child(node, "source");
    interface.bridge = required(source, "bridge");
    if (!is_interface_name(interface.bridge)) refuse_value(source, "bridge", interface.bridge, "the name of a bridge");
  }
  if (const auto target = node.child("target")) parse_target(interface, *target, live);
  if (const auto model = node.child("model")) {
    interface.model = model->attribute("type").value_or(interface.model);
    constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    const bool is_word = interface.model.find_first_not_of(letters) == std::string::npos;
    if (interface.model != "virtio")
      refuse_value(*model, "type", interface.model, "'virtio'",
                   is_word ? ErrorCode::config_unsupported : ErrorCode::invalid_arg);
  }
  if (const auto driver = node.child("driver")) {
    interface.backend = read_choice(*driver, "name", backends, "vfio kvm").value_or(Interface::Backend::unset);
    interface.queues = read_unsigned(*driver, "queues", 1, 0xffff);
    interface.rx_queue_size = read_queue_size(*driver, "rx_queue_size");
    interface.tx_queue_size = read_queue_size(*driver, "tx_queue_size");
  }
  if (const auto link = child_with(node, "link", "state"))
    interface.link =
        read_choice(*link, "state", links, {}, ErrorCode::config_unsupported).value_or(Interface::Link::unset);
  if (const auto mtu = node.child("mtu")) {
    required(*mtu, "size");
    interface.mtu = read_unsigned(*mtu, "size", 68, 65535);
  }
  interface.info = parse_info(node, AliasRule::user_only, live);
  return interface;
}

Interface parse_interface_pattern(const core::XmlNode& node, bool live) {
  require_known(node, "type", words_of(types) + " " + std::string(other_types));
  if (node.attribute("type") == "bridge") required(required_child(node, "source"), "bridge");
  Interface interface;
  interface.mac = read_mac(node).value_or(any_mac);
  interface.info = parse_info(node, AliasRule::user_only, live);
  return interface;
}

void format(core::XmlWriter& writer, const Interface& interface, bool live) {
  writer.start("interface").attribute("type", name_of(types, interface.type));
  writer.start("mac").attribute("address", to_string(interface.mac)).end();
  if (interface.type == Interface::Type::bridge) writer.start("source").attribute("bridge", interface.bridge).end();
  const bool shown = live || !interface.target.starts_with(generated);
  writer.start("target")
      .attribute("dev", unless_empty(shown ? std::string_view(interface.target) : std::string_view()))
      .attribute("managed", yes_no(interface.target_managed))
      .end_unless_empty();
  writer.start("model").attribute("type", interface.model).end();
  writer.start("driver")
      .attribute("name", unless_empty(name_of(backends, interface.backend)))
      .attribute("queues", interface.queues)
      .attribute("rx_queue_size", interface.rx_queue_size)
      .attribute("tx_queue_size", interface.tx_queue_size)
      .end_unless_empty();
  writer.start("link").attribute("state", unless_empty(name_of(links, interface.link))).end_unless_empty();
  writer.start("mtu").attribute("size", interface.mtu).end_unless_empty();
  format_info(writer, interface.info, AliasRule::user_only, live);
  writer.end();
}

std::string to_string(const Mac& mac) {
  char text[18];
  std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
  return text;
}

}  // namespace domain
