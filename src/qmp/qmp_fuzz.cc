#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "qmp/message.h"

// The same bytes at once and in pieces (the first byte says how long) are the same number of messages or the same
// refusal.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto count = [&bytes](std::size_t piece) {
    qmp::Decoder decoder;
    long messages = 0;
    try {
      for (std::size_t at = 0; at < bytes.size(); at += piece) {
        decoder.feed(bytes.substr(at, piece));
        while (decoder.next()) ++messages;
      }
    } catch (const qmp::ProtocolError&) {
      return -1 - messages;
    }
    return messages;
  };
  if (count(std::size_t{1} << 24) != count(data[0] % 16U + 1)) std::abort();
  return 0;
}
