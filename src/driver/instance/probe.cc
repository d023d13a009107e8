#include "driver/instance/probe.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "base/unique_fd.h"
#include "driver/core/error.h"
#include "qmp/message.h"

namespace instance {
namespace {

using core::Error;
using core::ErrorCode;

constexpr std::size_t output_limit = 65536;
constexpr std::size_t answers_limit = std::size_t{4} << 20;  ///< all that is read of a monitor
constexpr int look_again = 2;                                ///< ms, until the monitor's socket is there
constexpr char prefix[] = "probe-";
constexpr char monitor_name[] = "monitor.sock";

class Deadline {
 public:
  explicit Deadline(std::chrono::milliseconds limit) : end_(Clock::now() + limit) {}
  /// Milliseconds as poll() takes them; 0: no more.
  int left() const {
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(end_ - Clock::now()).count();
    return static_cast<int>(std::clamp<decltype(rest)>(rest, 0, 3'600'000));
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point end_;
};

/// The folder in which a program is asked, which is its own.
class OwnFolder {
 public:
  OwnFolder(const std::string& state, const std::optional<host::Identity>& owner)
      : path_(state + "/" + prefix + "XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) throw Error::system(errno, "cannot make a folder in '" + state + "'");
    if (owner && ::chown(path_.c_str(), owner->uid, owner->gid) < 0) {
      const int why = errno;
      remove();
      throw Error::system(why, "cannot give '" + path_ + "'");
    }
  }
  OwnFolder(const OwnFolder&) = delete;
  OwnFolder& operator=(const OwnFolder&) = delete;
  ~OwnFolder() { remove(); }
  const std::string& path() const { return path_; }

 private:
  void remove() const noexcept {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string path_;
};

/// A program that runs in the folder until the end of this object's life, and what it prints.
class Process {
 public:
  Process(const std::string& program, std::vector<std::string> arguments, const OwnFolder& folder,
          const ProbeConfig& config) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) throw Error::system(errno, "cannot make a pipe");
    output_.reset(ends[0]);
    const base::UniqueFd in(ends[1]);
    host::SpawnConfig spawn;
    spawn.program = program;
    spawn.arguments = std::move(arguments);
    spawn.environment = {"PATH=/usr/bin:/bin", "LC_ALL=C", "HOME=" + folder.path()};
    spawn.output = in.get();
    spawn.identity = config.identity;
    spawn.limits = {{RLIMIT_CORE, 0}};
    spawn.folder = folder.path();
    spawn.ends_with_parent = true;
    child_ = host::spawn(spawn);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    ::kill(-child_.pid, SIGKILL);  // what it started besides, in its session
    syscall(SYS_pidfd_send_signal, child_.pidfd.get(), SIGKILL, nullptr, 0);
    host::reap(child_);
  }

  /// Waits for output or the end; whether there may be more to come.
  bool wait(const Deadline& deadline) {
    pollfd ready[] = {{output_.get(), POLLIN, 0}, {child_.pidfd.get(), POLLIN, 0}};
    const int left = deadline.left();
    if (left == 0 || (poll(ready, 2, left) < 0 && errno != EINTR)) return false;
    return take_output() && ready[1].revents == 0;
  }
  /// Whether it has ended, within so many milliseconds.
  bool ends_in(int milliseconds) const {
    pollfd ready{child_.pidfd.get(), POLLIN, 0};
    return poll(&ready, 1, milliseconds) > 0;
  }
  const std::string& printed() {
    take_output();
    return printed_;
  }

 private:
  /// False once there can be no more.
  bool take_output() {
    char bytes[4096];
    while (printed_.size() < output_limit) {
      const ssize_t got = read(output_.get(), bytes, sizeof bytes);
      if (got == 0) return false;
      if (got < 0) return errno == EAGAIN || errno == EINTR;
      printed_.append(bytes, static_cast<std::size_t>(got));
    }
    return false;
  }

  base::UniqueFd output_;
  host::Child child_;
  std::string printed_;
};

/// QMP with a program that is not trusted, a command at a time.
class Talk {
 public:
  Talk(Process& process, const OwnFolder& folder, const ProbeConfig& config, const Deadline& deadline)
      : deadline_(deadline) {
    const base::UniqueFd at = base::open_file(folder.path(), O_PATH | O_DIRECTORY);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = "/proc/self/fd/" + std::to_string(at.get()) + "/" + monitor_name;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    for (;;) {
      socket_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      if (!socket_) throw Error::system(errno, "cannot make a socket");
      if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) break;
      const int why = errno;
      if (process.ends_in(std::min(look_again, deadline_.left()))) throw Error(ErrorCode::internal_error, "it ended");
      if (deadline_.left() == 0) throw Error::system(why, "cannot connect to its monitor");
    }
    // Whoever listens there is who was started: a link could lead to another's socket.
    ucred peer{};
    socklen_t size = sizeof peer;
    const uid_t owner = config.identity ? config.identity->uid : geteuid();
    if (::getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != owner)
      throw Error(ErrorCode::internal_error, "its monitor is another user's");
    if (!std::holds_alternative<qmp::Greeting>(next())) throw Error(ErrorCode::internal_error, "it does not greet");
    execute("qmp_capabilities");
  }

