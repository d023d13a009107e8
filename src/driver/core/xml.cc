#include "driver/core/xml.h"

#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/tree.h>
#include <libxml/xmlerror.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "driver/core/error.h"

namespace core {
namespace {

using namespace std::string_view_literals;

std::string_view view(const xmlChar* text) {
  return text ? reinterpret_cast<const char*>(text) : std::string_view();
}
const xmlChar* xml(const char* text) {
  return reinterpret_cast<const xmlChar*>(text);
}

/// What the parser's callbacks leave for the constructor: the first fatal error, or a refused <!DOCTYPE>.
struct Complaint {
  std::string message;
  int line = 1;
  std::string context;
};

/// The line the parser stands in, at most 80 bytes before the place, and a caret under the place.
std::string context_of(const xmlParserInput* input) {
  if (!input || !input->cur || !input->base) return "\n^";
  constexpr std::ptrdiff_t width = 80;
  const xmlChar* place = input->cur;
  while (place > input->base && (*place == '\n' || *place == '\r')) --place;
  const xmlChar* begin = place;
  while (begin > input->base && place - begin < width && begin[-1] != '\n' && begin[-1] != '\r') --begin;
  const xmlChar* end = place;
  while (end < input->end && *end && *end != '\n' && *end != '\r' && end - begin < width) ++end;
  const auto column = static_cast<std::size_t>(input->cur - begin);
  return std::string(view(begin).substr(0, static_cast<std::size_t>(end - begin))) + "\n" + std::string(column, '-') +
         "^";
}

void note_error(void* user, xmlErrorPtr error) {
  auto* parser = static_cast<xmlParserCtxtPtr>(user);
  auto* complaint = static_cast<Complaint*>(parser->_private);
  if (!complaint->message.empty() || error->level != XML_ERR_FATAL) return;
  complaint->message = error->message ? error->message : "not well-formed";
  while (complaint->message.ends_with('\n')) complaint->message.pop_back();
  complaint->line = error->line;
  complaint->context = context_of(parser->input);
}

void refuse_doctype(void* user, const xmlChar*, const xmlChar*, const xmlChar*) {
  auto* parser = static_cast<xmlParserCtxtPtr>(user);
  auto* complaint = static_cast<Complaint*>(parser->_private);
  if (complaint->message.empty()) {
    complaint->message = "a document type declaration is not allowed";
    complaint->line = parser->input ? parser->input->line : 1;
    complaint->context = context_of(parser->input);
  }
  xmlStopParser(parser);
}

bool is_allowed(std::uint32_t c) {
  return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c < 0xd800) || (c >= 0xe000 && c <= 0xfffd) ||
         (c >= 0x10000 && c <= 0x10ffff);
}

/// The length of the character that XML can hold at the beginning of `text`, or 0.
std::size_t character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xc2 ? 0
                             : first < 0xe0 ? 2
                             : first < 0xf0 ? 3
                             : first < 0xf5 ? 4
                                            : 0;
  if (length == 0 || length > text.size()) return 0;
  std::uint32_t value = length == 1 ? first : first & (0x7fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    value = value << 6 | (byte(i) & 0x3f);
  }
  const bool shortest = length < 3 || value >= (length == 3 ? 0x800u : 0x10000u);
  return shortest && is_allowed(value) ? length : 0;
}

/// The characters of ASCII that stand for themselves wherever they are.
constexpr std::array<bool, 256> plain = [] {
  std::array<bool, 256> table{};
  for (std::size_t c = 0x20; c < 0x80; ++c)
    table[c] = std::string_view("<>&\"'").find(static_cast<char>(c)) == std::string_view::npos;
  return table;
}();

/// Appends the pieces, with one look at the room there is: a description is some hundreds of short ones.
template <std::same_as<std::string_view>... Pieces>
void append(std::string& out, Pieces... pieces) {
  const std::size_t before = out.size(), after = before + (pieces.size() + ...);
  out.resize_and_overwrite(after, [&](char* to, std::size_t) {  // libstdc++ 12 gives the capacity, not the size
    to += before;
    ((to = std::ranges::copy(pieces, to).out), ...);
    return after;
  });
}

