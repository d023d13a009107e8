#include "driver/host/nvram.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "base/file.h"
#include "driver/core/error.h"

namespace host {
namespace {

using core::Error;
using core::ErrorCode;

struct Firmware {
  std::string_view code, variables;
};

constexpr std::array firmwares{
    // Debian: ovmf
    Firmware{"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
    Firmware{"/usr/share/OVMF/OVMF_CODE.ms.fd", "/usr/share/OVMF/OVMF_VARS.ms.fd"},
    Firmware{"/usr/share/OVMF/OVMF_CODE.secboot.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
    Firmware{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
    Firmware{"/usr/share/OVMF/OVMF_CODE_4M.ms.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"},
    Firmware{"/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
    Firmware{"/usr/share/OVMF/OVMF_CODE_4M.snakeoil.fd", "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd"},
    // Debian: qemu-efi-aarch64
    Firmware{"/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"},
    Firmware{"/usr/share/AAVMF/AAVMF_CODE.ms.fd", "/usr/share/AAVMF/AAVMF_VARS.ms.fd"},
    Firmware{"/usr/share/AAVMF/AAVMF_CODE.snakeoil.fd", "/usr/share/AAVMF/AAVMF_VARS.snakeoil.fd"},
    // openEuler and Fedora: edk2-ovmf. openEuler's aarch64 firmware has none: it runs with unit 0 alone.
    Firmware{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
    Firmware{"/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd"},
    Firmware{"/usr/share/edk2/aarch64/QEMU_EFI-silent-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"},
};

constexpr off_t max_size = 64 << 20;  // what the flash of either machine holds at most

void copy(int from, int to, const std::string& name) {
  off_t copied = 0;
  while (copied <= max_size) {
    const ssize_t n = ::sendfile(to, from, nullptr, static_cast<std::size_t>(max_size + 1 - copied));
    if (n < 0) throw Error::system(errno, "cannot copy '" + name + "'");
    if (n == 0) return;
    copied += n;
  }
  throw Error(ErrorCode::operation_failed, "'" + name + "' is larger than the 64 MiB of a flash");
}

}  // namespace

std::optional<std::string> nvram_template(std::string_view loader) {
  for (const Firmware& firmware : firmwares)
    if (firmware.code == loader) return std::string(firmware.variables);
  return std::nullopt;
}

Nvram Nvram::prepare(const std::string& path, const std::string& template_path, const std::string& loader, uid_t uid,
                     gid_t gid) {
  Nvram nvram;
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) return nvram;
  if (errno != ENOENT) throw Error::system(errno, "Cannot access nvram file '" + path + "'");

  const std::string source = template_path.empty() ? nvram_template(loader).value_or("") : template_path;
  if (source.empty())
    throw Error(ErrorCode::operation_failed, "unable to find any master var store for loader: " + loader + "; nvram '" +
                                                 path + "' does not exist and names no template");
  const base::UniqueFd from = base::open_file(source, O_RDONLY | O_NONBLOCK);
  if (::fstat(from.get(), &status) < 0 || !S_ISREG(status.st_mode))
    throw Error(ErrorCode::operation_failed, "the nvram template '" + source + "' is no regular file");
  base::TemporaryFile file(base::folder_of(path), 0600);
  copy(from.get(), file.fd(), source);
  if (::fchown(file.fd(), uid, gid) < 0) throw Error::system(errno, "cannot set the owner of '" + path + "'");
  file.commit(path, false);
  nvram.made_ = path;
  return nvram;
}

Nvram::~Nvram() {
  if (made()) ::unlink(made_.c_str());
}

NvramAside::NvramAside(std::string path) : path_(std::move(path)) {
  if (struct stat there{}; ::lstat(path_.c_str(), &there) == 0 && !S_ISREG(there.st_mode)) {
    throw Error(ErrorCode::operation_failed, "cannot make '" + path_ + "' anew, which is not a regular file");
  }
  if (::rename(path_.c_str(), aside().c_str()) == 0) return;
  if (errno != ENOENT) throw Error::system(errno, "cannot put the nvram file '" + path_ + "' aside");
  path_.clear();
}

NvramAside::~NvramAside() {
  if (!path_.empty()) ::rename(aside().c_str(), path_.c_str());
}

void NvramAside::keep_new() noexcept {
  if (!path_.empty()) ::unlink(aside().c_str());
  path_.clear();
}

}  // namespace host