  /// What it returns; nothing where it refuses.
  std::optional<qmp::Json> execute(const std::string& command) {
    const std::string id = "libvirt-" + std::to_string(++last_id_);
    send(qmp::encode(command, nullptr, id));
    for (;;) {
      auto message = next();
      if (auto* reply = std::get_if<qmp::Reply>(&message); reply && reply->id.value_or(id) == id)
        return std::move(reply->value);
      if (const auto* refusal = std::get_if<qmp::ErrorReply>(&message); refusal && refusal->id.value_or(id) == id)
        return std::nullopt;
    }
  }

 private:
  void wait(short events) const {
    pollfd ready{socket_.get(), events, 0};
    const int left = deadline_.left();
    if (left == 0 || poll(&ready, 1, left) == 0) throw Error(ErrorCode::operation_timeout, "it does not answer");
  }
  void send(const std::string& bytes) {
    for (std::size_t out = 0; out < bytes.size();) {
      const ssize_t sent = ::send(socket_.get(), bytes.data() + out, bytes.size() - out, MSG_NOSIGNAL);
      if (sent < 0 && errno != EAGAIN && errno != EINTR) throw Error::system(errno, "it closed its monitor");
      if (sent > 0) out += static_cast<std::size_t>(sent);
      if (sent < 0) wait(POLLOUT);
    }
  }
  qmp::Message next() {
    char bytes[65536];
    for (;;) {
      if (auto message = decoder_.next()) return std::move(*message);
      wait(POLLIN);
      const ssize_t got = ::recv(socket_.get(), bytes, sizeof bytes, 0);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (got <= 0) throw Error(ErrorCode::internal_error, "it closed its monitor");
      taken_ += static_cast<std::size_t>(got);
      if (taken_ > answers_limit) throw Error(ErrorCode::internal_error, "it does not stop talking");
      decoder_.feed({bytes, static_cast<std::size_t>(got)});
    }
  }

  const Deadline& deadline_;
  base::UniqueFd socket_;
  qmp::Decoder decoder_;
  std::size_t taken_ = 0;
  std::uint64_t last_id_ = 0;
};

emulator::Capabilities ask_version(const std::string& program, const OwnFolder& folder, const ProbeConfig& config,
                                   const Deadline& deadline) {
  Process process(program, {"-version"}, folder, config);
  while (process.wait(deadline)) {
  }
  return emulator::read_version(process.printed());
}

void ask_monitor(const std::string& program, emulator::Capabilities& capabilities, const OwnFolder& folder,
                 const ProbeConfig& config, const Deadline& deadline) {
  Process process(program, emulator::probe_arguments(capabilities.kind, monitor_name), folder, config);
  const auto because = [&](const std::string& why) {
    std::string printed = process.printed().substr(0, 1024);
    while (printed.ends_with('\n')) printed.pop_back();
    return Error(ErrorCode::internal_error, why + (printed.empty() ? "" : ": " + printed));
  };
  try {
    Talk talk(process, folder, config, deadline);
    for (const std::string& query : emulator::probe_queries(capabilities.kind)) {
      if (const auto reply = talk.execute(query)) emulator::read_probe(capabilities, query, *reply);
    }
  } catch (const Error& error) {
    throw because(error.detail());
  } catch (const qmp::ProtocolError& error) {
    throw because(std::string("it does not speak QMP: ") + error.what());
  }
}

}  // namespace

std::string emulator_program(const domain::Domain& domain) {
  const std::string name =
      domain.emulator.empty() ? emulator::default_program(domain.type, domain.os.arch) : domain.emulator;
  if (const auto path = host::find_program(name)) return *path;
  throw Error(ErrorCode::config_unsupported,
              "emulator '" + name + "' of domain type '" + std::string(domain::to_string(domain.type)) +
                  "' is not an executable program here; install it, or name another in <emulator>");
}

emulator::Capabilities probe(const std::string& program, const ProbeConfig& config) {
  const Deadline deadline(config.limit);
  const OwnFolder folder(config.state, config.identity);
  emulator::Capabilities capabilities = ask_version(program, folder, config, deadline);
  ask_monitor(program, capabilities, folder, config, deadline);
  return capabilities;
}

void remove_probes(const std::string& state) {
  std::error_code ignored;
  std::vector<std::filesystem::path> left;
  for (const auto& entry : std::filesystem::directory_iterator(state, ignored)) {
    if (entry.path().filename().string().starts_with(prefix)) left.push_back(entry.path());
  }
  for (const auto& path : left) std::filesystem::remove_all(path, ignored);
}

core::Task<emulator::Capabilities> with_commands(std::shared_ptr<Monitor> monitor,
                                                 emulator::Capabilities capabilities) {
  constexpr const char* query = "query-commands";
  if (capabilities.kind == emulator::Kind::stratovirt && capabilities.commands->empty())
    emulator::read_probe(capabilities, query, co_await monitor->execute({query, nullptr}));
  co_return capabilities;
}

}  // namespace instance
