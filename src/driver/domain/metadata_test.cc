#include "driver/domain/metadata.h"

#include "driver/domain/example_for_test.h"

namespace domain {
namespace {

using core::ErrorCode;
using test::refusal;

TEST(Metadata, IsSetReplacedAndRemovedByNamespace) {
  Domain domain = test::with("");
  set_metadata(domain, "<foo a='1'><bar>x &amp; y</bar></foo>", "k", "urn:k");
  EXPECT_EQ(domain.metadata, "<k:foo xmlns:k=\"urn:k\" a=\"1\">\n      <k:bar>x &amp; y</k:bar>\n    </k:foo>");
  set_metadata(domain, "<other/>", "o", "urn:o");
  EXPECT_EQ(get_metadata(domain, "urn:k"), "<foo a=\"1\">\n  <bar>x &amp; y</bar>\n</foo>");
  set_metadata(domain, "<two/>", "j", "urn:k");
  EXPECT_EQ(get_metadata(domain, "urn:k"), "<two/>");
  EXPECT_EQ(get_metadata(domain, "urn:o"), "<other/>");
  EXPECT_EQ(parse(format(domain)), domain);
  set_metadata(domain, std::nullopt, "", "urn:k");
  EXPECT_EQ(refusal(ErrorCode::no_domain_metadata, [&] { get_metadata(domain, "urn:k"); }),
            "metadata not found: Requested metadata element is not present");
  set_metadata(domain, std::nullopt, "", "urn:o");
  EXPECT_EQ(domain.metadata, "");
}

TEST(Metadata, RefusesWhatIsNone) {
  Domain domain = test::with("");
  set_metadata(domain, "<foo/>", "k", "urn:k");
  const Domain before = domain;
  refusal(ErrorCode::xml_detail, [&] { set_metadata(domain, "<foo>", "k", "urn:k"); });
  refusal(ErrorCode::xml_detail,
          [&] { set_metadata(domain, "<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>", "k", "urn:k"); });
  refusal(ErrorCode::internal_error, [&] { set_metadata(domain, "<foo/>", "1 a", "urn:k"); });
  refusal(ErrorCode::invalid_arg, [&] { set_metadata(domain, "<foo/>", "", "urn:k"); });
  refusal(ErrorCode::invalid_arg, [&] { set_metadata(domain, "<foo/>", "k", ""); });
  const std::string large = "<foo>" + std::string(3 << 20, 'x') + "</foo>";
  set_metadata(domain, large, "l", "urn:l");
  refusal(ErrorCode::xml_detail, [&] { set_metadata(domain, large, "m", "urn:m"); });
  set_metadata(domain, std::nullopt, "", "urn:l");
  EXPECT_EQ(domain, before);
}

}  // namespace
}  // namespace domain
