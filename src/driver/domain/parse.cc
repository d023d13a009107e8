#include "driver/core/error.h"
#include "driver/domain/devices.h"
#include "driver/domain/element.h"
#include "driver/domain/general.h"
#include "driver/domain/known_names.h"

namespace domain {
namespace {

using core::Error;
using core::ErrorCode;
using core::XmlNode;

Domain read(std::string_view xml, bool live) {
  const core::XmlDocument document(xml, "(domain_definition)");
  const XmlNode root = document.root();
  if (root.name() != "domain")
    throw Error(ErrorCode::xml_error,
                "expecting root element of 'domain', not '" + std::string(root.name().substr(0, 64)) + "'");
  // As libvirt, which looks elements up by their paths: what a description has in several pieces is one.
  for (const char* name : {"memoryBacking", "cputune", "os", "features", "clock", "pm", "devices"}) root.join(name);
  Domain domain;
  if (const auto devices = root.child("devices")) domain.idle = take_idle(*devices);
  refuse_known_names(root, "domain");
  parse_general(domain, root);
  parse_machine(domain, root);
  if (const auto devices = root.child("devices")) parse_devices(domain, *devices, live);
  return domain;
}

}  // namespace

Domain parse(std::string_view xml) {
  Domain domain = read(xml, false);
  assign_addresses(domain);
  return domain;
}

Domain parse_live(std::string_view xml) {
  return read(xml, true);
}

std::string format(const Domain& domain, const FormatOptions& options) {
  core::XmlWriter writer;
  writer.start("domain").attribute("type", to_string(domain.type)).attribute("id", options.id);
  format_general(writer, domain);
  format_machine(writer, domain);
  format_devices(writer, domain, options.live);
  for (const std::string& model : domain.seclabels)
    writer.start("seclabel").attribute("type", "none").attribute("model", unless_empty(model)).end();
  writer.end();
  return writer.take();
}

}  // namespace domain
