#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "driver/core/error.h"
#include "driver/domain/change.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

/// What is taken is shown as what it is, at rest and running.
void try_domain(std::string_view xml) {
  domain::Domain description = domain::parse(xml);
  const std::string shown = domain::format(description);
  require(domain::parse(shown) == description);
  domain::validate(description);
  domain::assign_aliases(description);
  const std::string live = domain::format(description, {.id = 1, .live = true});
  require(domain::parse_live(live) == description);
}

void try_live(std::string_view xml) {
  const domain::Domain running = domain::parse_live(xml);
  const std::string shown = domain::format(running, {.id = 1, .live = true});
  require(domain::format(domain::parse_live(shown), {.id = 1, .live = true}) == shown);
}

void try_pattern(std::string_view xml) {
  domain::Domain domain;
  for (const bool live : {false, true})
    if (const auto like = domain::parse_pattern(xml, live)) require(!domain::find_device(domain, *like).has_value());
}

void try_device(std::string_view xml) {
  const domain::Device device = domain::parse_device(xml);
  require(domain::parse_device(domain::format(device)) == device);
  domain::Domain domain;
  domain::add_device(domain, device);
  domain::assign_addresses(domain);
  require(domain::find_device(domain, device).has_value());
  domain::update_device(domain, device, device);
  domain::remove_device(domain, device);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view xml(reinterpret_cast<const char*>(data), size);
  for (auto* const body : {try_domain, try_live, try_device, try_pattern}) {
    try {
      body(xml);
    } catch (const core::Error&) {
    }
  }
  return 0;
}
