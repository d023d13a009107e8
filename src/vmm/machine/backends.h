#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "vmm/chardev/chardev.h"
#include "vmm/cmdline/machine_config.h"
#include "vmm/machine/iothread.h"

namespace machine {

/// What devices are connected to, by its id. Looking up an id that is not there throws std::invalid_argument naming it.
struct Backends {
  std::map<std::string, std::unique_ptr<IoThread>> iothreads;
  std::map<std::string, std::unique_ptr<chardev::Chardev>> chardevs;
  std::map<std::string, cmdline::Drive> drives;
  std::map<std::string, cmdline::Netdev> netdevs;
  std::map<std::string, cmdline::RngBackend> rngs;

  template <class Map>
  static auto& find(Map& map, const char* kind, const std::string& id) {
    const auto found = map.find(id);
    if (found == map.end()) throw std::invalid_argument(std::string("there is no ") + kind + " '" + id + "'");
    return found->second;
  }
  chardev::Chardev& chardev(const std::string& id) { return *find(chardevs, "chardev", id); }
  IoThread& iothread(const std::string& id) { return *find(iothreads, "iothread", id); }
};

/// Opens a file; "/dev/fd/N" is the descriptor N that this program was started with. Throws std::system_error.
base::UniqueFd open_named(const std::string& path, int flags);

/// Makes the back end of a character device. Throws as chardev::Chardev does.
void add_chardev(Backends& backends, const cmdline::Chardev& config, loop::Loop& loop);

}  // namespace machine
