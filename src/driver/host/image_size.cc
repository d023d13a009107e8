#include "driver/host/image_size.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/unique_fd.h"
#include "driver/core/error.h"

namespace host {
namespace {

using core::Error;
using core::ErrorCode;

constexpr std::uint64_t block_size = 512;  // of st_blocks

/// The header begins with "QFI\xfb"; at byte 24 stands the capacity, big-endian (QEMU docs/interop/qcow2.txt).
std::expected<std::uint64_t, Error> qcow2_capacity(int fd, const std::string& path) {
  std::array<unsigned char, 32> header{};
  if (::pread(fd, header.data(), header.size(), 0) != std::ssize(header) || header[0] != 'Q' || header[1] != 'F' ||
      header[2] != 'I' || header[3] != 0xfb) {
    return std::unexpected(Error(ErrorCode::operation_failed, "'" + path + "' is no qcow2 image"));
  }
  std::uint64_t capacity = 0;
  for (std::size_t i = 24; i < header.size(); ++i) capacity = capacity << 8 | header[i];
  return capacity;
}

}  // namespace

std::expected<ImageSize, Error> image_size(const std::string& path, bool qcow2) {
  const auto failed = [](const std::string& what) { return std::unexpected(Error::system(errno, what)); };
  struct stat stat{};
  if (::stat(path.c_str(), &stat) < 0) return failed("cannot stat file '" + path + "'");
  ImageSize size;
  size.block_device = S_ISBLK(stat.st_mode);
  if (!size.block_device && !S_ISREG(stat.st_mode)) {
    return std::unexpected(Error(ErrorCode::operation_failed, "'" + path + "' is neither a file nor a block device"));
  }
  size.physical = static_cast<std::uint64_t>(stat.st_size);
  size.allocation = static_cast<std::uint64_t>(stat.st_blocks) * block_size;
  if (size.block_device || qcow2) {
    const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd) return failed("Failed to open file '" + path + "'");
    if (size.block_device) {
      const off_t end = ::lseek(fd.get(), 0, SEEK_END);
      if (end < 0) return failed("failed to seek to end of '" + path + "'");
      size.physical = size.allocation = static_cast<std::uint64_t>(end);
    }
    if (qcow2) {
      const auto capacity = qcow2_capacity(fd.get(), path);
      if (!capacity) return std::unexpected(capacity.error());
      size.capacity = *capacity;
    }
  }
  if (!qcow2) size.capacity = size.physical;
  return size;
}

}  // namespace host
