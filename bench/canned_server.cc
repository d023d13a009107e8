// canned_server SOCKET REPLIES FOLDER: the floor under a libvirt daemon's latency. It answers each call with the bytes
// that a real daemon once answered to the same procedure, and does nothing else: no state, no checks, one thread, one
// epoll. For define and undefine it does what makes them durable, in FOLDER, before it answers: a file that is
// written, synced and put in the place of another, and one that is removed, each with a sync of the folder.
//
// REPLIES holds one record after another: program, procedure and length as big-endian 32-bit words, then as many bytes
// of status and payload.
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

constexpr std::uint32_t remote_program = 0x20008086, most = 32U << 20;
constexpr std::uint32_t define = 11, define_flags = 350, undefine = 35, undefine_flags = 231;
constexpr std::size_t header_size = 28;  // length, program, version, procedure, type, serial, status

using Replies = std::map<std::pair<std::uint32_t, std::uint32_t>, std::string>;

std::uint32_t word(const char* bytes) {
  std::uint32_t value;
  std::memcpy(&value, bytes, sizeof value);
  return ntohl(value);
}

void put(std::string& to, std::uint32_t value) {
  value = htonl(value);
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

Replies read_replies(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  Replies replies;
  for (std::size_t at = 0; at + 12 <= bytes.size();) {
    const std::uint32_t length = word(&bytes[at + 8]);
    replies[{word(&bytes[at]), word(&bytes[at + 4])}] = bytes.substr(at + 12, length);
    at += 12 + length;
  }
  return replies;
}

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

/// Files that a description is kept in, as durable as a daemon's.
class Folder {
 public:
  explicit Folder(const char* path) : folder_(::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (folder_ < 0) fail(path);
  }

  void define(const std::string& description) const {
    const int file = ::openat(folder_, "new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0) fail("new");
    if (::write(file, description.data(), description.size()) < 0 || ::fsync(file) < 0) fail("write");
    ::close(file);
    if (::renameat(folder_, "new", folder_, "description") < 0) fail("rename");
    ::fsync(folder_);
  }

  void undefine() const {
    ::unlinkat(folder_, "description", 0);
    ::fsync(folder_);
  }

 private:
  int folder_;
};

/// What one client sent and has not been answered yet. Answers the whole packets; false: the client is gone.
bool serve(int client, std::string& held, const Replies& replies, const Folder& folder) {
  char bytes[65536];
  const ssize_t got = ::recv(client, bytes, sizeof bytes, 0);
  if (got <= 0) return false;
  held.append(bytes, static_cast<std::size_t>(got));
  while (held.size() >= header_size) {
    const std::uint32_t length = word(held.data());
    if (length < header_size || length > most) return false;
    if (held.size() < length) break;
    const std::uint32_t program = word(&held[4]), procedure = word(&held[12]);
    if (program == remote_program && (procedure == define || procedure == define_flags))
      folder.define(held.substr(header_size, length - header_size));
    if (program == remote_program && (procedure == undefine || procedure == undefine_flags)) folder.undefine();
    const auto reply = replies.find({program, procedure});
    if (reply == replies.end()) return false;
    std::string answer;
    put(answer, static_cast<std::uint32_t>(header_size - 4 + reply->second.size()));
    for (const std::uint32_t one : {program, word(&held[8]), procedure, 1U, word(&held[20])}) put(answer, one);
    answer += reply->second;
    held.erase(0, length);
    if (::send(client, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) return false;
  }
  return true;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) {
    std::fputs("usage: canned_server SOCKET REPLIES FOLDER\n", stderr);
    return 2;
  }
  const Replies replies = read_replies(arguments[2]);
  const Folder folder(arguments[3]);
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) fail("socket");
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  const std::size_t length = std::strlen(arguments[1]);
  if (length >= sizeof address.sun_path) fail("the socket's path");
  std::memcpy(address.sun_path, arguments[1], length);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 || ::listen(listener, 64) < 0)
    fail("listen");
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  const auto watch = [epoll](int fd) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  };
  watch(listener);
  std::map<int, std::string> clients;
  for (;;) {
    epoll_event ready[64];
    const int some = ::epoll_wait(epoll, ready, 64, -1);
    for (int i = 0; i < some; ++i) {
      const int fd = ready[i].data.fd;
      if (fd == listener) {
        const int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0) continue;
        clients[client];
        watch(client);
      } else if (!serve(fd, clients[fd], replies, folder)) {
        clients.erase(fd);
        ::close(fd);
      }
    }
  }
}
