#include "vmm/chardev/chardev.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pty.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "base/file.h"

namespace chardev {
namespace {

using Kind = Config::Kind;

void set_nonblocking(int fd) {
  if (::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) base::throw_errno(errno, "fcntl");
}

/// Throws for a descriptor that nobody can connect to.
void check_listening(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) < 0 || !S_ISSOCK(status.st_mode)) {
    throw std::invalid_argument("descriptor " + std::to_string(fd) + " is not a socket");
  }
  pollfd state{fd, 0, 0};
  if (::poll(&state, 1, 0) > 0) {
    throw std::invalid_argument("descriptor " + std::to_string(fd) + " is not a listening socket");
  }
}

/// A socket address, and a socket of its family.
struct Address {
  base::UniqueFd fd;
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Address unix_address(const std::string& path) {
  Address address;
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof name.sun_path) {
    throw std::invalid_argument("the path of a UNIX socket is empty or longer than " +
                                std::to_string(sizeof name.sun_path - 1) + " bytes: " + path);
  }
  std::ranges::copy(path, name.sun_path);
  std::memcpy(&address.storage, &name, sizeof name);
  address.size = sizeof name;
  address.fd.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!address.fd) base::throw_errno(errno, "cannot make a socket");
  return address;
}

Address tcp_address(const std::string& host, const std::string& port, bool server) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | (server ? AI_PASSIVE : 0);
  addrinfo* found = nullptr;
  if (const int wrong = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found)) {
    throw std::invalid_argument("'" + host + ":" + port + "' is no numeric address and port: " + ::gai_strerror(wrong));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, ::freeaddrinfo);
  Address address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.size = found->ai_addrlen;
  address.fd.reset(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!address.fd) base::throw_errno(errno, "cannot make a socket");
  const int one = 1;
  ::setsockopt(address.fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  return address;
}

Address address_of(const Config& config) {
  return config.kind == Kind::unix_socket ? unix_address(config.path)
                                          : tcp_address(config.host, config.port, config.server);
}

/// The file of the socket that has a name, where it is one.
std::optional<std::pair<dev_t, ino_t>> socket_at(const std::string& path) {
  struct stat there{};
  if (::lstat(path.c_str(), &there) < 0 || !S_ISSOCK(there.st_mode)) return {};
  return std::pair(there.st_dev, there.st_ino);
}

}  // namespace

Chardev::Chardev(Config config, loop::Loop& loop)
    : config_(std::move(config)), loop_(loop), patience_ends_(loop, [this] { lose_patience(); }) {
  if (!config_.log_file.empty()) {
    log_ = base::open_file(config_.log_file, O_WRONLY | O_CREAT | (config_.log_append ? O_APPEND : O_TRUNC), 0600);
  }
  open();
}

Chardev::~Chardev() {
  if (found_flags_ >= 0) ::fcntl(fd_.get(), F_SETFL, found_flags_);
  if (found_output_flags_ >= 0) ::fcntl(output_.get(), F_SETFL, found_output_flags_);
  if (cooked_) ::tcsetattr(fd_.get(), TCSANOW, &*cooked_);
  if (made_ && made_ == socket_at(config_.path)) ::unlink(config_.path.c_str());
}

void Chardev::open() {
  switch (config_.kind) {
    case Kind::stdio: return open_stdio();
    case Kind::pty: return open_pty();
    case Kind::file: return open_file();
    case Kind::unix_socket:
    case Kind::tcp_socket: return config_.server ? listen() : connect_out();
  }
}

