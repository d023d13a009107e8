#include "driver/domain/metadata.h"

#include <set>

#include "driver/core/error.h"
#include "driver/core/xml.h"

namespace domain {
namespace {

using core::Error;
using core::ErrorCode;
using core::XmlDocument;
using core::XmlNode;

constexpr int depth = 2;                          // where a description has them
constexpr std::string_view separator = "\n    ";  // a line at that depth

void append(std::string& metadata, const std::string& element) {
  if (!metadata.empty()) metadata += separator;
  metadata += element;
}

XmlDocument document_of(const Domain& domain) {
  return XmlDocument("<metadata>" + domain.metadata + "</metadata>", "(metadata_xml)");
}

}  // namespace

std::string parse_metadata(const XmlNode& node) {
  std::string metadata;
  std::set<std::string_view> seen;
  for (const XmlNode& child : node.children())
    if (!child.namespace_uri().empty() && seen.insert(child.namespace_uri()).second) append(metadata, child.raw(depth));
  return metadata;
}

std::string get_metadata(const Domain& domain, const std::string& uri) {
  const XmlDocument document = document_of(domain);
  for (const XmlNode& child : document.root().children()) {
    if (child.namespace_uri() != uri) continue;
    XmlDocument found(child.raw(0), "(metadata_xml)");
    found.take_out_of_namespace(uri);
    return found.root().raw(0);
  }
  throw Error(ErrorCode::no_domain_metadata, "Requested metadata element is not present");
}

void set_metadata(Domain& domain, const std::optional<std::string>& xml, const std::string& key,
                  const std::string& uri) {
  if (uri.empty()) throw Error(ErrorCode::invalid_arg, "uri must not be empty");
  std::string metadata;
  const XmlDocument document = document_of(domain);
  for (const XmlNode& child : document.root().children())
    if (child.namespace_uri() != uri) append(metadata, child.raw(depth));
  if (xml) {
    if (key.empty()) throw Error(ErrorCode::invalid_arg, "key must not be empty");
    XmlDocument added(*xml, "(metadata_xml)");
    added.put_into_namespace(key, uri);
    append(metadata, added.root().raw(depth));
  }
  // What could not be read again is not kept: whatever came is held to the bounds of a description.
  const XmlDocument whole("<metadata>" + metadata + "</metadata>", "(metadata_xml)");
  domain.metadata = parse_metadata(whole.root());
}

}  // namespace domain
