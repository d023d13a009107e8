#include "driver/rpc/packet.h"

#include <gmock/gmock.h>

namespace rpc {
namespace {

using ::testing::ElementsAre;

constexpr std::size_t mebibytes_40 = std::size_t{40} * 1024 * 1024;
constexpr Header header{0x20008086, 1, 23, Type::reply, 7, Status::ok};

std::size_t length_of(std::uint32_t word, std::size_t max = max_packet) {
  const Bytes bytes = encode(word);
  return packet_length(std::span(bytes).first<length_size>(), max);
}
std::string refusal(std::uint32_t word, std::size_t max = max_packet) {
  try {
    length_of(word, max);
    return "";
  } catch (const core::Error& error) {
    EXPECT_EQ(error.code(), core::ErrorCode::rpc);
    return error.what();
  }
}

TEST(Packet, LengthCountsItselfAndTheHeader) {
  Bytes out{0xaa};
  put_packet(out, header, std::uint32_t{5});
  ASSERT_EQ(out.size(), 1u + 4 + 24 + 4);
  EXPECT_THAT(Bytes(out.begin() + 1, out.begin() + 29), ElementsAre(0, 0, 0, 32, 0x20, 0, 0x80, 0x86, 0, 0, 0, 1, 0, 0,
                                                                    0, 23, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0));
}

TEST(Packet, LengthIsBoundedAsLibvirtBoundsIt) {
  EXPECT_EQ(length_of(28), 28u);
  EXPECT_EQ(refusal(27), "packet 27 bytes received from server too small, want 28");
  EXPECT_EQ(refusal(0), "packet 0 bytes received from server too small, want 28");
  EXPECT_EQ(length_of(33554432 + 4), 33554436u);
  EXPECT_EQ(refusal(33554432 + 5), "packet 33554433 bytes received from server too large, want 33554432");
  EXPECT_NE(refusal(0xffffffff), "");
  EXPECT_NE(refusal(200, 100), "");
}

TEST(Packet, APayloadOverItsBoundLeavesTheBufferAsItWas) {
  Bytes out{1, 2, 3};
  EXPECT_THROW(put_packet(out, header, String<2>("abc")), core::Error);
  EXPECT_THAT(out, ElementsAre(1, 2, 3));
}

TEST(Packet, ErrorHasWhatLibvirtsOwnHas) {
  const RemoteError error =
      to_remote(core::Error(core::ErrorCode::no_domain, "no domain with matching name 'x'", core::ErrorDomain::qemu));
  EXPECT_EQ(error.code, 42);
  EXPECT_EQ(error.domain, 10);
  EXPECT_EQ(error.level, 2);
  EXPECT_EQ(error.message, "Domain not found: no domain with matching name 'x'");
  EXPECT_EQ(error.str1, "Domain not found: %s");
  EXPECT_EQ(error.str2, "no domain with matching name 'x'");
  EXPECT_EQ(error.int1, -1);
  EXPECT_EQ(error.int2, -1);
  EXPECT_FALSE(error.dom || error.net || error.str3);
}

TEST(Packet, SystemErrorCarriesItsErrno) {
  const RemoteError error = to_remote(core::Error::system(2, "cannot open"));
  EXPECT_EQ(error.code, 38);
  EXPECT_EQ(error.int1, 2);
}

TEST(Packet, AnErrorOfAnyLengthFits) {
  const Bytes bytes = encode(to_remote(core::Error(core::ErrorCode::internal_error, std::string(mebibytes_40, 'x'))));
  EXPECT_LT(bytes.size(), 1'000'000u);
}

}  // namespace
}  // namespace rpc
