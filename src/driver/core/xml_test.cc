#include "driver/core/xml.h"

#include <gtest/gtest.h>

#include "driver/core/error.h"

namespace core {
namespace {

std::string refusal(std::string_view text) {
  try {
    const XmlDocument document(text, "(domain_definition)");
    ADD_FAILURE() << "accepted: " << text.substr(0, 200);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::xml_detail);
    return error.what();
  }
}

TEST(Xml, ShowsElementsAttributesTextAndLines) {
  const XmlDocument document(
      "<?xml version='1.0'?>\n<a x='1' y='&lt;&#65;'>\n  <!-- no --><b>one</b>\n  <c/><b> two </b>\n"
      "  <q:b xmlns:q='urn:q' q:z='9'/>\n</a>");
  const XmlNode root = document.root();
  EXPECT_EQ(root.name(), "a");
  EXPECT_EQ(root.line(), 2);
  EXPECT_EQ(root.attribute("y"), "<A");
  EXPECT_EQ(root.attribute("z"), std::nullopt);
  EXPECT_EQ(root.attributes(), (std::vector<std::string_view>{"x", "y"}));
  ASSERT_EQ(root.children("b").size(), 2u);
  EXPECT_EQ(root.children("b")[1].text(), " two ");
  EXPECT_EQ(root.child("c")->line(), 4);
  EXPECT_EQ(root.child("d"), std::nullopt);
  ASSERT_EQ(root.children().size(), 4u);
  EXPECT_EQ(root.children()[3].namespace_uri(), "urn:q");
  EXPECT_EQ(root.children()[3].attribute("z"), std::nullopt);
}

TEST(Xml, RawCarriesTheNamespacesAboveIt) {
  const XmlDocument document("<a xmlns:q='urn:q'><q:b><q:c>x &amp; y</q:c>   <q:d/></q:b></a>");
  EXPECT_EQ(document.root().children()[0].raw(2),
            "<q:b xmlns:q=\"urn:q\">\n      <q:c>x &amp; y</q:c>\n      <q:d/>\n    </q:b>");
}

TEST(Xml, MovesElementsIntoANamespaceAndOut) {
  XmlDocument document("<foo a='1'><bar>x</bar><o:z xmlns:o='urn:o'/></foo>");
  document.put_into_namespace("k", "urn:k");
  EXPECT_EQ(document.root().namespace_uri(), "urn:k");
  EXPECT_EQ(document.root().raw(0),
            "<k:foo xmlns:k=\"urn:k\" a=\"1\">\n  <k:bar>x</k:bar>\n  <o:z xmlns:o=\"urn:o\"/>\n</k:foo>");
  document.take_out_of_namespace("urn:k");
  EXPECT_EQ(document.root().raw(0), "<foo a=\"1\">\n  <bar>x</bar>\n  <o:z xmlns:o=\"urn:o\"/>\n</foo>");
  EXPECT_THROW(document.put_into_namespace("1 a", "urn:k"), Error);
  XmlDocument taken("<k:a xmlns:k='urn:k'/>");
  EXPECT_THROW(taken.put_into_namespace("k", "urn:other"), Error);
  XmlDocument attributes("<k:a xmlns:k='urn:k' k:b='1' b='2'/>");
  attributes.take_out_of_namespace("urn:k");
  EXPECT_EQ(attributes.root().raw(0), "<a xmlns:k=\"urn:k\" k:b=\"1\" b=\"2\"/>");
}

TEST(Xml, NamesTheLineOfWhatIsNotWellFormed) {
  EXPECT_EQ(
      refusal("<domain>\n  <name>x</nam>\n</domain>"),
      "(domain_definition):2: Opening and ending tag mismatch: name line 2 and nam\n  <name>x</nam>\n---------------^");
  EXPECT_EQ(refusal(""), "(domain_definition):1: Document is empty\n\n^");
  EXPECT_TRUE(refusal("<a>\xff</a>").starts_with("(domain_definition):1: Input is not proper UTF-8"));
  EXPECT_TRUE(refusal("<a>&undefined;</a>").find("Entity 'undefined' not defined") != std::string::npos);
  refusal("<a b='1' b='2'/>");
  refusal("<a/><b/>");
  EXPECT_EQ(refusal(std::string("<a>\0</a>", 8)), "(domain_definition):1: Char 0x0 out of allowed range\n\n^");
  refusal(std::string("<a/>\n\0\0", 7));  // what a disk without power may make of an end
}

TEST(Xml, IsUtf8WhateverItsDeclarationSays) {
  for (const char* encoding :
       {"utf-8", "utf-16", "UTF-16LE", "UCS-4", "iso-8859-1", "latin1", "windows-1252", "us-ascii", "shift_jis"}) {
    const std::string declaration = "<?xml version='1.0' encoding='" + std::string(encoding) + "'?>\n";
    EXPECT_EQ(XmlDocument(declaration + "<a>ü€</a>").root().text(), "ü€") << encoding;
    EXPECT_EQ(refusal(declaration + "<a>ü</b>"),
              "(domain_definition):2: Opening and ending tag mismatch: a line 2 and b\n<a>ü</b>\n---------^");
    EXPECT_TRUE(refusal(declaration + "<a>\xfc</a>").starts_with("(domain_definition):2: Input is not proper UTF-8"));
  }
  EXPECT_EQ(XmlDocument("\ufeff<?xml version='1.0' encoding='utf-16' standalone='yes'?><a>ü</a>").root().text(), "ü");
  EXPECT_TRUE(refusal("<?xml version='1.0' encoding='frob'?><a/>")
                  .starts_with("(domain_definition):1: Unsupported encoding frob"));
  refusal("<?xml version='1.0' encoding=''?><a/>");
  refusal("<?xml encoding='utf-16'?><a/>");
  refusal("\n<?xml version='1.0'?><a/>");
}

TEST(Xml, JoinsWhatStandsInPieces) {
  const XmlDocument document("<a><b x='1'>s<c/></b><d><b/></d><b x='2'>t<!-- -->u<e/></b><b/></a>");
  document.root().join("b");
  document.root().join("none");
  EXPECT_EQ(document.root().raw(0), "<a>\n  <b x=\"1\">s<c/><e/></b>\n  <d>\n    <b/>\n  </d>\n</a>");
}

TEST(Xml, WhatIsJoinedKeepsItsNamespaces) {
  const XmlDocument document(
      "<a><b/><b xmlns:x='u' xmlns:y='v'><x:c/><d><x:e y:f='1'/></d><x:g xmlns:x='w'><y:h/></x:g></b></a>");
  document.root().join("b");
  const XmlNode b = *document.root().child("b");
  ASSERT_EQ(b.children().size(), 3u);
  EXPECT_EQ(b.children()[0].namespace_uri(), "u");
  EXPECT_EQ(b.children()[1].children()[0].namespace_uri(), "u");
  EXPECT_EQ(b.children()[2].namespace_uri(), "w");
  EXPECT_EQ(b.children()[2].children()[0].namespace_uri(), "v");
  EXPECT_EQ(b.raw(0),
            "<b>\n  <x:c xmlns:x=\"u\"/>\n  <d xmlns:x=\"u\" xmlns:y=\"v\">\n    <x:e y:f=\"1\"/>\n  </d>\n"
            "  <x:g xmlns:x=\"w\" xmlns:y=\"v\">\n    <y:h/>\n  </x:g>\n</b>");
}

TEST(Xml, OfWhatIsJoinedTheFirstThatHasAnAttributeGivesIt) {
  const XmlDocument document("<a><b/><b x='1'/><b x='2' y='3' n:z='4' xmlns:n='u'/><b y='5' w='6'/></a>");
  document.root().join("b");
  EXPECT_EQ(document.root().raw(0), "<a>\n  <b x=\"1\" y=\"3\" w=\"6\"/>\n</a>");
}

TEST(Xml, RefusesEveryDocumentType) {
  for (const char* text :
       {"<!DOCTYPE a><a/>", "<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>",
        "<!DOCTYPE a SYSTEM 'http://127.0.0.1:1/a.dtd'><a/>",
        "<!DOCTYPE a [<!ENTITY b 'bbbbbbbbbb'><!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'>]><a x='&c;&c;'>&c;</a>"})
    EXPECT_TRUE(refusal(text).starts_with("(domain_definition):1: a document type declaration is not allowed")) << text;
}

TEST(Xml, IsBoundedInDepthAndSize) {
  std::string deep, shut;
  for (int i = 0; i < 100000; ++i) deep += "<a>", shut += "</a>";
  EXPECT_TRUE(refusal(deep + shut).find("depth") != std::string::npos);
  EXPECT_TRUE(refusal("<a>" + std::string(XmlDocument::max_size, 'x') + "</a>").find("4194304") != std::string::npos);
}

TEST(Xml, WritesAsLibvirtDoes) {
  XmlWriter writer;
  writer.start("domain").attribute("type", "kvm").attribute("id", 7).attribute("no", std::optional<int>());
  writer.element("name", "a<b>&'\"").element("acpi");
  writer.start("empty").start("inner").end_unless_empty().end_unless_empty();
  writer.start("x").start("gone").end_unless_empty().element("y").end();
  writer.raw("<raw/>").end();
  EXPECT_EQ(
      writer.take(),
      "<domain type='kvm' id='7'>\n  <name>a&lt;b&gt;&amp;&apos;&quot;</name>\n  <acpi/>\n  <x>\n    <y/>\n  </x>\n"
      "  <raw/>\n</domain>\n");
  XmlWriter bare;
  bare.start("a").start("b").end_unless_empty().end();
  EXPECT_EQ(bare.take(), "<a/>\n");
}

TEST(Xml, WhatIsWrittenReadsBack) {
  const std::string text = "\t a\n b\r c <>&'\" \xe2\x82\xac \xf0\x9f\x90\xa7";
  XmlWriter writer;
  writer.start("a").attribute("b", text).text(text).end();
  const XmlDocument document(writer.take());
  EXPECT_EQ(document.root().attribute("b"), text);
  EXPECT_EQ(document.root().text(), text);
}

TEST(Xml, LeavesOutWhatXmlCannotHold) {
  const std::string text(
      "a\x01"
      "b\0c\xff\xc0\x80\xed\xa0\x80"
      "d\xef\xbf\xbf",
      14);
  EXPECT_FALSE(is_xml_text(text));
  EXPECT_TRUE(is_xml_text("abcd \n\xc3\xa9"));
  XmlWriter writer;
  writer.element("a", text);
  EXPECT_EQ(writer.take(), "<a>abcd</a>\n");
}

}  // namespace
}  // namespace core
