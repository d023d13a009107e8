#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "driver/core/error.h"
#include "driver/emulator/command.h"
#include "driver/emulator/dialect.h"

// Every description of tests/data/{domain,emulator} as either emulator's command line, beside it as
// NAME.stratovirt.args and NAME.qemu.args: environment, program, an option a line, then what is to be sent before
// `cont`; or the refusal. REGENERATE=1 writes them anew; tests/emulator/run_lines.py runs QEMU's.
namespace emulator {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The description as it would be at start, with what is chosen at random made fixed.
domain::Domain prepare(const std::string& xml, domain::Type type) {
  domain::Domain domain = domain::parse(xml);
  domain.type = type;
  const auto written = [&xml](const char* element) { return xml.find(element) != std::string::npos; };
  if (!written("<uuid>")) domain.uuid = {0x11, 0x22};
  if (domain.genid && !written("<genid>")) domain.genid = "00000000-0000-0000-0000-000000000001";
  domain::assign_aliases(domain);
  for (std::size_t i = 0; i < domain.interfaces.size(); ++i) {
    auto& card = domain.interfaces[i];
    if (!written("<mac ")) card.mac = {0x52, 0x54, 0, 0, 0, static_cast<std::uint8_t>(i)};
    if (card.target.empty()) card.target = "vnet" + std::to_string(i);
  }
  if (domain.vsock && !domain.vsock->cid) domain.vsock->cid = 3;
  return domain;
}

Resources prepare_host(const domain::Domain& domain) {
  Resources resources = placeholders(domain);
  unsigned next = 27;
  for (const auto& card : domain.interfaces) {
    Tap& tap = resources.taps[card.info.alias];
    const bool vhost = domain.type == domain::Type::kvm && card.backend != domain::Interface::Backend::qemu;
    for (unsigned i = 0; i < card.queues.value_or(1); ++i) {
      tap.fds.push_back(std::to_string(next++));
      if (vhost) tap.vhost_fds.push_back(std::to_string(next++));
    }
  }
  if (domain.vsock) resources.vsock_fd = static_cast<int>(next);
  return resources;
}

std::string lines(const domain::Domain& domain) {
  const Capabilities capabilities = assumed(default_kind(domain.type), domain.os.arch);
  std::ostringstream text;
  try {
    const Command command = command_line(domain, prepare_host(domain), capabilities);
    text << to_shell({command.program, {}, command.environment});
    for (const auto& argument : command.arguments) {
      text << (argument.starts_with('-') ? '\n' : ' ') << to_shell({argument, {}, {}});
    }
    text << '\n';
    for (const auto& request : initial_requests(domain, capabilities)) {
      text << Json{{"execute", request.command}, {"arguments", request.arguments}}.dump() << '\n';
    }
  } catch (const core::Error& error) {
    return "refused " + std::to_string(static_cast<int>(error.code())) + ": " + error.what() + '\n';
  }
  return text.str();
}

std::vector<fs::path> descriptions() {
  std::vector<fs::path> result;
  for (const char* folder : {"domain", "emulator"}) {
    const fs::path place = fs::path(TEST_DATA_DIR) / folder;
    if (!fs::is_directory(place)) continue;
    for (const auto& entry : fs::directory_iterator(place)) {
      fs::path path = entry.path();
      if (path.extension() != ".xml" || path.stem().has_extension()) continue;  // NAME.out.xml is a result
      if (!fs::exists(path.parent_path() / (path.stem().string() + ".error"))) result.push_back(std::move(path));
    }
  }
  return result;
}

class Golden : public testing::TestWithParam<fs::path> {};

TEST_P(Golden, CommandLine) {
  const std::string xml = read(GetParam());
  for (const auto type : {domain::Type::kvm, domain::Type::qemu}) {
    const std::string made = lines(prepare(xml, type));
    fs::path expected = GetParam();
    expected.replace_extension("." + std::string(to_string(default_kind(type))) + ".args");
    if (std::getenv("REGENERATE") != nullptr) std::ofstream(expected, std::ios::binary) << made;
    EXPECT_EQ(made, read(expected)) << expected;
  }
}

INSTANTIATE_TEST_SUITE_P(, Golden, testing::ValuesIn(descriptions()), [](const auto& test) {
  std::string name = test.param.parent_path().filename().string() + "_" + test.param.stem().string();
  for (char& byte : name) {
    if (std::isalnum(static_cast<unsigned char>(byte)) == 0) byte = '_';
  }
  return name;
});

TEST(Native, IsOneLineForAShell) {
  const auto domain = domain::parse(read(fs::path(TEST_DATA_DIR) / "emulator/console-unix-chosen.xml"));
  const std::string line = to_native(domain, Kind::stratovirt);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_TRUE(line.starts_with("LC_ALL=C PATH=")) << line;
  EXPECT_NE(line.find(" -name console-unix-chosen -S "), std::string::npos) << line;
  EXPECT_NE(line.find("path=/run/libvirt/stratovirt/domain--1-console-unix-chosen/console0.sock,server,nowait"),
            std::string::npos)
      << line;
}

}  // namespace
}  // namespace emulator
