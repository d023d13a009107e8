#include "driver/domain/devices/character.h"

#include "driver/domain/element.h"

namespace domain {
namespace {

using core::ErrorCode;
using Source = CharacterSource;

constexpr Name<Source::Type> types[] = {
    {Source::Type::pty, "pty"}, {Source::Type::file, "file"}, {Source::Type::unix_socket, "unix"}};
constexpr std::string_view other_types = "null vc dev pipe stdio udp tcp spicevmc spiceport nmdm qemu-vdagent dbus";
constexpr Name<Console::Target> targets[] = {{Console::Target::serial, "serial"}, {Console::Target::virtio, "virtio"}};
constexpr std::string_view other_targets = "xen uml lxc openvz sclp sclplm isa-debug";
constexpr std::string_view serial_targets = "isa-serial system-serial";
constexpr std::string_view other_serial_targets = "usb-serial pci-serial spapr-vio-serial sclp-serial isa-debug";
constexpr std::string_view serial_models = "isa-serial pl011";
constexpr std::string_view other_serial_models =
    "usb-serial pci-serial 16550a spapr-vty sclpconsole sclplmconsole isa-debugcon";

/// Console aliases are kept, but that of the console that is another name for the serial port.
AliasRule rule_of(const Console& console) {
  return console.target == Console::Target::virtio ? AliasRule::any : AliasRule::user_only;
}

Source parse_source(const core::XmlNode& node, bool live) {
  Source source;
  source.type =
      read_choice(node, "type", types, other_types, ErrorCode::config_unsupported).value_or(Source::Type::pty);
  if (node.children("source").size() > 1)
    throw core::Error(ErrorCode::xml_error, "only one source element is allowed for character device (line " +
                                                std::to_string(node.line()) + ")");
  const auto element = node.child("source");
  if (element) {
    source.path = element->attribute("path").value_or("");
    if (source.type == Source::Type::file) source.append = read_on_off(*element, "append");
    if (source.type == Source::Type::unix_socket)
      source.listen = read_word(*element, "mode", "bind connect").value_or("bind") == "bind";
  }
  if (source.type == Source::Type::pty && source.path.empty()) source.path = node.attribute("tty").value_or("");
  if (source.type == Source::Type::pty && !live) source.path.clear();
  if (!source.path.empty() && source.path[0] != '/')
    refuse_value(element.value_or(node), "path", source.path, "an absolute path");
  const bool needs_path = source.type == Source::Type::file || !source.listen;
  if (needs_path && source.path.empty())
    throw core::Error(ErrorCode::internal_error, "Missing source path attribute for char device (element '" +
                                                     std::string(node.name()) + "' at line " +
                                                     std::to_string(node.line()) + ")");
  if (const auto log = node.child("log")) {
    source.log_file = required(*log, "file");
    if (source.log_file[0] != '/') refuse_value(*log, "file", source.log_file, "an absolute path");
    source.log_append = read_on_off(*log, "append");
  }
  return source;
}

constexpr unsigned no_port = ~0u;  // of a pattern that names none: no device has it, as in libvirt

/// The type and the path, unchecked.
std::optional<Source> parse_source_pattern(const core::XmlNode& node, bool live) {
  require_known(node, "type", words_of(types) + " " + std::string(other_types), ErrorCode::config_unsupported);
  const std::string type = node.attribute("type").value_or("pty");
  if (has_word(other_types, type)) return std::nullopt;
  Source source;
  source.type = read_choice(node, "type", types).value_or(Source::Type::pty);
  if (const auto element = node.child("source")) source.path = element->attribute("path").value_or("");
  if (source.type == Source::Type::pty && source.path.empty()) source.path = node.attribute("tty").value_or("");
  if (source.type == Source::Type::pty && !live) source.path.clear();
  return source;
}

/// The type attribute and, for a pty that is open, libvirt's second place of its path.
void format_type(core::XmlWriter& writer, const Source& source, bool live, bool tty) {
  writer.attribute("type", name_of(types, source.type));
  if (tty && live && source.type == Source::Type::pty) writer.attribute("tty", unless_empty(source.path));
}

void format_source(core::XmlWriter& writer, const Source& source, bool live) {
  writer.start("source");
  if (source.type == Source::Type::unix_socket) writer.attribute("mode", source.listen ? "bind" : "connect");
  if (source.type != Source::Type::pty || live) writer.attribute("path", unless_empty(source.path));
  writer.attribute("append", on_off(source.append)).end_unless_empty();
  writer.start("log").attribute("file", unless_empty(source.log_file));
  writer.attribute("append", on_off(source.log_append)).end_unless_empty();
}

}  // namespace

Console parse_console(const core::XmlNode& node, bool live, unsigned next_port) {
  Console console;
  console.source = parse_source(node, live);
  console.port = next_port;
  if (const auto target = node.child("target")) {
    console.target = read_choice(*target, "type", targets, other_targets, ErrorCode::config_unsupported)
                         .value_or(Console::Target::serial);
    console.port = read_unsigned(*target, "port", 0, 31).value_or(next_port);
  }
  console.info = parse_info(node, rule_of(console), live);
  return console;
}

Serial parse_serial(const core::XmlNode& node, bool live, unsigned next_port) {
  Serial serial;
  serial.source = parse_source(node, live);
  serial.port = next_port;
  if (const auto target = node.child("target")) {
    serial.target =
        read_word(*target, "type", serial_targets, other_serial_targets, ErrorCode::config_unsupported).value_or("");
    serial.port = read_unsigned(*target, "port", 0, 3).value_or(next_port);
    if (const auto model = target->child("model"); model && model->attribute("name") != "")
      serial.model =
          read_word(*model, "name", serial_models, other_serial_models, ErrorCode::config_unsupported).value_or("");
  }
  serial.info = parse_info(node, AliasRule::user_only, live);
  return serial;
}

std::optional<Console> parse_console_pattern(const core::XmlNode& node, bool live) {
  const auto source = parse_source_pattern(node, live);
  Console console;
  console.port = no_port;
  if (const auto target = node.child("target")) {
    require_known(*target, "type", words_of(targets) + " " + std::string(other_targets), ErrorCode::config_unsupported);
    const std::string type = target->attribute("type").value_or("serial");
    if (type != "serial" && type != "virtio") return std::nullopt;
    console.target = type == "virtio" ? Console::Target::virtio : Console::Target::serial;
    console.port = read_unsigned(*target, "port").value_or(no_port);
  }
  if (!source) return std::nullopt;
  console.source = *source;
  return console;
}

std::optional<Serial> parse_serial_pattern(const core::XmlNode& node, bool live) {
  const auto source = parse_source_pattern(node, live);
  Serial serial;
  serial.port = no_port;
  if (const auto target = node.child("target")) {
    require_known(*target, "type", std::string(serial_targets) + " " + std::string(other_serial_targets),
                  ErrorCode::config_unsupported);
    serial.target = target->attribute("type").value_or("");
    serial.port = read_unsigned(*target, "port").value_or(no_port);
  }
  if (!source) return std::nullopt;
  serial.source = *source;
  return serial;
}

void format(core::XmlWriter& writer, const Console& console, bool live) {
  format_type(writer.start("console"), console.source, live, true);
  format_source(writer, console.source, live);
  writer.start("target").attribute("type", name_of(targets, console.target)).attribute("port", console.port).end();
  format_info(writer, console.info, rule_of(console), live);
  writer.end();
}

void format(core::XmlWriter& writer, const Serial& serial, bool live) {
  format_type(writer.start("serial"), serial.source, live, false);
  format_source(writer, serial.source, live);
  writer.start("target").attribute("type", unless_empty(serial.target)).attribute("port", serial.port);
  writer.start("model").attribute("name", unless_empty(serial.model)).end_unless_empty();
  writer.end();
  format_info(writer, serial.info, AliasRule::user_only, live);
  writer.end();
}

}  // namespace domain
