#include "vmm/firmware/image.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <utility>

#include "base/file.h"

namespace firmware {

Image::Image(std::string path, base::UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {
  struct stat status{};
  if (::fstat(fd_.get(), &status) < 0) base::throw_errno(errno, "cannot look at '" + path_ + "'");
  if (!S_ISREG(status.st_mode)) base::throw_errno(EINVAL, "'" + path_ + "' is not a regular file");
}

std::uint64_t Image::size() const {
  struct stat status{};
  if (::fstat(fd_.get(), &status) < 0) base::throw_errno(errno, "cannot look at '" + path_ + "'");
  return static_cast<std::uint64_t>(status.st_size);
}

void Image::read(std::uint64_t offset, std::span<std::uint8_t> to) const {
  while (!to.empty()) {
    const ssize_t got = ::pread(fd_.get(), to.data(), to.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) base::throw_errno(errno, "cannot read '" + path_ + "'");
    if (got == 0) throw std::runtime_error("'" + path_ + "' ends where more of it was announced");
    offset += static_cast<std::uint64_t>(got);
    to = to.subspan(static_cast<std::size_t>(got));
  }
}

void Image::load(std::uint64_t offset, std::uint64_t size, std::uint64_t address,
                 const memory::GuestMemory& memory) const {
  constexpr std::uint64_t mebibyte = 1 << 20;
  const auto to = memory.slice(address, size);
  if (!to || address < mebibyte) {
    throw std::runtime_error("'" + path_ + "' wants " + std::to_string(size) +
                             " bytes at a place where the guest has no memory for them");
  }
  read(offset, *to);
}

}  // namespace firmware
