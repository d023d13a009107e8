#include <gtest/gtest.h>
#include <libxml/relaxng.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>

#include "driver/core/error.h"
#include "driver/domain/domain.h"

// Every description of tests/data/domain, beside it what it becomes: NAME.out.xml is what dumpxml shows, NAME.live.xml
// (where there is one) what it shows of the running domain, NAME.error the refusal. REGENERATE=1 writes them anew; a
// new NAME.live.xml begins as an empty file.
namespace domain {
namespace {

namespace fs = std::filesystem;
using core::Error;
using core::ErrorCode;

const std::map<ErrorCode, std::string> code_names{
    {ErrorCode::internal_error, "INTERNAL_ERROR"},
    {ErrorCode::invalid_arg, "INVALID_ARG"},
    {ErrorCode::no_source, "NO_SOURCE"},
    {ErrorCode::no_target, "NO_TARGET"},
    {ErrorCode::no_name, "NO_NAME"},
    {ErrorCode::xml_error, "XML_ERROR"},
    {ErrorCode::xml_detail, "XML_DETAIL"},
    {ErrorCode::config_unsupported, "CONFIG_UNSUPPORTED"},
    {ErrorCode::argument_unsupported, "ARGUMENT_UNSUPPORTED"},
    {ErrorCode::overflow, "OVERFLOW"},
};

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

fs::path beside(fs::path path, const char* extension) {
  return path.replace_extension(extension);
}

std::vector<fs::path> files(const auto& wanted) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(fs::path(TEST_DATA_DIR) / "domain"))
    if (wanted(entry.path().filename().string())) found.push_back(entry.path());
  std::ranges::sort(found);
  return found;
}

bool is_result(std::string_view name) {
  return name.ends_with(".out.xml") || name.ends_with(".live.xml");
}
bool is_description(std::string_view name) {
  return name.ends_with(".xml") && !is_result(name);
}

/// What is chosen at random made fixed.
void fix(Domain& domain, const std::string& xml) {
  const auto written = [&xml](const char* element) { return xml.find(element) != std::string::npos; };
  if (!written("<uuid>")) domain.uuid = {0x11, 0x22};
  for (std::uint8_t i = 0; Interface & card : domain.interfaces)
    if (!written("<mac ")) card.mac = {0x52, 0x54, 0, 0, 0, i++};
}

/// The domain as a start leaves it.
Domain started(Domain domain) {
  unsigned next = 3;
  const auto open = [&](CharacterSource& source) {
    if (source.type == CharacterSource::Type::pty) source.path = "/dev/pts/" + std::to_string(next++);
  };
  for (Serial& serial : domain.serials) open(serial.source);
  for (Console& console : domain.consoles)
    if (console.target == Console::Target::serial && !domain.serials.empty())
      console.source = domain.serials.front().source;
    else
      open(console.source);
  for (Interface& card : domain.interfaces)
    if (card.target.empty()) card.target = "vnet" + std::to_string(next++);
  if (domain.vsock && !domain.vsock->cid) domain.vsock->cid = next;
  assign_aliases(domain);
  return domain;
}

/// Makes the file what it should be when asked to, and compares.
void compare(const fs::path& path, const std::string& made) {
  if (std::getenv("REGENERATE") != nullptr) std::ofstream(path, std::ios::binary) << made;
  EXPECT_EQ(made, read(path)) << path;
}

void check_live(const Domain& domain, const fs::path& path) {
  const Domain live = started(domain);
  const FormatOptions options{.id = 7, .live = true};
  const std::string made = format(live, options);
  compare(path, made);
  EXPECT_EQ(parse_live(made), live) << path;
  EXPECT_EQ(format(parse_live(made), options), made) << path;
}

class Golden : public testing::TestWithParam<fs::path> {};

TEST_P(Golden, BecomesWhatStandsBesideIt) {
  const std::string xml = read(GetParam());
  const fs::path out = beside(GetParam(), ".out.xml"), error = beside(GetParam(), ".error");
  std::string refusal;
  try {
    Domain domain = parse(xml);
    validate(domain);
    fix(domain, xml);
    const std::string made = format(domain);
    compare(out, made);
    EXPECT_EQ(parse(made), domain);
    EXPECT_EQ(format(parse(made)), made);
    if (const fs::path live = beside(GetParam(), ".live.xml"); fs::exists(live)) check_live(domain, live);
  } catch (const Error& thrown) {
    ASSERT_TRUE(code_names.contains(thrown.code())) << static_cast<int>(thrown.code());
    refusal = code_names.at(thrown.code()) + " " + thrown.what() + "\n";
    compare(error, refusal);
  }
  if (std::getenv("REGENERATE") != nullptr) fs::remove(refusal.empty() ? error : out);
  EXPECT_FALSE(fs::exists(refusal.empty() ? error : out)) << "it is both accepted and refused";
}

INSTANTIATE_TEST_SUITE_P(, Golden, testing::ValuesIn(files(is_description)), [](const auto& test) {
  std::string name = test.param.stem().string();
  std::ranges::replace_if(name, [](unsigned char byte) { return std::isalnum(byte) == 0; }, '_');
  return name;
});

/// libvirt's own schema takes what dumpxml shows, so that `virsh edit` does.
TEST(Schema, TakesEveryResult) {
  const auto complain = [](void* into, xmlErrorPtr error) {
    auto& report = *static_cast<std::string*>(into);
    if (error->message && report.size() < 1000) report += error->message;
  };
  const std::unique_ptr<xmlRelaxNGParserCtxt, void (*)(xmlRelaxNGParserCtxt*)> parser(
      xmlRelaxNGNewParserCtxt("/usr/share/libvirt/schemas/domain.rng"), xmlRelaxNGFreeParserCtxt);
  const std::unique_ptr<xmlRelaxNG, void (*)(xmlRelaxNG*)> schema(xmlRelaxNGParse(parser.get()), xmlRelaxNGFree);
  ASSERT_NE(schema, nullptr);
  const auto results = files(is_result);
  EXPECT_GT(results.size(), 50u);
  for (const fs::path& path : results) {
    const std::unique_ptr<xmlDoc, void (*)(xmlDoc*)> document(xmlReadFile(path.c_str(), nullptr, 0), xmlFreeDoc);
    const std::unique_ptr<xmlRelaxNGValidCtxt, void (*)(xmlRelaxNGValidCtxt*)> validator(
        xmlRelaxNGNewValidCtxt(schema.get()), xmlRelaxNGFreeValidCtxt);
    std::string report;
    xmlRelaxNGSetValidStructuredErrors(validator.get(), +complain, &report);
    EXPECT_EQ(xmlRelaxNGValidateDoc(validator.get(), document.get()), 0) << path << "\n" << report;
  }
}

}  // namespace
}  // namespace domain
