#include "driver/domain/devices/rng.h"

#include "driver/domain/element.h"

namespace domain {

using core::ErrorCode;

namespace {

core::XmlNode only_backend(const core::XmlNode& rng) {
  const auto backends = rng.children("backend");
  if (backends.size() != 1) refuse_lack(rng, "element 'backend', or more than one of it,");
  if (!backends[0].attribute("model")) refuse_lack(backends[0], "attribute 'model'");
  return backends[0];
}

}  // namespace

Rng parse_rng(const core::XmlNode& node, bool live) {
  Rng rng;
  if (!node.attribute("model")) refuse_lack(node, "attribute 'model'");
  read_word(node, "model", "virtio", {}, ErrorCode::config_unsupported);
  const core::XmlNode backend = only_backend(node);
  read_word(backend, "model", "random", {}, ErrorCode::config_unsupported);
  if (const std::string path(trimmed(backend.text())); !path.empty()) rng.backend = path;
  if (rng.backend[0] != '/') refuse_value(backend, nullptr, rng.backend, "an absolute path");
  // As libvirt: a rate of no bytes is none.
  if (const auto rate = child_with(node, "rate", "bytes"); rate && !rate->attribute("bytes").value_or("").empty()) {
    rng.bytes = read_unsigned(*rate, "bytes", 1);
    if (const auto timed = child_with(node, "rate", "period")) rng.period = read_unsigned(*timed, "period");
    if (rng.period.value_or(1000) != 1000)
      refuse_value(*rate, "period", std::to_string(*rng.period), "1000", ErrorCode::config_unsupported);
  }
  rng.info = parse_info(node, AliasRule::user_only, live);
  return rng;
}

std::optional<Rng> parse_rng_pattern(const core::XmlNode& node) {
  required(node, "model");
  require_known(node, "model", "virtio virtio-transitional virtio-non-transitional", ErrorCode::config_unsupported);
  const core::XmlNode backend = only_backend(node);
  require_known(backend, "model", "random egd builtin", ErrorCode::config_unsupported);
  if (backend.attribute("model") != "random") return std::nullopt;
  Rng rng;
  if (const std::string path(trimmed(backend.text())); !path.empty()) rng.backend = path;
  if (const auto rate = node.child("rate")) {
    rng.bytes = read_unsigned(*rate, "bytes");
    rng.period = read_unsigned(*rate, "period");
  }
  rng.info.address = parse_address(node);
  return rng;
}

void format(core::XmlWriter& writer, const Rng& rng, bool live) {
  writer.start("rng").attribute("model", "virtio");
  writer.start("rate").attribute("bytes", rng.bytes).attribute("period", rng.period).end_unless_empty();
  writer.start("backend").attribute("model", "random").text(rng.backend).end();
  format_info(writer, rng.info, AliasRule::user_only, live);
  writer.end();
}

}  // namespace domain
