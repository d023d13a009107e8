#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct _xmlDoc;
struct _xmlNode;

namespace core {

/// An element of an XmlDocument, which must outlive it. Names are looked up outside of any XML namespace, as libvirt
/// does.
class XmlNode {
 public:
  explicit XmlNode(_xmlNode* node) : node_(node) {}

  std::string_view name() const;
  std::string_view namespace_uri() const;  ///< empty for none
  int line() const;                        ///< from 1

  std::optional<std::string> attribute(const char* name) const;
  std::vector<std::string_view> attributes() const;           ///< the names of all without a namespace
  std::optional<XmlNode> child(std::string_view name) const;  ///< the first of that name
  std::vector<XmlNode> children() const;                      ///< every element, also those of a namespace
  std::vector<XmlNode> children(std::string_view name) const;
  std::string text() const;  ///< all text below it

  /// Moves the elements in the second and later elements of that name into the first, and the attributes that it lacks;
  /// takes them, with what text they have, out of the document.
  void join(std::string_view name) const;
  /// Takes the element out of the document; it is used no more.
  void remove() const;

  /// The element as XML text of its own, with the namespaces it needs, its lines after the first indented as `depth`
  /// levels.
  std::string raw(int depth) const;

 private:
  _xmlNode* node_;
};

/// A document from an untrusted peer: UTF-8, whatever its declaration says. At most `max_size` bytes and 256 levels; a
/// document type declaration is refused, so there are no entities to expand; nothing outside of the text is read. Blank
/// text between elements is dropped.
class XmlDocument {
 public:
  static constexpr std::size_t max_size = 4 << 20;  ///< libvirt's limit of a string on the wire

  /// `source` names the text in messages, as "(domain_definition)". Throws Error: XML_DETAIL with libvirt's text
  /// "SOURCE:LINE: what is wrong", the line and a caret under the place.
  explicit XmlDocument(std::string_view text, std::string_view source = "(xml)");

  XmlNode root() const;
  /// Moves every element without a namespace into `uri`, declared at the root as `prefix`. Throws Error: INTERNAL_ERROR
  /// for what is no prefix.
  void put_into_namespace(const std::string& prefix, const std::string& uri);
  /// Moves every element of `uri` out of it, and drops its declarations where no attribute needs them.
  void take_out_of_namespace(std::string_view uri);

 private:
  std::unique_ptr<_xmlDoc, void (*)(_xmlDoc*)> document_;
};

/// Whether XML can hold the text: UTF-8 without control characters other than tab, line feed and carriage return.
bool is_xml_text(std::string_view text);

/// Prints XML as libvirt does: two spaces a level, single quotes, `<name/>` for an element without content. What XML
/// cannot hold is left out. An optional that is absent writes nothing.
class XmlWriter {
 public:
  explicit XmlWriter(int depth = 0) : base_(depth) {
    out_.reserve(2048);
    open_.reserve(8);
  }

  XmlWriter& start(std::string_view name);
  XmlWriter& attribute(std::string_view name, std::string_view value);
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  XmlWriter& attribute(std::string_view name, T value) {
    std::array<char, 24> text;
    return attribute(name, std::string_view(text.data(), std::to_chars(text.begin(), text.end(), value).ptr));
  }
  template <class T>
  XmlWriter& attribute(std::string_view name, const std::optional<T>& value) {
    return value ? attribute(name, *value) : *this;
  }
  XmlWriter& text(std::string_view text);
  XmlWriter& end();
  XmlWriter& end_unless_empty();  ///< end(), but an element with neither attribute nor content is taken back

  XmlWriter& element(std::string_view name) { return start(name).end(); }
  XmlWriter& element(std::string_view name, std::string_view content) { return start(name).text(content).end(); }
  XmlWriter& raw(std::string_view xml);  ///< finished XML, on a line of its own

  std::string take() { return std::move(out_); }

 private:
  struct Open {
    std::size_t begin;               // out_ before the element
    std::size_t name_at, name_size;  // in out_
    bool parent_tag_open;            // and the parent's state then
    bool parent_bare;
    bool bare = true;      // neither attribute nor content yet
    bool tag_open = true;  // the start tag lacks its '>'
    bool inline_text = false;
  };
  void line();

  int base_;
  std::string out_;
  std::vector<Open> open_;
};

}  // namespace core
