#include "driver/host/backing.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <filesystem>
#include <fstream>
#include <functional>

#include "base/file.h"
#include "base/unique_fd.h"
#include "driver/core/error.h"

namespace host {
namespace {

using core::Error;
using core::ErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;

std::string big_endian(std::uint64_t value, unsigned bytes) {
  std::string text;
  while (bytes-- > 0) text += static_cast<char>(value >> 8 * bytes);
  return text;
}

class BackingTest : public testing::Test {
 protected:
  BackingTest() { std::filesystem::create_directory(folder); }
  ~BackingTest() override { std::filesystem::remove_all(folder); }

  std::string path(const std::string& name) const { return folder + "/" + name; }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path(name), std::ios::binary) << bytes;
  }
  /// A header of version 3, and 4 KiB in all.
  static std::string header(const std::string& backing, const std::string& format = "qcow2") {
    std::string bytes = "QFI\xfb" + big_endian(3, 4) + big_endian(backing.empty() ? 0 : 1024, 8) +
                        big_endian(backing.size(), 4) + big_endian(16, 4);
    bytes.resize(100, '\0');
    bytes += big_endian(104, 4);
    if (!format.empty()) bytes += big_endian(0xe2792aca, 4) + big_endian(format.size(), 4) + format;
    bytes.resize(1024, '\0');
    bytes += backing;
    bytes.resize(4096, '\0');
    return bytes;
  }
  void overlay(const std::string& name, const std::string& backing, const std::string& format = "qcow2") const {
    write(name, header(backing, format));
  }
  void changed(const std::string& name, std::size_t at, const std::string& by) const {
    write(name, header("base").replace(at, by.size(), by));
  }
  Error error_of(const std::string& name) const {
    try {
      backing_files(path(name));
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "accepted: " << name;
    return {ErrorCode::ok, ""};
  }

  const std::string folder = std::filesystem::temp_directory_path() / ("backing-" + std::to_string(getpid()));
};

TEST_F(BackingTest, TheChainIsFollowedBesideEachImageThatNamesTheNext) {
  std::filesystem::create_directory(path("below"));
  write("below/base", "raw");
  overlay("below/middle", "base", "raw");
  overlay("top", "below/middle");
  overlay("absolute", path("below/middle"));
  overlay("alone", "");
  EXPECT_THAT(backing_files(path("top")), ElementsAre(path("below/middle"), path("below/base")));
  EXPECT_THAT(backing_files(path("absolute")), ElementsAre(path("below/middle"), path("below/base")));
  EXPECT_THAT(backing_files(path("alone")), ElementsAre());
}

TEST_F(BackingTest, WhatIsNoQcow2EndsTheChain) {
  write("magic", header("base").replace(0, 3, "XFI"));
  write("short", std::string("QFI\xfb", 4));
  write("empty", "");
  for (const char* name : {"magic", "short", "empty"}) {
    EXPECT_THAT(backing_files(path(name)), ElementsAre()) << name;
    overlay("top", name);
    EXPECT_THAT(backing_files(path("top")), ElementsAre(path(name))) << name;
  }
}

TEST_F(BackingTest, WhatIsNotSaidToBeAQcow2IsNotLookedInto) {
  overlay("secret", "");
  overlay("looks-like-one", "secret");
  for (const char* format : {"raw", "", "vmdk"}) {
    overlay("top", "looks-like-one", format);
    EXPECT_THAT(backing_files(path("top")), ElementsAre(path("looks-like-one"))) << format;
  }
}

TEST_F(BackingTest, WhatAnEmulatorOpensWithoutAFileEndsTheChain) {
  for (const char* name : {"json:{\"driver\":\"file\"}", "nbd:127.0.0.1:1", "http://host/x", "file:/etc/shadow"}) {
    overlay("top", name);
    EXPECT_THAT(backing_files(path("top")), ElementsAre()) << name;
  }
}

TEST_F(BackingTest, RingsAndChainsWithoutEndAreRefused) {
  overlay("itself", "itself");
  overlay("one", "two");
  overlay("two", "one");
  std::filesystem::create_symlink("linked", path("link"));
  overlay("linked", "link");
  for (int i = 0; i < 202; ++i) overlay("long" + std::to_string(i), "long" + std::to_string(i + 1));
  overlay("long202", "");
  for (const char* name : {"itself", "one", "linked", "long0"}) {
    const Error error = error_of(name);
    EXPECT_EQ(error.code(), ErrorCode::internal_error) << name;
    EXPECT_THAT(error.detail(), HasSubstr("self-referential or too deeply nested"));
  }
  EXPECT_EQ(backing_files(path("long3")).size(), 199u);
}

TEST_F(BackingTest, AHeaderThatCannotBeIsRefused) {
  std::string many;
  for (int i = 0; i < 65; ++i) many += big_endian(7, 4) + big_endian(0, 4);
  write("base", "");
  changed("version", 4, big_endian(9, 4));
  changed("long-name", 16, big_endian(1024, 4));
  changed("far-name", 8, big_endian(~std::uint64_t{0} - 2, 8));
  changed("near-name", 8, big_endian(50, 8));
  changed("clusters", 20, big_endian(63, 4));
  changed("long-header", 100, big_endian(0xffffffff, 4));
  changed("long-extension", 108, big_endian(0xffffffff, 4));
  changed("many-extensions", 104, many);
  write("cut", header("base").substr(0, 1026));
  for (const char* name : {"version", "long-name", "far-name", "near-name", "clusters", "long-header", "long-extension",
                           "many-extensions", "cut"})
    EXPECT_EQ(error_of(name).code(), ErrorCode::config_unsupported) << name;
}

TEST_F(BackingTest, WhatIsNoFileIsNotOpened) {
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  const base::UniqueFd watch(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  ASSERT_GE(inotify_add_watch(watch.get(), path("pipe").c_str(), IN_OPEN), 0);
  for (const char* name : {"pipe", ".", "/dev/null"}) {
    overlay("top", name);
    EXPECT_EQ(error_of("top").code(), ErrorCode::config_unsupported) << name;
  }
  char event[sizeof(inotify_event) + NAME_MAX + 1];
  EXPECT_LT(read(watch.get(), event, sizeof event), 0) << "a device would have been used";
  overlay("top", "not-there");
  EXPECT_EQ(error_of("top").code(), ErrorCode::system_error);
  EXPECT_THAT(error_of("top").detail(), HasSubstr("not-there' of storage file"));
}

}  // namespace
}  // namespace host