void Chardev::open_stdio() {
  fd_.reset(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
  output_.reset(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  if (!fd_ || !output_) base::throw_errno(errno, "cannot use standard input and output");
  found_flags_ = ::fcntl(fd_.get(), F_GETFL);  // shared with whoever started this program
  found_output_flags_ = ::fcntl(output_.get(), F_GETFL);
  set_nonblocking(fd_.get());
  set_nonblocking(output_.get());
  connected_ = true;
  try {
    watch_ = loop_.watch(fd_.get(), 0, [this](std::uint32_t events) { ready(events); });
  } catch (const std::system_error&) {
    // Input from a plain file cannot be waited for; there is none then.
  }
  try {
    output_watch_ = loop_.watch(output_.get(), 0, [this](std::uint32_t events) { ready_for_output(events); });
  } catch (const std::system_error&) {
    // A plain file takes all at once.
  }
  if (::isatty(STDIN_FILENO) && ::isatty(STDOUT_FILENO)) open_own_terminal();
}

/// To be called before there are threads, which would get the signal.
void Chardev::open_own_terminal() {
  termios raw{};
  if (::tcgetattr(fd_.get(), &raw) < 0) return;
  cooked_ = raw;
  ::cfmakeraw(&raw);
  ::tcsetattr(fd_.get(), TCSANOW, &raw);
  sigset_t changed;
  sigemptyset(&changed);
  sigaddset(&changed, SIGWINCH);
  ::pthread_sigmask(SIG_BLOCK, &changed, nullptr);
  resized_.reset(::signalfd(-1, &changed, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!resized_) base::throw_errno(errno, "signalfd");
  resized_watch_ = loop_.watch(resized_.get(), EPOLLIN, [this](std::uint32_t) {
    signalfd_siginfo info;
    while (::read(resized_.get(), &info, sizeof info) > 0) continue;
    tell_size();
  });
}

void Chardev::tell_size() {
  winsize size{};
  if (cooked_ && device_.resized && ::ioctl(fd_.get(), TIOCGWINSZ, &size) == 0) {
    device_.resized(size.ws_col, size.ws_row);
  }
}

void Chardev::open_file() {
  output_ = base::open_file(config_.path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY, 0600);
  connected_ = true;
}

void Chardev::open_pty() {
  int master = -1, slave = -1;
  std::array<char, 64> name{};
  termios raw{};
  ::cfmakeraw(&raw);
  raw.c_cflag |= CS8 | CREAD;
  if (::openpty(&master, &slave, name.data(), &raw, nullptr) < 0) base::throw_errno(errno, "cannot make a terminal");
  fd_.reset(master);
  ::close(slave);
  pty_path_ = name.data();
  ::fcntl(master, F_SETFD, FD_CLOEXEC);
  set_nonblocking(master);
  // A terminal tells its master nothing when somebody opens it.
  opened_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!opened_ || ::inotify_add_watch(opened_.get(), pty_path_.c_str(), IN_OPEN) < 0) {
    base::throw_errno(errno, "cannot watch '" + pty_path_ + "'");
  }
  opened_watch_ = loop_.watch(opened_.get(), EPOLLIN, [this](std::uint32_t) {
    std::array<char, 4096> events;
    while (::read(opened_.get(), events.data(), events.size()) > 0) continue;
    if (!connected_ && pty_is_open()) wait_for_peer();
  });
}

bool Chardev::pty_is_open() const {
  pollfd state{fd_.get(), 0, 0};
  return ::poll(&state, 1, 0) == 0;
}

void Chardev::listen() {
  if (config_.fd >= 0) {
    check_listening(config_.fd);
    listener_.reset(config_.fd);
  } else {
    bind_to_name();
  }
  try {
    config_.wait ? accept_peer() : wait_for_peer();
  } catch (...) {
    if (config_.fd >= 0) listener_.release();  // still the caller's
    throw;
  }
}

void Chardev::bind_to_name() {
  Address address = address_of(config_);
  // A socket of that name is replaced, as QEMU does; nothing else is.
  if (config_.kind == Kind::unix_socket && socket_at(config_.path)) ::unlink(config_.path.c_str());
  if (::bind(address.fd.get(), address.get(), address.size) < 0 || ::listen(address.fd.get(), 1) < 0) {
    base::throw_errno(errno, "cannot listen at '" + (config_.path.empty() ? config_.port : config_.path) + "'");
  }
  if (config_.kind == Kind::unix_socket) made_ = socket_at(config_.path);
  listener_ = std::move(address.fd);
}

void Chardev::connect_out() {
  Address address = address_of(config_);
  if (::connect(address.fd.get(), address.get(), address.size) < 0) {
    base::throw_errno(errno, "cannot connect to '" + (config_.path.empty() ? config_.port : config_.path) + "'");
  }
  peer_came(std::move(address.fd));
}

/// Of a socket: the next one who connects; of a terminal: who has it open now.
void Chardev::wait_for_peer() {
  if (config_.kind == Kind::pty) {
    connected_ = true;
    watch_peer();
    if (device_.connected) device_.connected(true);
    flush();
    want();
  } else if (listener_) {
    listener_watch_ = loop_.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { accept_peer(); });
  }
}

void Chardev::accept_peer() {
  base::UniqueFd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!peer) {
    if (errno == EINVAL || errno == EOPNOTSUPP)
      listener_watch_.end();  // it listens no more, and that would be told for ever
    return;
  }
  listener_watch_.end();
  peer_came(std::move(peer));
}

