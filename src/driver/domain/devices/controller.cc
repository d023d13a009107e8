#include "driver/domain/devices/controller.h"

#include "driver/domain/element.h"

namespace domain {
namespace {

using core::ErrorCode;

constexpr Name<Controller::Type> types[] = {{Controller::Type::pci, "pci"},
                                            {Controller::Type::virtio_serial, "virtio-serial"}};
constexpr Name<Controller::Model> models[] = {{Controller::Model::pcie_root, "pcie-root"},
                                              {Controller::Model::pcie_root_port, "pcie-root-port"}};
constexpr std::string_view other_types = "ide fdc scsi sata ccid usb xenbus isa";
constexpr std::string_view other_models =
    "pci-root pci-bridge dmi-to-pci-bridge pcie-to-pci-bridge pcie-switch-upstream-port pcie-switch-downstream-port "
    "pci-expander-bus pcie-expander-bus";
/// The device behind the model, which libvirt writes beside it.
constexpr std::string_view root_port_device = "pcie-root-port";
constexpr unsigned buses = 256;

AliasRule rule_of(const Controller& controller) {
  return controller.type == Controller::Type::virtio_serial ? AliasRule::any : AliasRule::user_only;
}

std::string hex(unsigned value) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  do text.insert(text.begin(), digits[value & 15]);
  while (value >>= 4);
  return "0x" + text;
}

void parse_pci(Controller& controller, const core::XmlNode& node) {
  if (!node.attribute("model")) refuse_lack(node, "attribute 'model'", ErrorCode::internal_error);
  controller.model = read_choice(node, "model", models, other_models, ErrorCode::config_unsupported).value();
  const bool is_root = controller.model == Controller::Model::pcie_root;
  if (is_root && controller.index != 0)
    refuse_value(node, "index", std::to_string(controller.index), "0 for model 'pcie-root'");
  if (!is_root && node.attribute("index") && controller.index == 0)
    refuse_value(node, "index", "0", "1 to 255; index 0 is of model 'pcie-root'");
  if (is_root) return;
  if (const auto model = node.child("model"))
    read_word(*model, "name", root_port_device,
              "ioh3420 i82801b11-bridge pci-bridge x3130-upstream xio3130-downstream pxb "
              "pxb-pcie spapr-pci-host-bridge pcie-pci-bridge");
  if (const auto target = node.child("target")) {
    controller.chassis = read_unsigned(*target, "chassis", 0, 255, ErrorCode::config_unsupported);
    if (const auto port = read_number(*target, "port", 0, 255, true, ErrorCode::config_unsupported))
      controller.port = static_cast<unsigned>(*port);
  }
}

}  // namespace

Controller parse_controller(const core::XmlNode& node, bool live) {
  Controller controller;
  // Without a type libvirt means one of IDE.
  if (!node.attribute("type")) refuse_lack(node, "attribute 'type'", ErrorCode::config_unsupported);
  controller.type = read_choice(node, "type", types, other_types).value();
  controller.index = read_unsigned(node, "index", 0, buses - 1).value_or(0);
  for (const char* name : {"model", "target"})
    if (node.children(name).size() > 1)
      throw core::Error(ErrorCode::xml_error, std::string("Multiple <") + name +
                                                  "> elements in controller definition not allowed (line " +
                                                  std::to_string(node.line()) + ")");
  if (controller.type == Controller::Type::pci) {
    parse_pci(controller, node);
  } else {
    read_word(node, "model", "virtio", "virtio-transitional virtio-non-transitional");
    controller.ports = read_unsigned(node, "ports", 1, 31);
    controller.vectors = read_unsigned(node, "vectors", 0, 2048);
  }
  controller.info = parse_info(node, rule_of(controller), live);
  if (controller.model == Controller::Model::pcie_root && controller.info.address)
    refuse_value(*node.child("address"), "type", "pci", "no address for model 'pcie-root'",
                 ErrorCode::config_unsupported);
  return controller;
}

std::optional<Controller> parse_controller_pattern(const core::XmlNode& node) {
  require_known(node, "type", words_of(types) + " " + std::string(other_types));
  Controller controller;
  controller.index = read_unsigned(node, "index").value_or(buses);  // without one it is none, as libvirt
  const std::string type = node.attribute("type").value_or("");
  for (const Name<Controller::Type>& row : types)
    if (row.text == type) {
      controller.type = row.value;
      return controller;
    }
  return std::nullopt;
}

void format(core::XmlWriter& writer, const Controller& controller, bool live) {
  writer.start("controller").attribute("type", name_of(types, controller.type)).attribute("index", controller.index);
  writer.attribute("model", unless_empty(name_of(models, controller.model)));
  writer.attribute("ports", controller.ports).attribute("vectors", controller.vectors);
  if (controller.model == Controller::Model::pcie_root_port) {
    writer.start("model").attribute("name", root_port_device).end();
    writer.start("target").attribute("chassis", controller.chassis);
    if (controller.port) writer.attribute("port", hex(*controller.port));
    writer.end_unless_empty();
  }
  format_info(writer, controller.info, rule_of(controller), live);
  writer.end();
}

}  // namespace domain
