#include "driver/host/vsock.h"

#include <fcntl.h>
#include <linux/types.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <string>
#include <utility>

#include "driver/core/error.h"

namespace host {
namespace {

constexpr std::uint32_t first_cid = 3;  // below are the hypervisor, loopback and the host
constexpr std::uint32_t last_auto_cid = first_cid + 65535;

// linux/vhost.h has it, and is no C++.
constexpr unsigned long set_guest_cid = _IOW(0xAF, 0x60, __u64);

int set_cid(int fd, std::uint64_t cid) {
  return ::ioctl(fd, set_guest_cid, &cid) < 0 ? errno : 0;
}

}  // namespace

Vsock open_vsock(std::optional<std::uint32_t> cid) {
  base::UniqueFd fd(::open("/dev/vhost-vsock", O_RDWR | O_CLOEXEC));
  if (!fd) throw core::Error::system(errno, "unable to open vhost-vsock device");
  const std::uint32_t last = cid.value_or(last_auto_cid);
  for (std::uint32_t candidate = cid.value_or(first_cid); candidate <= last; ++candidate) {
    const int why = set_cid(fd.get(), candidate);
    if (why == 0) return {std::move(fd), candidate};
    if (cid || why != EADDRINUSE)
      throw core::Error::system(why, "unable to set guest cid " + std::to_string(candidate));
  }
  throw core::Error(core::ErrorCode::operation_failed, "no free vsock cid up to " + std::to_string(last));
}

}  // namespace host
