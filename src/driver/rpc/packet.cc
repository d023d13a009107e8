#include "driver/rpc/packet.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace rpc {
namespace {

constexpr std::int32_t level_error = 2;
/// libvirt's own limit for the text of an error is 1024 bytes; a longer one is of use to nobody.
constexpr std::size_t max_text = 65536;

[[noreturn]] void fail(std::string detail) {
  throw core::Error(core::ErrorCode::rpc, std::move(detail), core::ErrorDomain::rpc);
}

}  // namespace

RemoteError to_remote(const core::Error& error) {
  const std::string message = std::string(error.what()).substr(0, max_text);
  const std::string detail = error.detail().substr(0, max_text);
  // str1 is the message with its detail left out, str2 the detail, int1 the errno (libvirt's virReportErrorHelper).
  std::string form = message;
  if (!detail.empty() && message.ends_with(detail)) form.replace(form.size() - detail.size(), detail.size(), "%s");
  const std::int32_t number = error.errno_value() != 0 ? error.errno_value() : -1;
  return {static_cast<std::int32_t>(error.code()),
          static_cast<std::int32_t>(error.domain()),
          message,
          level_error,
          std::nullopt,
          form,
          detail.empty() ? std::nullopt : std::optional<String<>>(detail),
          std::nullopt,
          number,
          -1,
          std::nullopt};
}

std::size_t packet_length(std::span<const std::uint8_t, length_size> word, std::size_t max) {
  const std::size_t length = Decoder(word).word();
  if (length < length_size + header_size) {
    fail("packet " + std::to_string(length) + " bytes received from server too small, want " +
         std::to_string(length_size + header_size));
  }
  if (length - length_size > max) {
    fail("packet " + std::to_string(length - length_size) + " bytes received from server too large, want " +
         std::to_string(max));
  }
  return length;
}

void open_packet(Bytes& out, const Header& header) {
  Encoder encoder(out);
  encoder.put_word(0);
  encoder.put(header);
}

void close_packet(Bytes& out, std::size_t start) {
  const std::size_t length = out.size() - start;
  if (length - length_size > max_packet) fail("Unable to encode message payload");
  for (std::size_t i = 0; i < length_size; ++i) {
    out[start + i] = static_cast<std::uint8_t>(length >> (8 * (length_size - 1 - i)));
  }
}

}  // namespace rpc
