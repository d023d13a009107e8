#include <malloc.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <filesystem>
#include <functional>
#include <iostream>
#include <optional>
#include <utility>

#include "base/file.h"
#include "driver/api/client.h"
#include "driver/core/conf.h"
#include "driver/core/layout.h"
#include "driver/rpc/server.h"
#include "driver/service/background.h"
#include "driver/service/sockets.h"

namespace {

struct Options {
  bool daemonize = false, verbose = false;
  std::string config, pid_file, root;
  unsigned timeout = 0;  ///< seconds without a client or a running domain; 0: never ends
};

/// SIGHUP waits, or comes.
void let_hangup(int how) {
  sigset_t hangup;
  sigemptyset(&hangup);
  sigaddset(&hangup, SIGHUP);
  pthread_sigmask(how, &hangup, nullptr);
}

core::Conf load(const std::string& path, bool required) {
  if (!required && access(path.c_str(), F_OK) < 0) return {};
  return core::Conf::load(path);
}

/// Ends the loop after `timeout` without clients and running domains (libvirtd's --timeout).
core::Task<void> end_when_idle(core::Loop* loop, rpc::Server* server, registry::Registry* registry,
                               std::chrono::seconds timeout) {
  auto idle_since = std::chrono::steady_clock::now();
  for (;;) {
    co_await core::sleep(std::chrono::seconds(1));
    const auto now = std::chrono::steady_clock::now();
    if (server->clients() || registry->active_count()) idle_since = now;
    if (now - idle_since >= timeout) co_return loop->stop();
  }
}

/// What the administrator has written.
struct Written {
  core::Conf daemon;  ///< virtstratovirtd.conf
  service::Config config;
  instance::Settings settings;  ///< stratovirt.conf
};

/// Throws Error. Blocks: once others are served, for the pool.
Written read_configuration(const core::Layout& layout, const std::string& named) {
  core::Conf daemon = load(named.empty() ? layout.conf + "/virtstratovirtd.conf" : named, !named.empty());
  service::Config config = service::Config::read(daemon);
  return {std::move(daemon), std::move(config),
          instance::Settings::read(load(layout.conf + "/stratovirt.conf", false), getuid() == 0)};
}

/// All that serves.
struct Daemon {
  const core::Layout& layout;
  const std::string& config_file;
  const Written& started;        ///< the configuration as this daemon found it
  instance::Settings& settings;  ///< in force
  core::Loop& loop;
  registry::Registry& registry;
  api::Driver& driver;
  rpc::Server& server;
};

/// Takes over what has been written anew, where all of it can be understood.
core::Task<void> reload(Daemon* daemon) {
  try {
    Written now =
        co_await daemon->loop.blocking([&] { return read_configuration(daemon->layout, daemon->config_file); });
    daemon->settings = std::move(now.settings);
    daemon->registry.reconfigured();
    daemon->server.set_limits(now.config.limits);
    std::string waiting;
    for (const std::string& key : service::Config::read_at_start(daemon->started.daemon.changed(now.daemon)))
      waiting += (waiting.empty() ? "" : ", ") + key;
    spdlog::info("the configuration has been read again");
    if (!waiting.empty()) spdlog::warn("has an effect once the daemon is started again: {}", waiting);
  } catch (const std::exception& error) {
    spdlog::error("the configuration stays as it was: {}", error.what());
  }
}

/// SIGHUP, as libvirtd: however many come while one is under way, one more follows.
core::Task<void> reload_on_hangup(Daemon* daemon, core::asio::signal_set* hangup) {
  bool asked = false;
  core::Signal again(daemon->loop.context());
  std::function<void()> listen = [&] {
    hangup->async_wait([&](const boost::system::error_code& error, int) {
      if (error) return;
      asked = true;
      again.notify();
      listen();
    });
  };
  listen();
  for (;;) {
    if (!std::exchange(asked, false)) {
      co_await again.wait();
      continue;
    }
    co_await reload(daemon);
  }
}

/// The orderly end. Machines go on, but for those that go with a client.
core::Task<void> end(Daemon* daemon) {
  co_await api::destroy_all_runs(&daemon->driver);
  daemon->loop.stop();
}

void serve(const Options& options, service::Background* background) {
  const bool session = options.root.empty() && getuid() != 0;
  const core::Layout layout = session ? core::Layout::user() : core::Layout::system(options.root);
  layout.make();
  const Written started = read_configuration(layout, options.config);
  instance::Settings settings = started.settings;
  const base::UniqueFd lock = service::lock(layout);

  constexpr std::size_t pool_threads = 16;  // waits for disks, not for processors
  core::Loop loop(pool_threads);
  loop.on_failure([](const std::string& whose, const std::string& why) {
    spdlog::error("{} met with what it did not expect, and that work has ended: {}", whose, why);
  });
  registry::Registry registry(loop, layout, settings, [](const std::string& problem) { spdlog::warn("{}", problem); });
  api::Driver driver{loop, layout, registry, {}, {}, {}};
  for (const std::string& uri : started.config.uri_aliases)  // of a system's daemon, or of a user's
    if (uri.ends_with(session ? "/session" : "/system")) driver.uri_aliases.push_back(uri);
  registry.on_event([&](const auto& from, const auto& event) { api::deliver(driver, from, event); });
  rpc::Server server(loop, started.config.limits,
                     [&](rpc::Connection& connection) { return std::make_unique<api::Client>(driver, connection); });
  Daemon daemon{layout, options.config, started, settings, loop, registry, driver, server};

  std::optional<service::SocketFiles> sockets;
  core::asio::signal_set signals(loop.context(), SIGTERM, SIGINT, SIGQUIT);
  signals.async_wait([&](const boost::system::error_code&, int) {
    signals.async_wait([&](const boost::system::error_code& error, int) {  // who says it twice does not want to wait
      if (!error) loop.stop();
    });
    loop.spawn(end(&daemon));
  });
  core::asio::signal_set hangup(loop.context(), SIGHUP);
  let_hangup(SIG_UNBLOCK);  // one that came meanwhile comes now
  loop.spawn(reload_on_hangup(&daemon, &hangup));
  std::exception_ptr failed;  // a daemon that cannot serve ends
  loop.spawn([](auto* recovered, auto* to, auto* where, auto* how, auto* made, auto* behind, core::Loop* of,
                std::exception_ptr* why) -> core::Task<void> {
    try {
      co_await recovered->recover();
      made->emplace(service::listen(*to, *where, *how));
      sd_notify(0, "READY=1");
      if (behind) behind->ready();
      spdlog::info("serving");
    } catch (...) {
      *why = std::current_exception();
      of->stop();
    }
  }(&registry, &server, &layout, &started.config, &sockets, background, &loop, &failed));
  if (options.timeout) loop.spawn(end_when_idle(&loop, &server, &registry, std::chrono::seconds(options.timeout)));
  if (!options.pid_file.empty()) base::replace_file(options.pid_file, std::to_string(getpid()) + "\n", 0644);
  struct End {  // what is under way goes before that to which it refers, whether run() returns or throws
    core::Loop& loop;
    rpc::Server& server;
    ~End() {
      server.stop();
      loop.abandon();
    }
  };
  {
    const End end{loop, server};
    loop.run();
  }
  if (failed) std::rethrow_exception(failed);
  if (!options.pid_file.empty()) base::remove_file(options.pid_file);
}

}  // namespace

int main(int argc, char** argv) {
  let_hangup(SIG_BLOCK);  // until it can be heard: it asks for the configuration to be read again, and ends nothing
  // Packets of any size come and go. The C library would learn to keep what large ones leave, and the daemon its peak.
  constexpr int given_back_from = 128 * 1024;
  mallopt(M_MMAP_THRESHOLD, given_back_from);
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
  const auto level = options.verbose ? spdlog::level::info : spdlog::level::warn;
  spdlog::set_level(level);
  for (std::string* path : {&options.root, &options.pid_file, &options.config}) {  // a daemon's working directory is /
    if (!path->empty()) *path = std::filesystem::absolute(*path);
  }
  std::signal(SIGPIPE, SIG_IGN);
  umask(0022);
  try {
    std::optional<service::Background> background;
    if (options.daemonize) {
      background.emplace();
      spdlog::set_default_logger(spdlog::syslog_logger_st("syslog", "virtstratovirtd", LOG_PID, LOG_DAEMON));
      spdlog::set_level(level);
    }
    serve(options, background ? &*background : nullptr);
  } catch (const std::exception& error) {
    std::cerr << "virtstratovirtd: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
