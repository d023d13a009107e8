#include "driver/domain/devices/vsock.h"

#include "driver/domain/element.h"

namespace domain {
namespace {

constexpr std::string_view models = "virtio virtio-transitional virtio-non-transitional";
constexpr std::uint32_t least_cid = 3, most_cid = 4294967294;  // below are the host's own, above is "any"

}  // namespace

Vsock parse_vsock(const core::XmlNode& node, bool live) {
  Vsock vsock;
  if (node.attribute("model") != "default") read_word(node, "model", "virtio", models);
  if (const auto cid = node.child("cid")) {
    vsock.auto_cid = read_yes_no(*cid, "auto");
    vsock.cid = read_unsigned(*cid, "address", least_cid, most_cid, core::ErrorCode::config_unsupported);
    if (vsock.auto_cid == false && !vsock.cid) refuse_lack(*cid, "attribute 'address' beside auto='no'");
  }
  if (!vsock.auto_cid && !vsock.cid) vsock.auto_cid = true;
  vsock.info = parse_info(node, AliasRule::user_only, live);
  return vsock;
}

Vsock parse_vsock_pattern(const core::XmlNode& node) {
  require_known(node, "model", "default " + std::string(models));
  Vsock vsock;
  vsock.auto_cid = true;
  if (const auto cid = node.child("cid"))
    vsock.auto_cid = read_yes_no(*cid, "auto").value_or(!cid->attribute("address").has_value());
  vsock.info.address = parse_address(node);
  return vsock;
}

void format(core::XmlWriter& writer, const Vsock& vsock, bool live) {
  writer.start("vsock").attribute("model", "virtio");
  writer.start("cid").attribute("auto", yes_no(vsock.auto_cid)).attribute("address", vsock.cid).end_unless_empty();
  format_info(writer, vsock.info, AliasRule::user_only, live);
  writer.end();
}

}  // namespace domain
