#include "driver/registry/defaults.h"

#include <algorithm>

#include "driver/emulator/capabilities.h"
#include "driver/host/nvram.h"
#include "driver/host/spawn.h"

namespace registry {
namespace {

constexpr char suffix[] = "_VARS.fd";
constexpr std::size_t longest_file_name = 255;

std::string nvram_path(const domain::Domain& domain, const core::Layout& layout) {
  const bool fits = domain.name.size() + sizeof suffix - 1 <= longest_file_name;
  return layout.nvram + "/" + (fits ? domain.name : core::to_string(domain.uuid)) + suffix;
}

bool has_template(const std::string& loader, const instance::Settings& settings) {
  return std::ranges::any_of(settings.nvram, [&](const auto& pair) { return pair.first == loader; }) ||
         host::nvram_template(loader);
}

}  // namespace

void fill_from_host(domain::Domain& domain, const core::Layout& layout, const instance::Settings& settings) {
  if (domain.emulator.empty()) {
    domain.emulator = host::find_program(emulator::default_program(domain.type, domain.os.arch)).value_or("");
  }
  if (!domain.os.loader) return;
  if (!domain.os.nvram && has_template(domain.os.loader->path, settings)) domain.os.nvram.emplace();
  if (domain.os.nvram && domain.os.nvram->path.empty()) domain.os.nvram->path = nvram_path(domain, layout);
}

}  // namespace registry
