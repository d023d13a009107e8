#pragma once

#include <optional>
#include <string>

#include "driver/domain/devices/address.h"

namespace domain {

/// What stands behind a console or serial port (libvirt formatdomain "Consoles, serial, parallel & channel devices").
struct CharacterSource {
  enum class Type { pty, file, unix_socket };
  Type type = Type::pty;
  std::string path;  ///< pty: known while running; file: required; unix: chosen when absent
  std::optional<bool> append;     ///< file
  bool listen = true;             ///< unix: source@mode bind, else connect
  std::string log_file;           ///< log@file; empty for none
  std::optional<bool> log_append;
  friend bool operator==(const CharacterSource&, const CharacterSource&) = default;
};

/// A console: of target virtio a port of the virtio-serial controller, of target serial another name for the serial port.
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

}  // namespace domain
