#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "driver/core/conf.h"
#include "driver/core/error.h"

namespace {

/// Runs a getter: a value or a refusal, nothing else.
template <class Getter>
void ask(Getter getter) {
  try {
    getter();
  } catch (const core::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const core::Conf conf = core::Conf::parse({reinterpret_cast<const char*>(data), size}, "fuzz.conf");
    for (const std::string& key : conf.keys()) {
      if (!conf.has(key) || conf.where(key).size() <= conf.name().size()) std::abort();
      ask([&] { conf.string(key); });
      ask([&] { conf.boolean(key); });
      ask([&] { conf.integer(key); });
      ask([&] { conf.unsigned_integer(key); });
      ask([&] { conf.strings(key); });
      ask([&] { conf.mode(key); });
    }
  } catch (const core::Error&) {
  }
  return 0;
}
