#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "driver/core/conf.h"
#include "driver/rpc/connection.h"

namespace service {

/// virtstratovirtd.conf: libvirtd.conf's keys as far as they have a meaning here.
struct Config {
  rpc::Limits limits;
  std::vector<std::string> uri_aliases;      ///< URIs of libvirt's QEMU driver that are answered here too
  std::optional<std::string> socket_folder;  ///< unix_sock_dir
  std::optional<gid_t> socket_group;         ///< unix_sock_group, else group libvirt where there is one
  mode_t writing_mode = 0770, reading_mode = 0777;

  struct Tcp {
    std::string address, port;
  };
  std::optional<Tcp> tcp;         ///< where to listen: listen_tcp, listen_addr, tcp_port
  bool tcp_without_auth = false;  ///< auth_tcp = "none" is written; without it no TCP socket is served

  /// The keys of `changed` that a daemon reads when it starts, and no more.
  static std::vector<std::string> read_at_start(std::vector<std::string> changed);

  /// Throws Error: CONFIG_UNSUPPORTED for a key that promises protection this daemon does not give, and for a TCP
  /// listener nobody said is to be open; CONF_SYNTAX and INTERNAL_ERROR for bad values.
  static Config read(const core::Conf& conf);
};

}  // namespace service
