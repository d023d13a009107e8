#include "driver/domain/idle.h"

#include "driver/domain/element.h"

namespace domain {
namespace {

using core::Error;
using core::ErrorCode;
using core::XmlNode;

bool take_usb(Idle& idle, const XmlNode& node) {
  if (node.attribute("type") != "usb" || node.attribute("model") != "none") return false;
  read_unsigned(node, "index");
  if (idle.no_usb)
    throw Error(ErrorCode::xml_detail, "Can't add another USB controller: USB is disabled for this domain");
  return idle.no_usb = true;
}

bool take_video(Idle& idle, const XmlNode& node) {
  const auto model = node.child("model");
  if (!model || model->attribute("type") != "none") return false;
  if (idle.no_video)
    throw Error(ErrorCode::config_unsupported,
                "a 'none' video type must be the only video device defined for the domain");
  return idle.no_video = true;
}

bool take_input(Idle& idle, const XmlNode& node) {
  if (!node.attribute("type")) throw Error(ErrorCode::internal_error, "missing input device type");
  const std::string type = *node.attribute("type");
  const bool of_the_board = type == "mouse" || type == "keyboard";
  if (node.attribute("bus").value_or(of_the_board ? "ps2" : "") != "ps2" || node.attribute("model")) return false;
  read_word(node, "type", "mouse keyboard tablet passthrough evdev", {}, ErrorCode::config_unsupported);
  if (!of_the_board) throw Error(ErrorCode::internal_error, "ps2 bus does not support " + type + " input device");
  idle.inputs.push_back(type);
  return true;
}

}  // namespace

Idle take_idle(const XmlNode& devices) {
  constexpr struct {
    std::string_view name;
    bool (*take)(Idle&, const XmlNode&);
  } rows[] = {{"controller", take_usb}, {"video", take_video}, {"input", take_input}};
  constexpr std::size_t most_inputs = 1024;
  Idle idle;
  for (const auto& row : rows)
    for (const XmlNode& node : devices.children(row.name))
      if (row.take(idle, node)) node.remove();
  if (idle.inputs.size() > most_inputs) throw Error(ErrorCode::internal_error, "more than 1024 elements 'input'");
  return idle;
}

void format_idle_controllers(core::XmlWriter& writer, const Idle& idle) {
  if (idle.no_usb)
    writer.start("controller").attribute("type", "usb").attribute("index", 0).attribute("model", "none").end();
}

void format_idle_rest(core::XmlWriter& writer, const Idle& idle) {
  for (const std::string& type : idle.inputs)
    writer.start("input").attribute("type", type).attribute("bus", "ps2").end();
  if (idle.no_video) writer.start("video").start("model").attribute("type", "none").end().end();
}

}  // namespace domain
