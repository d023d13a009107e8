#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <string>

#include "driver/instance/live_state.h"

// The state file of a machine: what is taken is written so that it is taken again, and means the same.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto state = instance::LiveState::read({reinterpret_cast<const char*>(data), size});
    const std::string written = state.write();
    const auto again = instance::LiveState::read(written);
    if (again.write() != written) std::abort();
  } catch (const std::exception&) {  // damaged
  }
  return 0;
}
