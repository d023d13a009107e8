#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "qmp/message.h"
#include "vmm/monitor/fake_machine_for_test.h"
#include "vmm/monitor/qmp_session.h"

// Bytes of a peer, in pieces whose length the first byte says: whatever they are, what comes out is QMP, and a command
// after the end of the line is still answered.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = data[0] + std::size_t{1};
  monitor::FakeMachine machine;
  std::string output;
  monitor::QmpSession session(machine, {.write =
                                            [&output](std::span<const std::uint8_t> bytes) {
                                              output.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                                              return bytes.size();
                                            },
                                        .hang_up = [] { __builtin_trap(); }});
  machine.told = [&session](const monitor::Event& event) { session.tell(event); };
  session.connected(true);
  const auto feed = [&session, piece](std::span<const std::uint8_t> bytes) {
    while (!bytes.empty()) {
      const auto part = bytes.first(std::min({bytes.size(), piece, session.room()}));
      if (part.empty()) __builtin_trap();
      session.take(part, {});
      bytes = bytes.subspan(part.size());
    }
  };
  feed({data + 1, size - 1});
  // Ends whatever is under way: a text, then its object, or the line of what was refused.
  for (int i = 0; i < 70; ++i) feed({reinterpret_cast<const std::uint8_t*>("\"}]\n"), 4});
  feed({reinterpret_cast<const std::uint8_t*>("\n"), 1});
  // It may have asked for capabilities that there are not.
  constexpr std::string_view negotiation = R"({"execute":"qmp_capabilities"})";
  feed({reinterpret_cast<const std::uint8_t*>(negotiation.data()), negotiation.size()});
  output.clear();
  constexpr std::string_view last = R"({"execute":"query-name","id":"last"})";
  feed({reinterpret_cast<const std::uint8_t*>(last.data()), last.size()});
  std::string_view rest = output;
  bool answered = false;
  while (!rest.empty()) {
    const auto end = rest.find("\r\n");
    if (end == std::string_view::npos) __builtin_trap();
    const auto object = qmp::parse_object(rest.substr(0, end));
    answered = object.contains("return") && object.value("id", qmp::Json()) == "last";
    rest.remove_prefix(end + 2);
  }
  if (!answered) __builtin_trap();
  return 0;
}
