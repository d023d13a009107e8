#include "driver/domain/devices/memballoon.h"

#include "driver/domain/element.h"

namespace domain {
namespace {

constexpr Name<Memballoon::Model> models[] = {{Memballoon::Model::virtio, "virtio"}, {Memballoon::Model::none, "none"}};
constexpr std::string_view other_models = "xen virtio-transitional virtio-non-transitional";

}  // namespace

Memballoon parse_memballoon(const core::XmlNode& node, bool live) {
  Memballoon balloon;
  required(node, "model");
  balloon.model = read_choice(node, "model", models, other_models).value();
  balloon.autodeflate = read_on_off(node, "autodeflate");
  balloon.free_page_reporting = read_on_off(node, "freePageReporting");
  // StratoVirt's guide writes it on the alias; it is shown where libvirt has it.
  if (const auto alias = node.child("alias"); alias && !balloon.autodeflate)
    balloon.autodeflate = read_on_off(*alias, "autodeflate");
  if (const auto stats = node.child("stats")) balloon.stats_period = read_unsigned(*stats, "period", 0, 0x7fffffff);
  balloon.info = parse_info(node, AliasRule::any, live);
  if (balloon.model == Memballoon::Model::none) balloon.info.address.reset();  // no device, no place
  return balloon;
}

Memballoon parse_memballoon_pattern(const core::XmlNode& node) {
  required(node, "model");
  require_known(node, "model", words_of(models) + " " + std::string(other_models));
  return {};
}

void format(core::XmlWriter& writer, const Memballoon& balloon, bool live) {
  writer.start("memballoon").attribute("model", name_of(models, balloon.model));
  writer.attribute("autodeflate", on_off(balloon.autodeflate));
  writer.attribute("freePageReporting", on_off(balloon.free_page_reporting));
  writer.start("stats").attribute("period", balloon.stats_period).end_unless_empty();
  format_info(writer, balloon.info, AliasRule::any, live);
  writer.end();
}

}  // namespace domain