void escape(std::string& out, std::string_view text, bool in_attribute) {
  while (true) {
    const auto* const end = std::ranges::find_if_not(text, [](char c) { return plain[static_cast<unsigned char>(c)]; });
    out.append(text.begin(), end);
    text.remove_prefix(static_cast<std::size_t>(end - text.begin()));
    if (text.empty()) return;
    const std::size_t length = character(text);
    switch (text[0]) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&apos;"; break;
      case '\r': out += "&#13;"; break;  // a parser turns a bare one into a line feed
      case '\n':
      case '\t':  // a parser turns a bare one in an attribute into a space
        if (in_attribute) {
          out += text[0] == '\n' ? "&#10;" : "&#9;";
          break;
        }
        [[fallthrough]];
      default: out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
}

/// Calls `visit` with each element of the tree below `node` and itself. No deeper than the parser allows.
template <class Visit>
void walk(xmlNode* node, const Visit& visit) {
  if (node->type != XML_ELEMENT_NODE) return;
  visit(node);
  for (xmlNode* child = node->children; child; child = child->next) walk(child, visit);
}

/// Declares at `child` what is used there and below of the namespaces that its parent declares, so that it may leave.
void declare_own(xmlNode* child, const std::set<const xmlNs*>& parents) {
  if (parents.empty()) return;
  std::map<const xmlNs*, xmlNs*> own;
  const auto take = [&](xmlNs*& used) {
    if (!parents.contains(used)) return;
    const auto [place, first] = own.try_emplace(used);
    if (first) place->second = xmlNewNs(child, used->href, used->prefix);
    used = place->second;
  };
  walk(child, [&](xmlNode* node) {
    take(node->ns);
    for (xmlAttr* one = node->properties; one; one = one->next) take(one->ns);
  });
}

bool is_named(const xmlNode* node, std::string_view name) {
  return node->type == XML_ELEMENT_NODE && !node->ns && view(node->name) == name;
}

}  // namespace

std::string_view XmlNode::name() const {
  return view(node_->name);
}
std::string_view XmlNode::namespace_uri() const {
  return node_->ns ? view(node_->ns->href) : std::string_view();
}
int XmlNode::line() const {
  return static_cast<int>(xmlGetLineNo(node_));
}

std::optional<std::string> XmlNode::attribute(const char* name) const {
  const std::unique_ptr<xmlChar, void (*)(void*)> value(xmlGetNoNsProp(node_, xml(name)), xmlFree);
  if (!value) return std::nullopt;
  return std::string(view(value.get()));
}

std::vector<std::string_view> XmlNode::attributes() const {
  std::vector<std::string_view> names;
  for (const xmlAttr* attribute = node_->properties; attribute; attribute = attribute->next)
    if (!attribute->ns) names.push_back(view(attribute->name));
  return names;
}

std::optional<XmlNode> XmlNode::child(std::string_view name) const {
  for (xmlNode* node = node_->children; node; node = node->next)
    if (is_named(node, name)) return XmlNode(node);
  return std::nullopt;
}

std::vector<XmlNode> XmlNode::children() const {
  std::vector<XmlNode> found;
  for (xmlNode* node = node_->children; node; node = node->next)
    if (node->type == XML_ELEMENT_NODE) found.emplace_back(node);
  return found;
}

std::vector<XmlNode> XmlNode::children(std::string_view name) const {
  std::vector<XmlNode> found;
  for (xmlNode* node = node_->children; node; node = node->next)
    if (is_named(node, name)) found.emplace_back(node);
  return found;
}

