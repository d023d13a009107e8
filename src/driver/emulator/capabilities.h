#pragma once

#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "driver/domain/domain.h"

namespace emulator {

enum class Kind { stratovirt, qemu };

/// Which emulator a domain's type asks for: kvm runs on a StratoVirt, qemu on QEMU's software emulation.
Kind kind_of(domain::Type type);
std::string_view to_string(Kind kind);  ///< "stratovirt", "qemu"

/// The program when <emulator> names none, to be looked up on PATH: "stratovirt", "qemu-system-x86_64".
std::string default_program(domain::Type type, domain::Arch arch);

struct Version {
  unsigned major = 0, minor = 0, micro = 0;
  friend auto operator<=>(const Version&, const Version&) = default;
  /// As libvirt's connection reports it: major * 1,000,000 + minor * 1,000 + micro.
  unsigned long number() const { return major * 1'000'000UL + minor * 1'000UL + micro; }
};
std::string to_string(const Version& version);  ///< "2.5.0"

/// What an emulator program can do, as it says itself. Filled by a probe: run probe_arguments(), then send every one of
/// probe_queries() and give each reply to read_probe(). A set that was never filled forbids nothing.
struct Capabilities {
  Kind kind = Kind::stratovirt;
  domain::Arch arch = domain::Arch::x86_64;
  Version version;
  std::string package;             ///< what a packager adds: "Debian 1:7.2+dfsg-7"
  std::set<std::string> machines;  ///< names and their aliases; query-machines
  std::set<std::string> options;   ///< "sandbox", "overcommit"; query-command-line-options
  std::set<std::string> types;     ///< "virtio-rng-device", "vfio-pci"; qom-list-types
  std::set<std::string> commands;  ///< query-commands
  friend bool operator==(const Capabilities&, const Capabilities&) = default;

  bool has_option(const std::string& option) const { return options.empty() || options.contains(option); }
  bool has_type(const std::string& type) const { return types.empty() || types.contains(type); }
  bool has_command(const std::string& command) const { return commands.empty() || commands.contains(command); }
  /// Whether it is this project's own monitor, as that says with its version: "StratoVirt 0.1.0 (C++)".
  bool is_own() const { return kind == Kind::stratovirt && package == "C++"; }
  /// Whether a file that comes while the machine runs is handed over open, since its sandbox opens none by name: this
  /// project's own monitor, which says of itself that it can close what it was handed (StratoVirt 2.5.0 cannot).
  bool takes_open_files() const { return kind == Kind::stratovirt && commands.contains("closefd"); }
};

/// What is taken for granted of a program that was not asked: for domxml-to-native.
Capabilities assumed(Kind kind, domain::Arch arch);

/// The program's kind and version from what `-version` prints ("StratoVirt 2.5.0", "QEMU emulator version 7.2.22
/// (Debian …)"). Throws Error: INTERNAL_ERROR when it is neither.
Capabilities read_version(std::string_view text);
/// Such a line, of which read_version makes the same.
std::string version_line(const Capabilities& capabilities);

/// Arguments that start the program without a machine, answering QMP at a socket it makes at `monitor_path`.
std::vector<std::string> probe_arguments(Kind kind, const std::string& monitor_path);
/// The queries of a probe, answered by both emulators; none takes arguments.
std::vector<std::string> probe_queries();
/// Takes one reply's "return" into `capabilities`. Throws Error: INTERNAL_ERROR when it has not the reply's shape.
void read_probe(Capabilities& capabilities, std::string_view query, const nlohmann::json& reply);

}  // namespace emulator
