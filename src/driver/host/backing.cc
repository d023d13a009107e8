#include "driver/host/backing.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>

#include "base/file.h"
#include "base/unique_fd.h"
#include "driver/core/error.h"

namespace host {
namespace {

using core::Error;
using core::ErrorCode;

constexpr std::size_t longest_chain = 200;  // libvirt's
constexpr std::size_t header_size = 104, longest_name = 1023, longest_format = 64;
constexpr std::uint64_t largest_cluster = std::uint64_t{1} << 21;  // the header and the name are in the first
constexpr int most_extensions = 64;
constexpr std::uint32_t end_of_extensions = 0, backing_format = 0xe2792aca;

/// What a header says (QEMU docs/interop/qcow2.txt).
struct Backing {
  std::string name;  ///< empty: none
  bool qcow2;        ///< it is said to be one
};

[[noreturn]] void refuse(const std::string& path, const char* why) {
  throw Error(ErrorCode::config_unsupported, "the header of image '" + path + "' " + why);
}

std::uint64_t big_endian(const unsigned char* at, unsigned bytes) {
  std::uint64_t value = 0;
  for (unsigned i = 0; i < bytes; ++i) value = value << 8 | at[i];
  return value;
}

/// `length` bytes at `offset`; nothing where the file is shorter.
std::optional<std::string> bytes_at(int fd, std::uint64_t offset, std::size_t length) {
  std::string bytes(length, '\0');
  if (::pread(fd, bytes.data(), length, static_cast<off_t>(offset)) != std::ssize(bytes)) return std::nullopt;
  return bytes;
}

/// The format that an extension of the header names; empty where none does.
std::string read_format(int fd, const std::string& path, std::uint64_t at, std::uint64_t end) {
  for (int count = 0; at + 8 <= end; ++count) {
    if (count == most_extensions) refuse(path, "has too many extensions");
    const auto head = bytes_at(fd, at, 8);
    if (!head) break;
    const auto* const raw = reinterpret_cast<const unsigned char*>(head->data());
    const std::uint64_t type = big_endian(raw, 4), length = big_endian(raw + 4, 4);
    if (type == end_of_extensions) break;
    if (length > end - at - 8) refuse(path, "has an extension beyond its end");
    if (type == backing_format) {
      if (length > longest_format) refuse(path, "names a backing format that is too long");
      return bytes_at(fd, at + 8, length).value_or("");
    }
    at += 8 + (length + 7) / 8 * 8;
  }
  return {};
}

Backing read_backing(int fd, const std::string& path) {
  std::array<unsigned char, header_size> header{};
  const ssize_t got = ::pread(fd, header.data(), header.size(), 0);
  constexpr ssize_t size_of_version_2 = 72;
  if (got < size_of_version_2 || big_endian(header.data(), 4) != 0x514649fb) return {};
  const std::uint64_t version = big_endian(header.data() + 4, 4), name_at = big_endian(header.data() + 8, 8),
                      name_length = big_endian(header.data() + 16, 4), cluster_bits = big_endian(header.data() + 20, 4);
  if (name_at == 0) return {};
  if (version != 2 && version != 3) refuse(path, "has a version that is not known");
  const std::uint64_t length = version == 2 ? size_of_version_2 : big_endian(header.data() + 100, 4);
  if (cluster_bits > 21 || name_length > longest_name || name_at > largest_cluster - name_length || length > name_at)
    refuse(path, "places its backing file's name where it cannot be");
  auto name = bytes_at(fd, name_at, name_length);
  if (!name) refuse(path, "ends before its backing file's name");
  name->resize(std::min(name->find('\0'), name->size()));
  return {*std::move(name), read_format(fd, path, length, name_at) == "qcow2"};
}

/// "nbd:…", "json:…": a word and a colon before any slash.
bool has_protocol(const std::string& name) {
  const std::size_t end = name.find_first_of(":/");
  return end != name.npos && name[end] == ':';
}

std::pair<base::UniqueFd, struct stat> open_image(const std::string& path, const std::string& of) {
  struct stat status{};
  const auto tell = [&] {
    throw Error::system(errno, of.empty() ? "Cannot access storage file '" + path + "'"
                                          : "Cannot access backing file '" + path + "' of storage file '" + of + "'");
  };
  const base::UniqueFd place(::open(path.c_str(), O_PATH | O_CLOEXEC));  // a device is not to notice
  if (!place || ::fstat(place.get(), &status) < 0) tell();
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
    throw Error(ErrorCode::config_unsupported, "'" + path + "' is neither a file nor a block device");
  base::UniqueFd fd(
      ::open(("/proc/self/fd/" + std::to_string(place.get())).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) tell();
  return {std::move(fd), status};
}

}  // namespace

std::vector<std::string> backing_files(const std::string& image) {
  std::vector<std::string> chain;
  std::set<std::pair<dev_t, ino_t>> seen;
  std::string path = image, of;
  for (bool qcow2 = true;;) {
    const auto [fd, status] = open_image(path, of);
    if (chain.size() > longest_chain || !seen.emplace(status.st_dev, status.st_ino).second) {
      throw Error(ErrorCode::internal_error,
                  "backing store for " + image + " is self-referential or too deeply nested");
    }
    if (!of.empty()) chain.push_back(path);
    if (!qcow2) return chain;
    Backing next = read_backing(fd.get(), path);
    if (next.name.empty() || has_protocol(next.name)) return chain;
    qcow2 = next.qcow2;
    of = std::exchange(path, next.name.starts_with('/') ? next.name : base::folder_of(path) + "/" + next.name);
  }
}

}  // namespace host
