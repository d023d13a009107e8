#include "driver/service/config.h"

#include <grp.h>

#include "driver/core/error.h"

namespace service {
namespace {

using core::Error;
using core::ErrorCode;

/// Keys that promise protection this daemon does not give: their only honest answer is not to start.
void refuse_unkept_promises(const core::Conf& conf) {
  for (const std::string& key : conf.keys()) {
    const bool none_is_fine = key == "auth_unix_ro" || key == "auth_unix_rw" || key == "auth_tcp";
    const bool security = key.starts_with("auth_") || key.starts_with("sasl_") || key.starts_with("tls_") ||
                          key == "access_drivers" || key == "listen_tls";
    if (!security || (none_is_fine && conf.string(key) == "none")) continue;
    if (key == "listen_tls" && !*conf.boolean(key)) continue;
    throw Error(ErrorCode::config_unsupported, conf.where(key) + ": this value of '" + key + "' is not implemented");
  }
}

std::optional<gid_t> find_group(const core::Conf& conf) {
  const auto name = conf.string("unix_sock_group");
  if (const struct group* entry = getgrnam(name.value_or("libvirt").c_str())) return entry->gr_gid;
  if (name) throw Error(ErrorCode::conf_syntax, conf.where("unix_sock_group") + ": no group '" + *name + "'");
  return {};
}

/// URIs of the one other driver whose descriptions and events clients find here.
std::vector<std::string> find_aliases(const core::Conf& conf) {
  auto aliases = conf.strings("uri_aliases").value_or(std::vector<std::string>());
  for (const std::string& uri : aliases) {
    if (uri != "qemu:///system" && uri != "qemu:///session")
      throw Error(ErrorCode::conf_syntax, conf.where("uri_aliases") + ": '" + uri +
                                              "' cannot be an alias, only \"qemu:///system\" and \"qemu:///session\"");
  }
  return aliases;
}

}  // namespace

std::vector<std::string> Config::read_at_start(std::vector<std::string> changed) {
  std::erase_if(changed, [](const std::string& key) {
    return key == "max_clients" || key == "max_client_requests" || key == "keepalive_interval" ||
           key == "keepalive_count";
  });
  return changed;
}

Config Config::read(const core::Conf& conf) {
  refuse_unkept_promises(conf);
  Config config;
  rpc::Limits& limits = config.limits;
  limits.max_clients = conf.unsigned_integer("max_clients").value_or(limits.max_clients);
  limits.max_queued_clients = conf.unsigned_integer("max_queued_clients").value_or(limits.max_queued_clients);
  limits.max_client_requests = conf.unsigned_integer("max_client_requests").value_or(limits.max_client_requests);
  limits.keepalive_interval = conf.integer("keepalive_interval").value_or(limits.keepalive_interval);
  limits.keepalive_count = conf.unsigned_integer("keepalive_count").value_or(limits.keepalive_count);

  config.uri_aliases = find_aliases(conf);
  config.socket_folder = conf.string("unix_sock_dir");
  config.socket_group = find_group(conf);
  config.writing_mode = conf.mode("unix_sock_rw_perms").value_or(config.writing_mode);
  config.reading_mode = conf.mode("unix_sock_ro_perms").value_or(config.reading_mode);

  config.tcp_without_auth = conf.has("auth_tcp");  // whose only value is "none"
  if (conf.boolean("listen_tcp").value_or(false)) {
    if (!config.tcp_without_auth) {
      throw Error(ErrorCode::config_unsupported,
                  conf.where("listen_tcp") +
                      ": 'listen_tcp' is refused, since clients of TCP cannot be authenticated; to serve whoever "
                      "can connect, write auth_tcp = \"none\" as well");
    }
    config.tcp = {conf.string("listen_addr").value_or("127.0.0.1"), conf.string("tcp_port").value_or("16509")};
  }
  return config;
}

}  // namespace service
