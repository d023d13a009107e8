#include <cctype>
#include <string_view>

#include "driver/emulator/command.h"

namespace emulator {

Resources placeholders(const domain::Domain& domain) {
  // As libvirt names a domain that does not run, "domain--1-NAME" of twenty characters, without those a path may not
  // have.
  std::string name = "domain--1-";
  for (const char byte : domain.name.substr(0, 20)) {
    const bool safe = std::isalnum(static_cast<unsigned char>(byte)) != 0 || std::string_view("_.:-").contains(byte);
    name += safe ? byte : '_';
  }
  Resources resources;
  resources.monitor_path = "/run/libvirt/stratovirt/" + name + "/monitor.sock";
  resources.memory_dir = "/dev/hugepages/libvirt/stratovirt/" + name;
  const auto path_of = [&](const domain::CharacterSource& source, const std::string& alias) {
    if (source.type == domain::CharacterSource::Type::unix_socket && source.path.empty()) {
      resources.character_paths[alias] = "/run/libvirt/stratovirt/" + name + "/" + alias + ".sock";
    }
  };
  for (const auto& serial : domain.serials) path_of(serial.source, serial.info.alias);
  for (const auto& console : domain.consoles) path_of(console.source, console.info.alias);
  return resources;
}

std::string to_native(const domain::Domain& domain, Kind kind) {
  constexpr unsigned first_free_cid = 3;
  domain::Domain copy = domain;
  domain::assign_aliases(copy);
  for (std::size_t i = 0; i < copy.interfaces.size(); ++i) {
    auto& target = copy.interfaces[i].target;
    if (target.empty()) target = "vnet" + std::to_string(i);
  }
  if (copy.vsock && !copy.vsock->cid) copy.vsock->cid = first_free_cid;
  return to_shell(command_line(copy, placeholders(copy), assumed(kind, copy.os.arch)));
}

}  // namespace emulator
