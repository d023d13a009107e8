#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "driver/domain/domain.h"

namespace emulator {

/// One interface's back end. A descriptor is a number the emulator inherits, or at hotplug the name it was given by
/// getfd.
struct Tap {
  std::vector<std::string> fds;        ///< one a queue
  std::vector<std::string> vhost_fds;  ///< one a queue, or none: no vhost
};

/// What the host prepared for one start, beside the live domain itself, which already holds the tap's name, the vsock's
/// cid, the paths of images, loader and nvram. Plain data; the emulator only maps it. Keys are aliases of devices.
struct Resources {
  std::string program;              ///< absolute path; empty: the domain's <emulator>, else the default
  std::string monitor_path;         ///< the QMP socket; the emulator makes it, at most 107 bytes
  std::optional<int> monitor_fd;    ///< QEMU only: a socket that listens already, instead of the path
  std::map<std::string, Tap> taps;  ///< by interface; one that is not here is opened by its name
  std::map<std::string, std::string>
      character_paths;          ///< by console or serial: the path to use instead of the description's
  std::optional<int> vsock_fd;  ///< /dev/vhost-vsock; absent: the emulator opens it
  std::string memory_dir;       ///< the domain's own directory on hugetlbfs, or where source@type file puts memory
  std::string home;             ///< HOME and XDG_* of the emulator; empty: not set
  std::string incoming;         ///< -incoming's URI; empty: a fresh start
  bool seccomp_sandbox = true;  ///< QEMU only: -sandbox on (qemu.conf seccomp_sandbox)
  std::map<std::string, int> character_fds;  ///< QEMU only, by console or serial: a socket that listens already
};

/// Stand-ins for what a start would make, as domxml-to-native prints them.
Resources placeholders(const domain::Domain& domain);

}  // namespace emulator
