#include <cstddef>
#include <cstdint>
#include <string>

#include "driver/core/error.h"
#include "driver/emulator/dialect.h"

// The first byte chooses the reader, the rest is the reply's JSON: read, or refused with an Error and nothing else.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emulator;
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Json reply = Json::parse(text, nullptr, false);
  if (reply.is_discarded()) return 0;
  constexpr const char* events[] = {"SHUTDOWN", "BALLOON_CHANGE", "DEVICE_DELETED", "BLOCK_IO_ERROR"};
  try {
    switch (data[0] % 12) {
      case 0: read_status(reply); break;
      case 1: read_vcpus(reply); break;
      case 2: read_iothreads(reply); break;
      case 3: read_chardevs(reply); break;
      case 4: read_block_stats(reply); break;
      case 5: read_balloon_kib(reply); break;
      case 6: read_guest_memory(reply); break;
      case 7: {
        Capabilities capabilities;
        for (const auto& query : probe_queries(Kind::qemu)) read_probe(capabilities, query, reply);
        break;
      }
      default: read_event(events[data[0] % 4], reply); break;
    }
  } catch (const core::Error&) {
  }
  return 0;
}
