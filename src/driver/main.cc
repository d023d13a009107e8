#include <fcntl.h>
#include <grp.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <iostream>

#include "base/file.h"
#include "driver/api/client.h"
#include "driver/core/conf.h"
#include "driver/core/layout.h"
#include "driver/rpc/server.h"

namespace {

struct Options {
  bool daemonize = false, verbose = false;
  std::string config, pid_file, root;
  unsigned timeout = 0;  ///< seconds without a client or a running domain; 0: never ends
};

core::Conf load(const std::string& path, bool required) {
  if (!required && access(path.c_str(), F_OK) < 0) return {};
  return core::Conf::load(path);
}

/// Keys that promise protection this daemon does not give: their only honest answer is not to start.
void refuse_unkept_promises(const core::Conf& conf) {
  for (const std::string& key : conf.keys()) {
    const bool none_is_fine = key == "auth_unix_ro" || key == "auth_unix_rw" || key == "auth_tcp";
    const bool security = key.starts_with("auth_") || key.starts_with("sasl_") || key.starts_with("tls_") ||
                          key == "access_drivers" || key == "listen_tls" || key == "listen_tcp";
    if (!security || (none_is_fine && conf.string(key) == "none")) continue;
    if ((key == "listen_tls" || key == "listen_tcp") && !*conf.boolean(key)) continue;
    throw core::Error(core::ErrorCode::config_unsupported,
                      conf.where(key) + ": this value of '" + key + "' is not implemented");
  }
}

rpc::Limits read_limits(const core::Conf& conf) {
  rpc::Limits limits;
  const auto number = [&](const char* key, unsigned& into) { into = conf.unsigned_integer(key).value_or(into); };
  number("max_clients", limits.max_clients);
  number("max_queued_clients", limits.max_queued_clients);
  number("max_client_requests", limits.max_client_requests);
  number("keepalive_count", limits.keepalive_count);
  limits.keepalive_interval = conf.integer("keepalive_interval").value_or(limits.keepalive_interval);
  return limits;
}

/// One daemon a root: the lock ends with the process.
base::UniqueFd lock_root(const core::Layout& layout) {
  const std::string path = layout.state + "/driver.lock";
  base::UniqueFd fd = base::open_file(path, O_RDWR | O_CREAT, 0600);
  if (flock(fd.get(), LOCK_EX | LOCK_NB) < 0) {
    throw core::Error(core::ErrorCode::operation_failed,
                      "another virtstratovirtd serves here: '" + path + "' is locked");
  }
  return fd;
}

void listen(rpc::Server& server, const core::Layout& layout, const core::Conf& conf, const rpc::Limits& limits) {
  const auto anybody = [](const rpc::Peer&) { return true; };
  const auto same_user = [](const rpc::Peer& peer) { return peer.uid == 0 || peer.uid == getuid(); };
  auto activated = rpc::activated_sockets();
  for (auto& socket : activated) {
    const bool readonly = rpc::socket_path(socket.fd.get()).string().ends_with("-ro");
    server.listen(std::move(socket.fd), readonly, layout.session ? rpc::Server::Admit(same_user) : anybody);
  }
  if (!activated.empty()) return;
  const std::string folder = conf.string("unix_sock_dir").value_or(layout.sockets);
  if (layout.session) {
    server.listen(rpc::listen_unix(folder + "/virtstratovirtd-sock", 0700, {}, limits.max_queued_clients), false,
                  same_user);
    return;
  }
  std::optional<gid_t> group;
  if (const auto name = conf.string("unix_sock_group")) {
    const struct group* entry = getgrnam(name->c_str());
    if (!entry)
      throw core::Error(core::ErrorCode::conf_syntax, conf.where("unix_sock_group") + ": no group '" + *name + "'");
    group = entry->gr_gid;
  } else if (const struct group* entry = getgrnam("libvirt")) {
    group = entry->gr_gid;
  }
  const mode_t writing = conf.mode("unix_sock_rw_perms").value_or(0770);
  const mode_t reading = conf.mode("unix_sock_ro_perms").value_or(0777);
  server.listen(rpc::listen_unix(folder + "/virtstratovirtd-sock", writing, group, limits.max_queued_clients), false,
                anybody);
  server.listen(rpc::listen_unix(folder + "/virtstratovirtd-sock-ro", reading, group, limits.max_queued_clients), true,
                anybody);
}

/// Ends the loop after `timeout` without clients and running domains (libvirtd's --timeout).
core::Task<void> end_when_idle(core::Loop& loop, rpc::Server& server, registry::Registry& registry,
                               std::chrono::seconds timeout) {
  auto idle_since = std::chrono::steady_clock::now();
  for (;;) {
    co_await core::sleep(std::chrono::seconds(1));
    const auto now = std::chrono::steady_clock::now();
    if (server.clients() || registry.active_count()) idle_since = now;
    if (now - idle_since >= timeout) co_return loop.stop();
  }
}

void serve(const Options& options) {
  const bool session = options.root.empty() && getuid() != 0;
  const core::Layout layout = session ? core::Layout::user() : core::Layout::system(options.root);
  layout.make();
  const core::Conf conf =
      load(options.config.empty() ? layout.conf + "/virtstratovirtd.conf" : options.config, !options.config.empty());
  refuse_unkept_promises(conf);
  const auto settings = instance::Settings::read(load(layout.conf + "/stratovirt.conf", false), getuid() == 0);
  const base::UniqueFd lock = lock_root(layout);

  constexpr std::size_t pool_threads = 16;  // waits for disks, not for processors
  core::Loop loop(pool_threads);
  registry::Registry registry(loop, layout, settings, [](const std::string& problem) { spdlog::warn("{}", problem); });
  api::Driver driver{loop, layout, registry, {}, {}};
  registry.on_event([&](const auto& from, const auto& event) { api::deliver(driver, from, event); });
  const rpc::Limits limits = read_limits(conf);
  rpc::Server server(loop, limits,
                     [&](rpc::Connection& connection) { return std::make_unique<api::Client>(driver, connection); });

  core::asio::signal_set signals(loop.context(), SIGTERM, SIGINT, SIGQUIT);
  signals.async_wait([&](const boost::system::error_code&, int) { loop.stop(); });
  loop.spawn([](auto& recovered, auto& to, auto& where, auto& keys, auto& bounds) -> core::Task<void> {
    co_await recovered.recover();
    listen(to, where, keys, bounds);
    sd_notify(0, "READY=1");
    spdlog::info("serving");
  }(registry, server, layout, conf, limits));
  if (options.timeout) loop.spawn(end_when_idle(loop, server, registry, std::chrono::seconds(options.timeout)));
  if (!options.pid_file.empty()) base::replace_file(options.pid_file, std::to_string(getpid()) + "\n", 0644);
  loop.run();
  server.stop();
  if (!options.pid_file.empty()) base::remove_file(options.pid_file);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("virtstratovirtd: the libvirt driver for StratoVirt");
  app.add_flag("-d,--daemon", options.daemonize, "Run as a daemon");
  app.add_flag("-v,--verbose", options.verbose, "Say more");
  app.add_option("-f,--config", options.config, "Configuration file");
  app.add_option("-p,--pid-file", options.pid_file, "Where to write the process id");
  app.add_option("-t,--timeout", options.timeout, "End after this many seconds without clients and running domains");
  app.add_option("--root", options.root, "Keep all files below this folder");
  app.set_version_flag("-V,--version", "virtstratovirtd " STRATOVIRT_VERSION);
  CLI11_PARSE(app, argc, argv);
  spdlog::set_default_logger(spdlog::stderr_logger_st("virtstratovirtd"));
  spdlog::set_level(options.verbose ? spdlog::level::info : spdlog::level::warn);
  std::signal(SIGPIPE, SIG_IGN);
  umask(0022);
  try {
    if (options.daemonize && daemon(0, 0) < 0) throw core::Error::system(errno, "cannot become a daemon");
    serve(options);
  } catch (const std::exception& error) {
    std::cerr << "virtstratovirtd: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
