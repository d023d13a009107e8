#include "driver/core/layout.h"

#include <unistd.h>

#include <cstdlib>

#include "base/file.h"
#include "driver/core/error.h"

namespace core {
namespace {

std::string environment(const char* name, const std::string& fallback) {
  const char* value = std::getenv(name);
  return value && *value ? value : fallback;
}

}  // namespace

Layout Layout::system(const std::string& root) {
  const std::string library = root + "/var/lib/libvirt/stratovirt";
  return {
      .conf = root + "/etc/libvirt",
      .config = root + "/etc/libvirt/stratovirt",
      .autostart = root + "/etc/libvirt/stratovirt/autostart",
      .sockets = root + "/run/libvirt",
      .state = root + "/run/libvirt/stratovirt",
      .library = library,
      .nvram = library + "/nvram",
      .log = root + "/var/log/libvirt/stratovirt",
      .cache = root + "/var/cache/libvirt/stratovirt",
  };
}

Layout Layout::user() {
  const std::string home = environment("HOME", "");
  if (home.empty()) throw Error(ErrorCode::internal_error, "HOME is not set");
  const std::string conf = environment("XDG_CONFIG_HOME", home + "/.config") + "/libvirt";
  const std::string cache = environment("XDG_CACHE_HOME", home + "/.cache") + "/libvirt";
  const std::string runtime = environment("XDG_RUNTIME_DIR", cache) + "/libvirt";
  return {
      .conf = conf,
      .config = conf + "/stratovirt",
      .autostart = conf + "/stratovirt/autostart",
      .sockets = runtime,
      .state = runtime + "/stratovirt",
      .library = conf + "/stratovirt/lib",
      .nvram = conf + "/stratovirt/nvram",
      .log = cache + "/stratovirt/log",
      .cache = cache + "/stratovirt/capabilities",
      .session = true,
  };
}

void Layout::make() const {
  const mode_t mode = session ? 0700 : 0755;
  for (const std::string* folder : {&conf, &sockets, &state, &library, &nvram}) base::make_folders(*folder, mode);
  // Descriptions and logs may hold what is no business of the host's other users.
  for (const std::string* folder : {&config, &autostart, &log, &cache}) base::make_folders(*folder, 0700);
}

}  // namespace core
