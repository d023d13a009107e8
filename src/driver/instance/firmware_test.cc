#include "driver/instance/firmware.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "driver/instance/environment_for_test.h"

namespace instance {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class FirmwareTest : public testing::Test {
 protected:
  FirmwareTest() {
    for (const std::string& one : folders) std::filesystem::create_directory(one);
  }
  static std::string descriptor(const std::string& code) {
    return R"({"description": "x", "interface-types": ["uefi"], "mapping": {"device": "flash",
        "executable": {"filename": ")" +
           code + R"(", "format": "raw"},
        "nvram-template": {"filename": "/vars", "format": "raw"}},
        "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}], "features": [], "tags": []})";
  }
  void write(std::size_t folder, const std::string& name, const std::string& text) const {
    std::ofstream(folders[folder] + "/" + name, std::ios::binary) << text;
  }
  std::vector<std::string> codes() {
    std::vector<std::string> result;
    for (const auto& one : read_firmwares(folders, [this](const auto& problem) { problems.push_back(problem); }))
      result.push_back(one.code);
    return result;
  }

  test::TemporaryFolder root;
  std::vector<std::string> folders = {root.path + "/usr", root.path + "/etc", root.path + "/home"};
  std::vector<std::string> problems;
};

TEST_F(FirmwareTest, FilesAreTakenInTheOrderOfTheirNamesAndHideEachOther) {
  write(0, "50-b.json", descriptor("/b"));
  write(0, "40-a.json", descriptor("/a"));
  write(0, "60-c.json", descriptor("/c"));
  write(0, "70-d.json", descriptor("/d"));
  write(0, ".hidden.json", descriptor("/hidden"));
  write(0, "README", "no descriptor");
  write(1, "50-b.json", descriptor("/etc/b"));
  write(1, "60-c.json", "");
  write(1, "45-e.json", descriptor("/e"));
  write(2, "45-e.json", descriptor("/home/e"));
  EXPECT_THAT(codes(), ElementsAre("/a", "/home/e", "/etc/b", "/d"));
  EXPECT_TRUE(problems.empty());
}

TEST_F(FirmwareTest, OneThatIsNoDescriptorIsPassedOverWithAWord) {
  const std::string good = descriptor("/good");
  const std::string bad[] = {"{",
                             "[]",
                             "{}",
                             std::string(100000, ' '),
                             std::string(60000, '['),
                             descriptor("relative"),
                             descriptor("/nul\\u0000l"),
                             good.substr(0, good.size() - 10),
                             R"({"mapping": {"device": 1}})"};
  int number = 0;
  for (const std::string& text : bad) write(0, std::to_string(number++) + ".json", text);
  mkfifo((folders[0] + "/fifo.json").c_str(), 0600);
  std::filesystem::create_directory(folders[0] + "/folder.json");
  write(0, "z.json", good);
  EXPECT_THAT(codes(), ElementsAre("/good"));
  EXPECT_EQ(problems.size(), std::size(bad) + 1);  // a fifo that nobody writes is empty
  EXPECT_THAT(problems.front(), HasSubstr("0.json' is passed over: "));
}

TEST_F(FirmwareTest, FolderThatAreNotThereAreNone) {
  EXPECT_TRUE(read_firmwares({root.path + "/nowhere"}, [](const auto&) { FAIL(); }).empty());
}

TEST_F(FirmwareTest, AnOrdinaryUserHasAFolderOfHisOwn) {
  core::Layout layout;
  EXPECT_THAT(firmware_folders(layout), ElementsAre("/usr/share/qemu/firmware", "/etc/qemu/firmware"));
  layout.session = true;
  setenv("XDG_CONFIG_HOME", "/home/a/.conf", 1);
  EXPECT_EQ(firmware_folders(layout).back(), "/home/a/.conf/qemu/firmware");
  unsetenv("XDG_CONFIG_HOME");
  setenv("HOME", "/home/b", 1);
  EXPECT_EQ(firmware_folders(layout).back(), "/home/b/.config/qemu/firmware");
}

TEST_F(FirmwareTest, AVariableStoreHasItsPlace) {
  core::Layout layout;
  layout.nvram = "/nvram";
  domain::Domain domain;
  domain.name = "a";
  EXPECT_EQ(nvram_path(domain, layout), "");
  domain.os.firmware.emplace();
  EXPECT_EQ(nvram_path(domain, layout), "/nvram/a_VARS.fd");
  domain.name = std::string(250, 'a');
  EXPECT_EQ(nvram_path(domain, layout), "/nvram/" + core::to_string(domain.uuid) + "_VARS.fd");
  domain.os.nvram = domain::Nvram{"/mine", {}};
  EXPECT_EQ(nvram_path(domain, layout), "/mine");
}

TEST_F(FirmwareTest, TheAdministratorsTemplateComesBeforeADescriptors) {
  Settings settings;
  settings.nvram = {{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/mine"}};
  const core::Layout layout;
  EXPECT_EQ(nvram_template("/usr/share/OVMF/OVMF_CODE_4M.fd", layout, settings), "/mine");
  EXPECT_EQ(nvram_template("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", layout, settings),
            "/usr/share/OVMF/OVMF_VARS_4M.fd");
  EXPECT_EQ(nvram_template("/no/such/loader", layout, settings), "");
}

}  // namespace
}  // namespace instance
