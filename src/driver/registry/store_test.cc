#include "driver/registry/store.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "driver/core/error.h"
#include "driver/instance/run_for_test.h"

namespace registry {
namespace {

using instance::test::TemporaryFolder;
using testing::ElementsAre;
using testing::EndsWith;

class StoreTest : public testing::Test {
 protected:
  StoreTest() { layout.make(); }

  static domain::Domain description(const std::string& name, std::uint8_t last = 1) {
    domain::Domain domain = domain::parse("<domain type='qemu'><name>" + name +
                                          "</name><memory unit='MiB'>256</memory><vcpu>1</vcpu><os><type "
                                          "arch='x86_64' machine='q35'>hvm</type></os></domain>");
    domain.uuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, last};
    return domain;
  }
  std::vector<Store::Loaded> load() {
    broken.clear();
    return store.load([this](const std::string& path, const std::string& why) { broken.push_back(path + ": " + why); });
  }
  std::vector<std::string> files(const std::string& folder) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (!entry.is_directory()) names.push_back(entry.path().filename());
    }
    return names;
  }

  TemporaryFolder root;
  core::Layout layout = core::Layout::system(root.path);
  Store store{layout};
  std::vector<std::string> broken;
};

TEST_F(StoreTest, WhatIsWrittenIsReadAgain) {
  const domain::Domain first = description("one", 1), second = description("two", 2);
  store.write(first);
  store.write(second);
  store.set_autostart(second, true);
  auto all = load();
  ASSERT_EQ(all.size(), 2U);
  std::ranges::sort(all, {}, [](const Store::Loaded& loaded) { return loaded.domain.name; });
  EXPECT_EQ(domain::format(all[0].domain), domain::format(first));
  EXPECT_EQ(domain::format(all[1].domain), domain::format(second));
  EXPECT_FALSE(all[0].autostart);
  EXPECT_TRUE(all[1].autostart);
  EXPECT_TRUE(broken.empty());

  domain::Domain changed = first;
  changed.title = "another";
  store.write(changed);
  store.remove(second);
  all = load();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].domain.title, "another");
  EXPECT_TRUE(files(layout.autostart).empty());
}

TEST_F(StoreTest, OnlyTheDaemonReadsAFile) {
  store.write(description("one"));
  const auto mode = std::filesystem::status(layout.config + "/one.xml").permissions();
  EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(StoreTest, EveryNameUpTo255BytesHasAFile) {
  for (const std::size_t length : {1U, 243U, 244U, 247U, 248U, 249U, 251U, 254U, 255U}) {
    for (const char* letter : {"a", "."}) {
      std::string name;
      while (name.size() < length) name += letter;
      if (name == "." || name == "..") continue;
      const domain::Domain one = description(name);
      store.write(one);
      store.set_autostart(one, true);
      const auto all = load();
      ASSERT_EQ(all.size(), 1U) << length << letter;
      EXPECT_EQ(all[0].domain.name, name);
      EXPECT_TRUE(all[0].autostart);
      store.remove(one);
      EXPECT_TRUE(files(layout.config).empty());
    }
  }
  const domain::Domain first = description(std::string(255, 'x'), 1), second = description(std::string(255, 'y'), 2);
  store.write(first);
  store.write(second);
  EXPECT_EQ(load().size(), 2U);
}

TEST_F(StoreTest, AutostartIsALinkToTheDefinition) {
  const domain::Domain one = description("one");
  store.write(one);
  store.set_autostart(one, true);
  store.set_autostart(one, true);
  EXPECT_EQ(std::filesystem::read_symlink(layout.autostart + "/one.xml"), layout.config + "/one.xml");
  store.set_autostart(one, false);
  store.set_autostart(one, false);
  EXPECT_TRUE(files(layout.autostart).empty());
}

TEST_F(StoreTest, AFileThatCannotBeReadIsKeptAsideAndToldOf) {
  store.write(description("good"));
  const auto put = [&](const std::string& name, const std::string& text) {
    std::ofstream(layout.config + "/" + name) << text;
  };
  put("half.xml", "<domain type='qemu'><name>half</name>");
  put("empty.xml", "");
  put("other.xml", "<network/>");
  put(std::string(248, 'l') + ".xml", "no");
  put("notes.txt", "not ours");
  const auto all = load();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].domain.name, "good");
  EXPECT_EQ(broken.size(), 4U);
  for (const std::string& text : broken) EXPECT_THAT(text, testing::HasSubstr(".xml: "));
  EXPECT_THAT(files(layout.config),
              testing::UnorderedElementsAre("good.xml", "notes.txt", "half.xml.broken", "empty.xml.broken",
                                            "other.xml.broken", EndsWith("lll.broken")));
  EXPECT_EQ(load().size(), 1U);
  EXPECT_TRUE(broken.empty());
}

TEST_F(StoreTest, AFileUnderAnothersNameIsKeptAside) {
  store.write(description("one"));
  std::filesystem::copy_file(layout.config + "/one.xml", layout.config + "/copy.xml");
  EXPECT_EQ(load().size(), 1U);
  EXPECT_THAT(broken, ElementsAre(testing::HasSubstr("it defines 'one', which belongs in ")));
}

TEST_F(StoreTest, ARenameDoneByHalvesIsOneDomain) {
  const auto marked_first = [&](bool before, bool after) {
    store.write(description("before"));
    store.write(description("after"));
    if (before) store.set_autostart(description("before"), true);
    if (after) store.set_autostart(description("after"), true);
    const auto all = load();
    EXPECT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0].autostart, before || after);
    const std::string name = all[0].domain.name;
    EXPECT_THAT(files(layout.config), ElementsAre(name + ".xml"));
    EXPECT_EQ(files(layout.autostart).size(), before || after ? 1U : 0U);
    store.remove(all[0].domain);
    return name;
  };
  marked_first(false, false);
  EXPECT_EQ(marked_first(true, false), "before");
  EXPECT_EQ(marked_first(false, true), "after");
  marked_first(true, true);
  EXPECT_TRUE(broken.empty());
}

TEST_F(StoreTest, TwoDefinitionsThatDifferAreBothThere) {
  domain::Domain other = description("other");
  other.title = "not the same";
  store.write(description("one"));
  store.write(other);
  EXPECT_EQ(load().size(), 2U);
}

TEST_F(StoreTest, AMarkWithoutADefinitionIsForgotten) {
  store.set_autostart(description("gone"), true);
  store.set_autostart(description("bad"), true);
  std::ofstream(layout.config + "/bad.xml") << "no";
  EXPECT_TRUE(load().empty());
  EXPECT_THAT(files(layout.autostart), ElementsAre("bad.xml"));
}

TEST_F(StoreTest, WhatIsNoFileIsPassedBy) {
  std::filesystem::create_symlink("round.xml", layout.config + "/round.xml");
  std::filesystem::create_directory(layout.config + "/folder.xml");
  store.write(description("one"));
  EXPECT_EQ(load().size(), 1U);
  EXPECT_TRUE(broken.empty());
}

TEST_F(StoreTest, AFailedWriteLeavesTheOldFile) {
  const domain::Domain one = description("one");
  store.write(one);
  std::filesystem::rename(layout.config, layout.config + ".away");
  EXPECT_THROW(store.write(one), std::system_error);
  EXPECT_THROW(store.set_autostart(one, true), core::Error);
  std::filesystem::rename(layout.config + ".away", layout.config);
  EXPECT_EQ(load().size(), 1U);
}

}  // namespace
}  // namespace registry
