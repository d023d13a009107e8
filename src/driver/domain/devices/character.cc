#include "driver/domain/devices/character.h"

#include "driver/domain/element.h"

namespace domain {

using core::ErrorCode;
using SourceType = CharacterSource::Type;

namespace {

constexpr Name<SourceType> types[] = {{SourceType::pty, "pty"}, {SourceType::file, "file"}, {SourceType::unix_socket, "unix"}};
constexpr std::string_view known_types = "null vc dev pipe stdio udp tcp spicevmc spiceport nmdm qemu-vdagent dbus";
constexpr Name<Console::Target> targets[] = {{Console::Target::serial, "serial"}, {Console::Target::virtio, "virtio"}};

CharacterSource parse_source(const core::XmlNode& node, bool live) {
  CharacterSource source;
  source.type = read_choice(node, "type", types, known_types, ErrorCode::xml_error).value_or(SourceType::pty);
  if (const auto from = node.child("source")) {
    if (source.type != SourceType::pty || live) source.path = from->attribute("path").value_or("");
    source.append = read_on_off(*from, "append");
    source.listen = read_word(*from, "mode", "bind connect").value_or("bind") == "bind";
  }
  if (source.type == SourceType::file && source.path.empty()) refuse_lack(node, "element 'source' with an attribute 'path'");
  if (!source.path.empty() && source.path[0] != '/') refuse_value(*node.child("source"), "path", source.path, "an absolute path");
  if (const auto log = node.child("log")) {
    source.log_file = required(*log, "file");
    source.log_append = read_on_off(*log, "append");
  }
  return source;
}

void format_source(core::XmlWriter& writer, const CharacterSource& source, bool live) {
  const bool shown = live || source.type != SourceType::pty;
  if (source.type == SourceType::unix_socket || (shown && !source.path.empty())) {
    writer.start("source");
    if (source.type == SourceType::unix_socket) writer.attribute("mode", source.listen ? "bind" : "connect");
    writer.attribute("path", unless_empty(source.path)).attribute("append", on_off(source.append)).end();
  }
  if (!source.log_file.empty()) {
    writer.start("log").attribute("file", source.log_file).attribute("append", on_off(source.log_append)).end();
  }
}

}  // namespace

Console parse_console(const core::XmlNode& node, bool live, unsigned next_port) {
  Console console;
  console.source = parse_source(node, live);
  console.port = next_port;
  if (const auto target = node.child("target")) {
    console.target = read_choice(*target, "type", targets, "xen uml lxc openvz sclp sclplm", ErrorCode::config_unsupported)
                         .value_or(Console::Target::serial);
    console.port = read_unsigned(*target, "port").value_or(next_port);
  }
  console.info = parse_info(node, AliasRule::any, live);
  return console;
}

Serial parse_serial(const core::XmlNode& node, bool live, unsigned next_port) {
  Serial serial;
  serial.source = parse_source(node, live);
  serial.port = next_port;
  if (const auto target = node.child("target")) {
    serial.target = read_word(*target, "type", "isa-serial system-serial", "usb-serial pci-serial spapr-vio-serial sclp-serial isa-debug",
                              ErrorCode::config_unsupported)
                        .value_or("");
    serial.port = read_unsigned(*target, "port").value_or(next_port);
    if (const auto model = target->child("model")) {
      serial.model = read_word(*model, "name", "isa-serial pl011", "usb-serial pci-serial 16550a isa-debugcon", ErrorCode::config_unsupported).value_or("");
    }
  }
  serial.info = parse_info(node, AliasRule::user_only, live);
  return serial;
}

void format(core::XmlWriter& writer, const Console& console, bool live) {
  writer.start("console").attribute("type", name_of(types, console.source.type));
  if (live && console.source.type == SourceType::pty) writer.attribute("tty", unless_empty(console.source.path));
  format_source(writer, console.source, live);
  writer.start("target").attribute("type", name_of(targets, console.target)).attribute("port", console.port).end();
  format_info(writer, console.info, AliasRule::any, live);
  writer.end();
}

void format(core::XmlWriter& writer, const Serial& serial, bool live) {
  writer.start("serial").attribute("type", name_of(types, serial.source.type));
  format_source(writer, serial.source, live);
  writer.start("target").attribute("type", unless_empty(serial.target)).attribute("port", serial.port);
  if (!serial.model.empty()) writer.start("model").attribute("name", serial.model).end();
  writer.end();
  format_info(writer, serial.info, AliasRule::user_only, live);
  writer.end();
}

}  // namespace domain
