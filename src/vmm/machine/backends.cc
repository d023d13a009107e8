#include "vmm/machine/backends.h"

#include <fcntl.h>

#include <cerrno>

#include "base/file.h"
#include "vmm/cmdline/properties.h"

namespace machine {
namespace {

chardev::Config::Kind kind_of(cmdline::Chardev::Kind kind) {
  using From = cmdline::Chardev::Kind;
  using To = chardev::Config::Kind;
  switch (kind) {
    case From::stdio: return To::stdio;
    case From::pty: return To::pty;
    case From::file: return To::file;
    case From::unix_socket: return To::unix_socket;
    case From::tcp_socket: return To::tcp_socket;
  }
  return To::pty;
}

}  // namespace

base::UniqueFd open_named(const std::string& path, int flags) {
  const int fd = cmdline::descriptor_of(path);
  if (fd < 0) return base::open_file(path, flags);
  base::UniqueFd own(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!own) base::throw_errno(errno, "cannot open '" + path + "'");
  return own;
}

void add_chardev(Backends& backends, const cmdline::Chardev& config, loop::Loop& loop) {
  if (backends.chardevs.contains(config.id))
    throw std::invalid_argument("there is a chardev '" + config.id + "' already");
  backends.chardevs[config.id] =
      std::make_unique<chardev::Chardev>(chardev::Config{.id = config.id,
                                                         .kind = kind_of(config.kind),
                                                         .path = config.path,
                                                         .host = config.host,
                                                         .port = config.port,
                                                         .fd = config.fd,
                                                         .server = config.server,
                                                         .wait = config.server && config.wait,
                                                         .log_file = config.log_file,
                                                         .log_append = config.log_append},
                                         loop);
}

}  // namespace machine
