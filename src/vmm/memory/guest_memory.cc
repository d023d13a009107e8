#include "vmm/memory/guest_memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/file.h"

namespace memory {
namespace {

/// A new file without a name in a folder.
base::UniqueFd make_file_in(const std::string& folder) {
  std::string name = folder + "/stratovirt-memory-XXXXXX";
  base::UniqueFd fd(::mkostemp(name.data(), O_CLOEXEC));
  if (!fd) base::throw_errno(errno, "cannot make a file in '" + folder + "'");
  ::unlink(name.c_str());
  return fd;
}

/// A file of memory: one given, or a new one in the folder given; none for plain memory.
base::UniqueFd open_backend(const Backend& backend) {
  if (backend.path.empty()) {
    if (!backend.share) return {};
    base::UniqueFd fd(::memfd_create("guest-memory", MFD_CLOEXEC));
    if (!fd) base::throw_errno(errno, "cannot make shared memory");
    return fd;
  }
  struct stat status{};
  const bool folder = ::stat(backend.path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
  return folder ? make_file_in(backend.path) : base::open_regular(backend.path, O_RDWR | O_CREAT, 0600);
}

std::uint64_t page_size(int fd) {
  struct statfs status{};
  if (fd >= 0 && ::fstatfs(fd, &status) == 0 && status.f_type == HUGETLBFS_MAGIC) {
    return static_cast<std::uint64_t>(status.f_bsize);
  }
  return static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

constexpr std::uint64_t huge_page = 2 << 20;

/// Address space that begins where a huge page may: only then does KVM map the guest's memory by huge pages as well,
/// which has it fault once where it would 512 times.
void* reserve(std::uint64_t size) {
  void* const all = ::mmap(nullptr, size + huge_page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) return all;
  auto* const begin = static_cast<std::uint8_t*>(all);
  const std::uint64_t before = -reinterpret_cast<std::uintptr_t>(all) % huge_page;
  if (before > 0) ::munmap(begin, before);
  ::munmap(begin + before + size, huge_page - before);
  return begin + before;
}

}  // namespace

Mapping::Mapping(const Backend& backend) : fd_(open_backend(backend)) {
  const std::uint64_t page = page_size(fd_.get());
  if (backend.size % page != 0) {
    base::throw_errno(
        EINVAL, "memory of " + std::to_string(backend.size) + " bytes does not fit pages of " + std::to_string(page));
  }
  struct stat status{};
  if (fd_ && ::fstat(fd_.get(), &status) < 0) base::throw_errno(errno, "cannot look at '" + backend.path + "'");
  const auto found = static_cast<std::uint64_t>(status.st_size);
  blank_ = found == 0;
  // What somebody has put into a file stays: one of another size is a mistake.
  if (found > 0 && found < backend.size) {
    base::throw_errno(EINVAL, "'" + backend.path + "' is a file of " + std::to_string(found) +
                                  " bytes, allowed for a memory of " + std::to_string(backend.size) +
                                  ": an empty one, and one that is as long or longer");
  }
  if (fd_ && blank_ && ::ftruncate(fd_.get(), static_cast<off_t>(backend.size)) < 0) {
    base::throw_errno(errno, "cannot make a file of " + std::to_string(backend.size) + " bytes for guest memory");
  }
  const int kind = !fd_ ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : backend.share ? MAP_SHARED : MAP_PRIVATE;
  void* const place = page < huge_page ? reserve(backend.size) : nullptr;
  void* const at = place == MAP_FAILED ? MAP_FAILED
                                       : ::mmap(place, backend.size, PROT_READ | PROT_WRITE,
                                                kind | (place ? MAP_FIXED : 0), fd_.get(), 0);
  if (at == MAP_FAILED) {
    base::throw_errno(errno, "cannot map " + std::to_string(backend.size) + " bytes of guest memory");
  }
  bytes_ = {static_cast<std::uint8_t*>(at), backend.size};
  if (!backend.dump) ::madvise(at, backend.size, MADV_DONTDUMP);
  ::madvise(at, backend.size, MADV_HUGEPAGE);
  if (backend.prealloc && ::madvise(at, backend.size, MADV_POPULATE_WRITE) < 0) {
    const int why = errno == EFAULT ? ENOMEM : errno;  // a page of a pool that has no more
    ::munmap(at, backend.size);
    base::throw_errno(why, "cannot allocate " + std::to_string(backend.size) + " bytes of guest memory");
  }
}

Mapping::Mapping(Mapping&& other) noexcept
    : fd_(std::move(other.fd_)), blank_(other.blank_), bytes_(std::exchange(other.bytes_, {})) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(blank_, other.blank_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Mapping::~Mapping() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

void GuestMemory::add(Region region) {
  const auto place = std::ranges::upper_bound(regions_, region.address, {}, &Region::address);
  regions_.insert(place, region);
}

std::optional<std::span<std::uint8_t>> GuestMemory::slice(std::uint64_t address, std::uint64_t size) const {
  // Few regions, of which nearly all accesses are to the first or the last.
  for (const Region& region : regions_) {
    if (address < region.address) break;
    const std::uint64_t offset = address - region.address;
    if (offset < region.bytes.size() && size <= region.bytes.size() - offset) return region.bytes.subspan(offset, size);
  }
  return {};
}

bool GuestMemory::read(std::uint64_t address, std::span<std::uint8_t> to) const {
  const auto from = slice(address, to.size());
  if (from) std::ranges::copy(*from, to.begin());
  return from.has_value();
}

bool GuestMemory::write(std::uint64_t address, std::span<const std::uint8_t> from) const {
  const auto to = slice(address, from.size());
  if (to) std::ranges::copy(from, to->begin());
  return to.has_value();
}

}  // namespace memory
