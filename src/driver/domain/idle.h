#pragma once

#include <string>
#include <vector>

namespace core {
class XmlNode;
class XmlWriter;
}  // namespace core

namespace domain {

/// What a description has below <devices> that asks for no device: written by tools, kept, and without effect.
struct Idle {
  bool no_usb = false;              ///< a controller of type usb and model none
  bool no_video = false;            ///< a video of model none
  std::vector<std::string> inputs;  ///< "mouse", "keyboard" on bus ps2, which the board of q35 has; as written
  friend bool operator==(const Idle&, const Idle&) = default;
};

/// Reads what asks for nothing, and takes it out of the document. What asks for something stays there. Throws Error:
/// XML_DETAIL, CONFIG_UNSUPPORTED for a second of what can be said once, INTERNAL_ERROR for what ps2 has not.
Idle take_idle(const core::XmlNode& devices);
void format_idle_controllers(core::XmlWriter& writer, const Idle& idle);
void format_idle_rest(core::XmlWriter& writer, const Idle& idle);

}  // namespace domain