void XmlNode::join(std::string_view name) const {
  const std::vector<XmlNode> found = children(name);
  if (found.size() < 2) return;
  xmlNode* const first = found[0].node_;
  const auto names = found[0].attributes();
  std::set<std::string_view> known(names.begin(), names.end());
  xmlAttr** end = &first->properties;
  xmlAttr* last = nullptr;
  for (; *end; end = &last->next) last = *end;
  for (std::size_t i = 1; i < found.size(); ++i) {
    for (xmlAttr *one = found[i].node_->properties, *next; one; one = next) {
      next = one->next;
      if (one->ns || !known.insert(view(one->name)).second) continue;
      xmlUnlinkNode(reinterpret_cast<xmlNode*>(one));
      one->parent = first;  // xmlAddChild() would go through all that are there
      one->prev = last;
      *end = last = one;
      end = &one->next;
    }
    std::set<const xmlNs*> declared;
    for (const xmlNs* one = found[i].node_->nsDef; one; one = one->next) declared.insert(one);
    for (const XmlNode& child : found[i].children()) {
      declare_own(child.node_, declared);
      xmlUnlinkNode(child.node_);
      xmlAddChild(first, child.node_);
    }
    found[i].remove();
  }
}

void XmlNode::remove() const {
  xmlUnlinkNode(node_);
  xmlFreeNode(node_);
}

std::string XmlNode::text() const {
  const std::unique_ptr<xmlChar, void (*)(void*)> content(xmlNodeGetContent(node_), xmlFree);
  return std::string(view(content.get()));
}

std::string XmlNode::raw(int depth) const {
  // The copy carries the declarations that stand above the element.
  const std::unique_ptr<xmlNode, void (*)(xmlNode*)> copy(xmlDocCopyNode(node_, node_->doc, 1), xmlFreeNode);
  const std::unique_ptr<xmlBuffer, void (*)(xmlBuffer*)> buffer(xmlBufferCreate(), xmlBufferFree);
  if (!copy || !buffer || xmlNodeDump(buffer.get(), node_->doc, copy.get(), depth, 1) < 0)
    throw Error(ErrorCode::no_memory, "", ErrorDomain::xml);
  return std::string(view(xmlBufferContent(buffer.get())));
}

XmlDocument::XmlDocument(std::string_view text, std::string_view source) : document_(nullptr, xmlFreeDoc) {
  static const bool ready = (xmlInitParser(), true);
  (void)ready;
  const auto refuse = [&](const Complaint& complaint) {
    throw Error(ErrorCode::xml_detail,
                std::string(source) + ":" + std::to_string(complaint.line) + ": " + complaint.message + "\n" +
                    complaint.context,
                ErrorDomain::xml);
  };
  if (text.size() > max_size) refuse({"longer than the " + std::to_string(max_size) + " bytes allowed", 1, "\n^"});
  // libxml2 takes the first one for the end of the text, whatever follows.
  if (const auto nul = text.find('\0'); nul != text.npos) {
    refuse(
        {"Char 0x0 out of allowed range", static_cast<int>(1 + std::ranges::count(text.substr(0, nul), '\n')), "\n^"});
  }

  Complaint complaint;
  const std::unique_ptr<xmlParserCtxt, void (*)(xmlParserCtxt*)> parser(xmlNewParserCtxt(), xmlFreeParserCtxt);
  if (!parser) throw Error(ErrorCode::no_memory, "", ErrorDomain::xml);
  parser->_private = &complaint;
  parser->sax->serror = note_error;
  parser->sax->internalSubset = refuse_doctype;
  // libxml2 reads a string, unlike a buffer of bytes, as UTF-8 whatever the declaration says.
  document_.reset(xmlCtxtReadDoc(parser.get(), xml(std::string(text).c_str()), nullptr, nullptr,
                                 XML_PARSE_NONET | XML_PARSE_NOWARNING | XML_PARSE_NOBLANKS | XML_PARSE_BIG_LINES));
  if (document_ && complaint.message.empty() && xmlDocGetRootElement(document_.get())) return;
  if (complaint.message.empty()) complaint = {"failed to parse xml document", 1, "\n^"};
  refuse(complaint);
}

XmlNode XmlDocument::root() const {
  return XmlNode(xmlDocGetRootElement(document_.get()));
}

