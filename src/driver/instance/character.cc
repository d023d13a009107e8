#include "driver/instance/character.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "driver/core/error.h"

namespace instance {
namespace {

using core::Error;
using core::ErrorCode;
using domain::CharacterSource;

template <class F>
void for_each_source(const domain::Domain& domain, F f) {
  for (const auto& console : domain.consoles) f(console.source, console.info.alias);
  for (const auto& serial : domain.serials) f(serial.source, serial.info.alias);
}

bool listens(const CharacterSource& source) {
  return source.type == CharacterSource::Type::unix_socket && source.listen && !source.path.empty();
}

/// Reached through its folder's descriptor, since an address holds 107 bytes.
base::UniqueFd listen_at(const std::string& path, uid_t uid, gid_t gid) {
  struct stat there{};
  if (::lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) throw Error(ErrorCode::config_unsupported, "'" + path + "' is there and no socket");
    if (::unlink(path.c_str()) < 0) base::throw_errno(errno, "cannot replace '" + path + "'");
  }
  const base::UniqueFd folder = base::open_file(base::folder_of(path), O_PATH | O_DIRECTORY);
  const std::string name = path.substr(path.rfind('/') + 1);
  const std::string short_path = "/proc/self/fd/" + std::to_string(folder.get()) + "/" + name;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (short_path.size() >= sizeof address.sun_path) base::throw_errno(ENAMETOOLONG, "cannot listen at '" + path + "'");
  short_path.copy(address.sun_path, sizeof address.sun_path - 1);
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0 ||
      ::listen(fd.get(), 1) < 0 || ::fchownat(folder.get(), name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) < 0) {
    base::throw_errno(errno, "cannot listen at '" + path + "'");
  }
  return fd;
}

}  // namespace

CharacterSockets::CharacterSockets(const domain::Domain& domain) {
  for_each_source(domain, [this](const CharacterSource& source, const std::string&) {
    if (listens(source)) paths_.push_back(source.path);
  });
}

CharacterSockets::~CharacterSockets() {
  for (const std::string& path : paths_) {
    struct stat there{};
    if (::lstat(path.c_str(), &there) == 0 && S_ISSOCK(there.st_mode)) ::unlink(path.c_str());
  }
}

std::map<std::string, base::UniqueFd> listen_for_characters(const domain::Domain& domain, uid_t uid, gid_t gid) {
  std::map<std::string, base::UniqueFd> listening;
  for_each_source(domain, [&](const CharacterSource& source, const std::string& alias) {
    if (listens(source)) listening[alias] = listen_at(source.path, uid, gid);
  });
  return listening;
}

std::vector<std::string> make_character_files(const domain::Domain& domain) {
  std::vector<std::string> paths;
  for_each_source(domain, [&](const CharacterSource& source, const std::string&) {
    if (source.type == CharacterSource::Type::file) paths.push_back(source.path);
    if (!source.log_file.empty()) paths.push_back(source.log_file);
  });
  for (const std::string& path : paths) {
    // What is there is not opened: a FIFO may have no reader yet, and to open a device can do something.
    const base::UniqueFd made(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!made && errno != EEXIST) base::throw_errno(errno, "cannot open '" + path + "'");
  }
  return paths;
}

}  // namespace instance
