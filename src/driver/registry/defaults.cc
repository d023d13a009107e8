#include "driver/registry/defaults.h"

#include "driver/emulator/capabilities.h"
#include "driver/host/spawn.h"
#include "driver/instance/firmware.h"

namespace registry {

void fill_from_host(domain::Domain& domain, const core::Layout& layout, const instance::Settings& settings) {
  if (domain.emulator.empty()) {
    domain.emulator = host::find_program(emulator::default_program(domain.type, domain.os.arch)).value_or("");
  }
  if (!domain.os.loader || domain.os.firmware) return;
  if (!domain.os.nvram && !instance::nvram_template(domain.os.loader->path, layout, settings).empty())
    domain.os.nvram.emplace();
  if (domain.os.nvram) domain.os.nvram->path = instance::nvram_path(domain, layout);
}

}  // namespace registry