void XmlDocument::put_into_namespace(const std::string& prefix, const std::string& uri) {
  if (xmlValidateNCName(xml(prefix.c_str()), 0) != 0)
    throw Error(ErrorCode::internal_error, "failed to validate prefix for a new XML namespace: '" + prefix + "'",
                ErrorDomain::xml);
  xmlNode* const top = xmlDocGetRootElement(document_.get());
  xmlNs* const declared = xmlNewNs(top, xml(uri.c_str()), xml(prefix.c_str()));
  if (!declared)
    throw Error(ErrorCode::internal_error, "failed to create a new XML namespace: prefix '" + prefix + "' is taken",
                ErrorDomain::xml);
  walk(top, [&](xmlNode* node) {
    if (!node->ns) xmlSetNs(node, declared);
  });
}

void XmlDocument::take_out_of_namespace(std::string_view uri) {
  std::set<const xmlNs*> needed;
  xmlNode* const top = xmlDocGetRootElement(document_.get());
  walk(top, [&](xmlNode* node) {
    if (node->ns && view(node->ns->href) == uri) node->ns = nullptr;
    for (const xmlAttr* one = node->properties; one; one = one->next) needed.insert(one->ns);
  });
  walk(top, [&](xmlNode* node) {
    for (xmlNs** link = &node->nsDef; *link;) {
      xmlNs* const declared = *link;
      if (view(declared->href) != uri || needed.contains(declared)) {
        link = &declared->next;
        continue;
      }
      *link = declared->next;
      declared->next = nullptr;
      xmlFreeNs(declared);
    }
  });
}

bool is_xml_text(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = character(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

/// Closes the start tag above and begins a line at the depth of the element to come.
void XmlWriter::line() {
  if (!open_.empty()) {
    Open& parent = open_.back();
    if (parent.tag_open) out_ += ">\n";
    parent.tag_open = parent.bare = false;
  }
  out_.append(2 * (static_cast<std::size_t>(base_) + open_.size()), ' ');
}

XmlWriter& XmlWriter::start(std::string_view name) {
  const std::size_t begin = out_.size();
  const bool parent_tag_open = !open_.empty() && open_.back().tag_open;
  const bool parent_bare = !open_.empty() && open_.back().bare;
  line();
  append(out_, "<"sv, name);
  open_.emplace_back(begin, out_.size() - name.size(), name.size(), parent_tag_open, parent_bare);
  return *this;
}

XmlWriter& XmlWriter::attribute(std::string_view name, std::string_view value) {
  open_.back().bare = false;
  if (std::ranges::all_of(value, [](char c) { return plain[static_cast<unsigned char>(c)]; })) {
    append(out_, " "sv, name, "='"sv, value, "'"sv);
  } else {
    append(out_, " "sv, name, "='"sv);
    escape(out_, value, true);
    out_ += '\'';
  }
  return *this;
}

XmlWriter& XmlWriter::text(std::string_view text) {
  Open& element = open_.back();
  if (element.tag_open) out_ += '>';
  element.tag_open = element.bare = false;
  element.inline_text = true;
  escape(out_, text, false);
  return *this;
}

XmlWriter& XmlWriter::end() {
  const Open element = open_.back();
  open_.pop_back();
  if (element.tag_open) {
    out_ += "/>\n";
    return *this;
  }
  if (!element.inline_text) out_.append(2 * (static_cast<std::size_t>(base_) + open_.size()), ' ');
  out_ += "</";
  out_.append(out_, element.name_at, element.name_size);
  out_ += ">\n";
  return *this;
}

XmlWriter& XmlWriter::end_unless_empty() {
  if (!open_.back().bare) return end();
  const Open element = open_.back();
  open_.pop_back();
  out_.resize(element.begin);
  if (!open_.empty()) {
    open_.back().tag_open = element.parent_tag_open;
    open_.back().bare = element.parent_bare;
  }
  return *this;
}

XmlWriter& XmlWriter::raw(std::string_view xml_text) {
  line();
  out_ += xml_text;
  out_ += '\n';
  return *this;
}

}  // namespace core