void Chardev::watch_peer() {
  watch_ = loop_.watch(fd_.get(), EPOLLIN, [this](std::uint32_t events) { ready(events); });
}

void Chardev::peer_came(base::UniqueFd fd) {
  fd_ = std::move(fd);
  set_nonblocking(fd_.get());
  connected_ = true;
  watch_peer();
  if (device_.connected) device_.connected(true);
  flush();
  want();
}

/// The peer has closed its end. What it sent before is read once there is room; what is written from now on is kept for
/// the next one.
void Chardev::peer_left() {
  if (config_.kind == Kind::stdio) return watch_.end();  // the end of input; output goes on
  int unread = 0;
  if (!is_socket() || ::ioctl(fd_.get(), FIONREAD, &unread) < 0 || unread == 0) return hang_up();
  watch_.end();
  patience_ends_.cancel();
  away_ = true;
  if (std::exchange(stuck_, false) && device_.writable) device_.writable();
}

void Chardev::hang_up() {
  if (!connected_) return;
  watch_.end();
  output_watch_.end();
  patience_ends_.cancel();
  connected_ = stuck_ = away_ = false;
  descriptors_.clear();
  if (is_socket()) fd_.reset();
  if (device_.connected) device_.connected(false);
  if (config_.kind == Kind::pty) {
    if (pty_is_open()) wait_for_peer();  // opened again meanwhile
  } else {
    wait_for_peer();
  }
  if (device_.writable) device_.writable();  // what it still has is kept now
}

std::string Chardev::filename() const {
  const std::string how = config_.server ? ",server=on" : "";
  switch (config_.kind) {
    case Kind::stdio: return "stdio";
    case Kind::pty: return "pty:" + pty_path_;
    case Kind::file: return "file";
    case Kind::unix_socket: return (connected_ ? "unix:" : "disconnected:unix:") + config_.path + how;
    case Kind::tcp_socket: return (connected_ ? "tcp:" : "disconnected:tcp:") + config_.host + ":" + config_.port + how;
  }
  return {};
}

void Chardev::attach(Device device) {
  device_ = std::move(device);
  patience_ends_.cancel();
  if (connected_ && device_.connected) device_.connected(true);
  tell_size();
  want();
}

void Chardev::room_again() {
  want();
}

void Chardev::want() {
  const bool input = device_.room && device_.room() > 0;
  if (!watch_ && connected_ && is_socket() && input) return watch_peer();  // a peer that has left something to read
  const std::uint32_t in = input ? EPOLLIN : 0U, out = stuck_ || !backlog_.empty() ? EPOLLOUT : 0U;
  if (output_watch_) output_watch_.want(out);
  if (watch_)
    watch_.want(in | (config_.kind == Kind::stdio ? 0U : out) | (is_socket() ? std::uint32_t{EPOLLRDHUP} : 0U));
}

