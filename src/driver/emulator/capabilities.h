#pragma once

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "driver/domain/domain.h"

namespace emulator {

enum class Kind { stratovirt, qemu };

/// Which emulator runs a domain that names none: of type kvm a StratoVirt, of type qemu QEMU with its software
/// emulation.
Kind default_kind(domain::Type type);
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

/// A value whose copies share it: what a program says of itself is long, and every machine that it runs keeps a copy.
template <class T>
class Shared {
 public:
  Shared() = default;
  Shared(T value) : value_(std::make_shared<const T>(std::move(value))) {}  // NOLINT(google-explicit-constructor)
  const T& operator*() const {
    static const T none;
    return value_ ? *value_ : none;
  }
  const T* operator->() const { return &**this; }
  friend bool operator==(const Shared& a, const Shared& b) { return *a == *b; }

 private:
  std::shared_ptr<const T> value_;
};
using Names = Shared<std::set<std::string>>;

/// A machine type as query-machines tells it.
struct Machine {
  std::string canonical;  ///< the name itself; of an alias, what it stands for today: "pc-q35-7.2" of "q35"
  unsigned most_vcpus = 0;
  friend bool operator==(const Machine&, const Machine&) = default;
};

/// What an emulator program can do, as it says itself. Filled by a probe: run probe_arguments(), then send every one of
/// probe_queries() and give each reply to read_probe(). A set that was never filled forbids nothing.
struct Capabilities {
  Kind kind = Kind::stratovirt;
  Version version;
  std::string package;                              ///< what a packager adds: "Debian 1:7.2+dfsg-7"
  Version monitor;                                  ///< the QEMU whose monitor it speaks; query-version
  std::string arch;                                 ///< "x86_64"; query-target, empty: it was not asked
  bool kvm = true;                                  ///< whether it was built with KVM; query-kvm
  Shared<std::map<std::string, Machine>> machines;  ///< by name and by alias; query-machines
  Shared<std::map<std::string, bool>> cpus;         ///< models, and whether they run here in software; QEMU's
  Names options;                                    ///< "sandbox", "overcommit"; query-command-line-options
  Names types;                                      ///< "virtio-rng-device", "vfio-pci"; qom-list-types
  Names commands;                                   ///< query-commands
  friend bool operator==(const Capabilities&, const Capabilities&) = default;

  /// The name of the machine that `machine` stands for, itself where nothing is known of it.
  std::string canonical(const std::string& machine) const {
    const auto found = machines->find(machine);
    return found == machines->end() ? machine : found->second.canonical;
  }
  bool has_option(const std::string& option) const { return options->empty() || options->contains(option); }
  bool has_type(const std::string& type) const { return types->empty() || types->contains(type); }
  bool has_command(const std::string& command) const { return commands->empty() || commands->contains(command); }
  /// Whether it is this project's own monitor, as that says with its version: "StratoVirt 0.1.0 (C++)".
  bool is_own() const { return kind == Kind::stratovirt && package == "C++"; }
  /// Whether a file that comes while the machine runs is handed over open, since its sandbox opens none by name: this
  /// project's own monitor, which says of itself that it can close what it was handed (StratoVirt 2.5.0 cannot).
  bool takes_open_files() const { return kind == Kind::stratovirt && commands->contains("closefd"); }
};

/// Throws Error CONFIG_UNSUPPORTED where the program at `path` does not run a domain of this type, architecture or
/// machine: a StratoVirt needs KVM, a QEMU has KVM and software emulation.
void require_runs(const Capabilities& capabilities, const domain::Domain& domain, const std::string& path);

/// What is taken for granted of a program that was not asked: for domxml-to-native.
Capabilities assumed(Kind kind, domain::Arch arch);

/// The program's kind and version from what `-version` prints ("StratoVirt 2.5.0", "QEMU emulator version 7.2.22
/// (Debian …)"). Throws Error: INTERNAL_ERROR when it is neither.
Capabilities read_version(std::string_view text);
/// Such a line, of which read_version makes the same.
std::string version_line(const Capabilities& capabilities);

/// What was probed as text, to be read again by the same release of this driver.
std::string to_text(const Capabilities& capabilities);
/// Throws Error: INTERNAL_ERROR for what is no such text.
Capabilities read_text(std::string_view text);

/// Arguments that start the program without a machine, answering QMP at a socket it makes at `monitor_path`.
std::vector<std::string> probe_arguments(Kind kind, const std::string& monitor_path);
/// The queries of a probe; none takes arguments, and one that a program does not know tells nothing.
std::vector<std::string> probe_queries(Kind kind);
/// Takes one reply's "return" into `capabilities`. Throws Error: INTERNAL_ERROR when it has not the reply's shape.
void read_probe(Capabilities& capabilities, std::string_view query, const nlohmann::json& reply);

}  // namespace emulator
