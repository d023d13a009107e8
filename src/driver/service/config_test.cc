#include "driver/service/config.h"

#include <gmock/gmock.h>

#include <functional>

#include "driver/core/error.h"

namespace service {
namespace {

using core::Error;
using core::ErrorCode;
using testing::HasSubstr;

Config read(const std::string& text) {
  return Config::read(core::Conf::parse(text, "x.conf"));
}
Error error_of(const std::string& text) {
  try {
    read(text);
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "accepted: " << text;
  return {ErrorCode::ok, ""};
}

TEST(Config, AnEmptyFileGivesTheDefaults) {
  const Config config = read("");
  EXPECT_EQ(config.writing_mode, 0770U);
  EXPECT_EQ(config.reading_mode, 0777U);
  EXPECT_FALSE(config.socket_folder);
  EXPECT_FALSE(config.tcp);
  EXPECT_FALSE(config.tcp_without_auth);
  EXPECT_EQ(config.limits.max_clients, rpc::Limits().max_clients);
}

TEST(Config, WhatIsWrittenCounts) {
  const Config config = read(
      "unix_sock_group = \"root\"\nunix_sock_rw_perms = \"0700\"\nunix_sock_ro_perms = \"0750\"\n"
      "unix_sock_dir = \"/somewhere\"\nmax_clients = 3\nmax_queued_clients = 4\n"
      "max_client_requests = 6\nkeepalive_interval = -1\nkeepalive_count = 7\n"
      "auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nlisten_tls = 0\n");
  EXPECT_EQ(config.socket_group, gid_t{0});
  EXPECT_EQ(config.writing_mode, 0700U);
  EXPECT_EQ(config.reading_mode, 0750U);
  EXPECT_EQ(config.socket_folder, "/somewhere");
  EXPECT_EQ(config.limits.max_clients, 3U);
  EXPECT_EQ(config.limits.max_queued_clients, 4U);
  EXPECT_EQ(config.limits.max_client_requests, 6U);
  EXPECT_EQ(config.limits.keepalive_interval, -1);
  EXPECT_EQ(config.limits.keepalive_count, 7U);
}

TEST(Config, AliasesAreUrisOfLibvirtsQemuDriver) {
  EXPECT_TRUE(read("").uri_aliases.empty());
  EXPECT_TRUE(read("uri_aliases = [ ]").uri_aliases.empty());
  EXPECT_THAT(read("uri_aliases = [ \"qemu:///system\", \"qemu:///session\" ]").uri_aliases,
              testing::ElementsAre("qemu:///system", "qemu:///session"));
  for (const char* other :
       {"lxc:///system", "qemu+ssh://host/system", "stratovirt:///system", "qemu:///system?x", ""}) {
    const Error error = error_of("uri_aliases = [ \"" + std::string(other) + "\" ]");
    EXPECT_EQ(error.code(), ErrorCode::conf_syntax) << other;
    EXPECT_THAT(error.detail(), HasSubstr("x.conf:1: '" + std::string(other) + "' cannot be an alias"));
  }
}

TEST(Config, ProtectionThatIsNotThereIsRefusedByName) {
  for (const char* text :
       {"auth_unix_rw = \"polkit\"", "auth_unix_ro = \"sasl\"", "auth_tcp = \"sasl\"", "auth_tls = \"none\"",
        "listen_tls = 1", "tls_no_verify_certificate = 1", "tls_allowed_dn_list = [\"x\"]",
        "sasl_allowed_username_list = [\"x\"]", "access_drivers = [\"polkit\"]"}) {
    const Error error = error_of(text);
    EXPECT_EQ(error.code(), ErrorCode::config_unsupported) << text;
    const std::string key = std::string(text).substr(0, std::string(text).find(' '));
    EXPECT_EQ(error.detail(), "x.conf:1: this value of '" + key + "' is not implemented");
  }
}

TEST(Config, TcpIsServedOnlyWhereItIsSaidThatNobodyIsAsked) {
  EXPECT_THAT(error_of("listen_tcp = 1").detail(), HasSubstr("auth_tcp = \"none\""));
  EXPECT_FALSE(read("listen_tcp = 0").tcp);
  const Config open = read("auth_tcp = \"none\"");
  EXPECT_FALSE(open.tcp);
  EXPECT_TRUE(open.tcp_without_auth);
  const Config near = read("listen_tcp = 1\nauth_tcp = \"none\"");
  EXPECT_EQ(near.tcp->address, "127.0.0.1");
  EXPECT_EQ(near.tcp->port, "16509");
  const Config far = read("listen_tcp = 1\nauth_tcp = \"none\"\nlisten_addr = \"::\"\ntcp_port = \"77\"");
  EXPECT_EQ(far.tcp->address, "::");
  EXPECT_EQ(far.tcp->port, "77");
}

TEST(Config, BadValuesAreNamedWithTheirPlace) {
  EXPECT_EQ(error_of("\nunix_sock_group = \"no-such-group-here\"").detail(), "x.conf:2: no group 'no-such-group-here'");
  EXPECT_THAT(error_of("max_clients = \"many\"").detail(), HasSubstr("max_clients"));
  EXPECT_THAT(error_of("max_clients = -1").detail(), HasSubstr("max_clients"));
  EXPECT_THAT(error_of("unix_sock_rw_perms = \"999\"").detail(), HasSubstr("unix_sock_rw_perms"));
  EXPECT_THAT(error_of("listen_tcp = 2").detail(), HasSubstr("listen_tcp"));
  EXPECT_THAT(error_of("auth_unix_rw = 1").detail(), HasSubstr("auth_unix_rw"));
}

}  // namespace
}  // namespace service
