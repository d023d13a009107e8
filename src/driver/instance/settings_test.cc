#include "driver/instance/settings.h"

#include <pwd.h>
#include <unistd.h>

#include "driver/instance/run_for_test.h"

namespace instance {
namespace {

using core::Error;
using core::ErrorCode;
using test::error_of;

Settings read(const std::string& text, bool privileged = true) {
  return Settings::read(core::Conf::parse(text, "stratovirt.conf"), privileged);
}

TEST(Settings, AnEmptyFileGivesTheDefaults) {
  const Settings settings = read("");
  const passwd* user = getpwnam("libvirt-qemu") ? getpwnam("libvirt-qemu") : getpwnam("qemu");
  EXPECT_EQ(settings.identity.uid, user ? user->pw_uid : 0);
  EXPECT_EQ(settings.root_unasked, !user);
  EXPECT_TRUE(settings.dynamic_ownership);
  EXPECT_TRUE(settings.seccomp_sandbox);
  EXPECT_EQ(settings.max_queued, 0U);
  EXPECT_TRUE(settings.nvram.empty());
}

TEST(Settings, WhatIsWrittenCounts) {
  const Settings settings = read(
      "user = \"+1234\"\ngroup = \"root\"\ndynamic_ownership = 0\nseccomp_sandbox = 0\n"
      "max_queued = 7\nnvram = [\"/a/CODE.fd:/a/VARS.fd\", \"/b:/c\"]\n");
  EXPECT_EQ(settings.identity.uid, 1234U);
  EXPECT_EQ(settings.identity.gid, 0U);
  EXPECT_FALSE(settings.root_unasked);
  EXPECT_FALSE(settings.dynamic_ownership);
  EXPECT_FALSE(settings.seccomp_sandbox);
  EXPECT_EQ(settings.max_queued, 7U);
  const std::vector<std::pair<std::string, std::string>> pairs = {{"/a/CODE.fd", "/a/VARS.fd"}, {"/b", "/c"}};
  EXPECT_EQ(settings.nvram, pairs);
}

TEST(Settings, AnOrdinaryUsersDaemonChangesNoOwner) {
  const Settings settings = read("user = \"root\"\ngroup = \"root\"\ndynamic_ownership = 1\n", false);
  EXPECT_EQ(settings.identity.uid, getuid());
  EXPECT_EQ(settings.identity.gid, getgid());
  EXPECT_FALSE(settings.dynamic_ownership);
}

TEST(Settings, PromisesOfProtectionThatAreNotKeptAreRefused) {
  for (const char* text : {"security_driver = \"selinux\"", "security_driver = [\"none\", \"apparmor\"]",
                           "namespaces = [\"mount\"]", "chardev_tls = 1", "default_tls_x509_verify = 1",
                           "security_default_confined = 1", "security_require_confined = 1",
                           "cgroup_device_acl = [\"/dev/null\"]", "lock_manager = \"sanlock\"", "spice_sasl = 1"}) {
    const Error error = error_of([&] { read(text); });
    EXPECT_EQ(error.code(), ErrorCode::config_unsupported) << text;
    const std::string key = std::string(text).substr(0, std::string(text).find(' '));
    EXPECT_EQ(error.detail(), "stratovirt.conf:1: " + key + " is not implemented");
  }
  for (const char* text : {"security_driver = \"none\"", "security_driver = []", "namespaces = []", "vnc_tls = 0",
                           "default_tls_x509_verify = 0"}) {
    EXPECT_NO_THROW(read(text)) << text;
  }
}

TEST(Settings, BadValuesAreNamedWithTheirPlace) {
  EXPECT_EQ(error_of([] { read("\nnvram = \"/a/CODE.fd\""); }).detail(),
            "stratovirt.conf:2: '/a/CODE.fd' is not LOADER:TEMPLATE");
  EXPECT_THROW(read("max_queued = -1"), Error);
  EXPECT_THROW(read("max_queued = \"7\""), Error);
  EXPECT_THROW(read("dynamic_ownership = 2"), Error);
  EXPECT_THROW(read("user = 5"), Error);
  EXPECT_EQ(error_of([] { read("user = \"nobody-of-that-name\""); }).code(), ErrorCode::invalid_arg);
}

}  // namespace
}  // namespace instance
