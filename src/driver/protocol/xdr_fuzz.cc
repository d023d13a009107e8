#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "driver/protocol/test_wires.h"

namespace {

using Bytes = std::span<const std::uint8_t>;

/// What decodes is encoded, and that decodes to the same again.
template <class T>
void check(Bytes bytes) {
  T value;
  try {
    value = rpc::decode<T>(bytes);
  } catch (const core::Error&) {
    return;
  }
  const rpc::Bytes once = rpc::encode(value);
  if (rpc::encode(rpc::decode<T>(once)) != once) std::abort();
}

std::vector<void (*)(Bytes)> make_checks() {
  std::vector<void (*)(Bytes)> checks;
  protocol::testing::for_each_wire([&]<auto P>() {
    if constexpr (protocol::testing::HasEvent<P>) {
      checks.push_back(check<typename protocol::Wire<P>::Event>);
    } else {
      checks.push_back(check<typename protocol::Wire<P>::Args>);
      checks.push_back(check<typename protocol::Wire<P>::Ret>);
    }
  });
  return checks;
}

}  // namespace

// The first two bytes choose the struct, the rest is decoded as it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto checks = make_checks();
  if (size < 2) return 0;
  checks[static_cast<std::size_t>(data[0] << 8 | data[1]) % checks.size()]({data + 2, size - 2});
  return 0;
}
