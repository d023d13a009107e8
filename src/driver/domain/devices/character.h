#pragma once

#include <optional>
#include <string>

#include "driver/domain/devices/address.h"

namespace domain {

/// What stands behind a console or serial port (libvirt formatdomain "Consoles, serial, parallel & channel devices").
struct CharacterSource {
  enum class Type { pty, file, unix_socket };
  Type type = Type::pty;
  std::string path;            ///< pty: known while running; file: required; unix: chosen when absent
  std::optional<bool> append;  ///< file
  bool listen = true;          ///< unix: source@mode bind, else connect
  std::string log_file;        ///< log@file; empty for none
  std::optional<bool> log_append;
  friend bool operator==(const CharacterSource&, const CharacterSource&) = default;
};

/// A console: of target virtio a port of the virtio-serial controller, of target serial another name for the serial
/// port.
struct Console {
  enum class Target { serial, virtio };
  CharacterSource source;
  Target target = Target::serial;
  unsigned port = 0;
  DeviceInfo info;
  friend bool operator==(const Console&, const Console&) = default;
};

/// A serial port: isa-serial (16550) on x86_64, the PL011 of the board on aarch64.
struct Serial {
  CharacterSource source;
  std::string target;  ///< target@type: "isa-serial", "system-serial"
  std::string model;   ///< target/model@name: "isa-serial", "pl011"
  unsigned port = 0;
  DeviceInfo info;
  friend bool operator==(const Serial&, const Serial&) = default;
};

/// Reads and checks the element by itself. `live` keeps what only a running domain has. The port is `next_port` when
/// none is written.
Console parse_console(const core::XmlNode& node, bool live, unsigned next_port = 0);
Serial parse_serial(const core::XmlNode& node, bool live, unsigned next_port = 0);
/// Read what a character device is looked up by: its source, target and port. Nothing for what no machine here has.
std::optional<Console> parse_console_pattern(const core::XmlNode& node, bool live);
std::optional<Serial> parse_serial_pattern(const core::XmlNode& node, bool live);
void format(core::XmlWriter& writer, const Console& console, bool live);
void format(core::XmlWriter& writer, const Serial& serial, bool live);

}  // namespace domain