void Chardev::ready(std::uint32_t events) {
  if (events & EPOLLOUT) peer_takes();
  if (events & EPOLLIN) {
    read_input();
  } else if (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) {
    peer_left();
  }
  if (connected_) want();
}

/// Of standard output.
void Chardev::ready_for_output(std::uint32_t events) {
  if (events & (EPOLLHUP | EPOLLERR)) return hang_up();
  if (events & EPOLLOUT) peer_takes();
  want();
}

void Chardev::peer_takes() {
  patience_ends_.cancel();
  if (flush()) {
    away_ = false;
    if (std::exchange(stuck_, false) && device_.writable) device_.writable();
  } else if (stuck_) {
    wait_for_room();
  }
}

void Chardev::read_input() {
  std::array<std::uint8_t, 4096> bytes;
  const std::size_t room = std::min(device_.room ? device_.room() : 0, bytes.size());
  if (room == 0) return;
  ssize_t got;
  if (config_.kind == Kind::unix_socket) {
    constexpr std::size_t most = 16;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(most * sizeof(int))> control;
    iovec part{bytes.data(), room};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    got = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC);
    for (cmsghdr* one = got >= 0 ? CMSG_FIRSTHDR(&message) : nullptr; one; one = CMSG_NXTHDR(&message, one)) {
      if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_RIGHTS) continue;
      for (std::size_t at = 0; at + sizeof(int) <= one->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(one) + at, sizeof fd);
        base::UniqueFd owned(fd);
        if (descriptors_.size() < most) descriptors_.push_back(std::move(owned));
      }
    }
  } else {
    got = ::read(fd_.get(), bytes.data(), room);
  }
  if (got > 0) return device_.take(std::span(bytes).first(static_cast<std::size_t>(got)));
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (config_.kind == Kind::stdio) {
    watch_.end();  // the end of input; output goes on
  } else {
    hang_up();  // a terminal that nobody has open any more reads as EIO
  }
}

void Chardev::keep(std::span<const std::uint8_t> bytes) {
  if (!device_.keep) return;
  backlog_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (backlog_.size() > kept) backlog_.erase(0, backlog_.size() - kept);
}

/// Bytes that went out at once; what a peer that left can take no more counts as none.
std::size_t Chardev::write_now(std::span<const std::uint8_t> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t wrote = is_socket() ? ::send(output(), &bytes[done], bytes.size() - done, MSG_NOSIGNAL)
                                      : ::write(output(), &bytes[done], bytes.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) break;
    done += static_cast<std::size_t>(wrote);
  }
  return done;
}

/// Whether nothing is kept any more.
bool Chardev::flush() {
  if (backlog_.empty()) return true;
  const std::size_t done = write_now({reinterpret_cast<const std::uint8_t*>(backlog_.data()), backlog_.size()});
  backlog_.erase(0, done);
  return backlog_.empty();
}

void Chardev::wait_for_room() {
  want();
  if (device_.patience && !patience_ends_.is_set()) patience_ends_.set(loop_.clock().now() + *device_.patience);
}

void Chardev::lose_patience() {
  stuck_ = false;
  away_ = true;
  if (device_.writable) device_.writable();
  away_ = !backlog_.empty();  // a device that was reset meanwhile had nothing to say any more
  want();
}

std::size_t Chardev::write(std::span<const std::uint8_t> bytes) {
  std::size_t taken = bytes.size();
  if (!connected_ || away_) {
    keep(bytes);
  } else if (config_.kind == Kind::file) {
    write_now(bytes);  // a full disk costs the guest nothing
  } else {
    taken = flush() ? write_now(bytes) : 0;
    stuck_ = taken < bytes.size();
    if (stuck_) wait_for_room();
  }
  if (log_) {
    [[maybe_unused]] const auto logged = ::write(log_.get(), bytes.data(), taken);
  }
  return taken;
}

}  // namespace chardev
