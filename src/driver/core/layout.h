#pragma once

#include <string>

namespace core {

/// Where a driver keeps its files. Every path is absolute.
struct Layout {
  std::string conf;       ///< virtstratovirtd.conf and stratovirt.conf: /etc/libvirt
  std::string config;     ///< definitions: /etc/libvirt/stratovirt
  std::string autostart;  ///< links to the definitions that start with the daemon
  std::string sockets;    ///< virtstratovirtd-sock: /run/libvirt
  std::string state;      ///< what runs: /run/libvirt/stratovirt
  std::string library;    ///< /var/lib/libvirt/stratovirt
  std::string nvram;      ///< /var/lib/libvirt/stratovirt/nvram
  std::string log;        ///< /var/log/libvirt/stratovirt
  std::string cache;      ///< what can be found out again: /var/cache/libvirt/stratovirt
  bool session = false;

  /// The system daemon's, below `root` ("" is the host's own).
  static Layout system(const std::string& root);
  /// An ordinary user's: XDG_CONFIG_HOME, XDG_RUNTIME_DIR and XDG_CACHE_HOME, with their defaults below HOME. Throws
  /// Error: INTERNAL_ERROR without HOME.
  static Layout user();

  /// Makes the folders that are missing. Throws std::system_error.
  void make() const;
};

}  // namespace core
