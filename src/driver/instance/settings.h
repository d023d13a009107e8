#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "driver/core/conf.h"
#include "driver/host/spawn.h"

namespace instance {

/// stratovirt.conf: qemu.conf's keys as far as they have a meaning here.
struct Settings {
  host::Identity identity{};      ///< user, group: who the emulators run as
  bool root_unasked = false;      ///< which is root, though nobody wrote so: the host has no user for them
  bool dynamic_ownership = true;  ///< give them their files at start and restore at stop
  bool seccomp_sandbox = true;
  unsigned max_queued = 0;  ///< who holds a domain's job and who waits for it; 0 is no limit of the administrator's
  std::vector<std::pair<std::string, std::string>> nvram;  ///< loader -> template, before the known ones

  /// `privileged`: the daemon can change users; without it emulators run as the daemon and own nothing. Throws Error:
  /// CONF_SYNTAX and INTERNAL_ERROR for a bad value, CONFIG_UNSUPPORTED for a security key that is not implemented.
  static Settings read(const core::Conf& conf, bool privileged);
};

}  // namespace instance
