#include "driver/domain/devices/rng.h"

#include "driver/domain/element.h"

namespace domain {

using core::ErrorCode;

Rng parse_rng(const core::XmlNode& node, bool live) {
  Rng rng;
  required(node, "model");
  read_word(node, "model", "virtio", {}, ErrorCode::config_unsupported);
  const auto backends = node.children("backend");
  if (backends.size() != 1) refuse_lack(node, "element 'backend', or more than one of it,");
  required(backends[0], "model");
  read_word(backends[0], "model", "random", {}, ErrorCode::config_unsupported);
  if (const std::string path(trimmed(backends[0].text())); !path.empty()) rng.backend = path;
  if (rng.backend[0] != '/') refuse_value(backends[0], nullptr, rng.backend, "an absolute path");
  if (const auto rate = node.child("rate")) {
    rng.bytes = read_unsigned(*rate, "bytes", 1);
    rng.period = read_unsigned(*rate, "period");
    if (rng.period.value_or(1000) != 1000)
      refuse_value(*rate, "period", std::to_string(*rng.period), "1000", ErrorCode::config_unsupported);
    if (!rng.bytes) refuse_lack(*rate, "attribute 'bytes'");
  }
  rng.info = parse_info(node, AliasRule::user_only, live);
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
