#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/unique_fd.h"

namespace memory {

/// How guest RAM is made (-m, -mem-path, -mem-prealloc, -machine mem-share, -object memory-backend-*).
struct Backend {
  std::uint64_t size = 0;  ///< bytes
  std::string path;        ///< a folder, of hugetlbfs or another file system, or a file; none: anonymous
  bool share = false;      ///< other processes may map it (vhost-user)
  bool prealloc = false;   ///< every page is there before the guest runs
  bool dump = true;        ///< a core dump of this process holds it
};

/// One mapping of host memory.
class Mapping {
 public:
  Mapping() = default;
  /// Throws std::system_error, also when the pages asked for are not there.
  explicit Mapping(const Backend& backend);
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  std::span<std::uint8_t> bytes() const { return bytes_; }
  int fd() const { return fd_.get(); }
  /// Nothing was in it when it was made: it was zeros.
  bool blank() const { return blank_; }

 private:
  base::UniqueFd fd_;  ///< of shared or file memory
  bool blank_ = true;
  std::span<std::uint8_t> bytes_;
};

/// The guest's RAM at its physical addresses. Every access is checked: an address or length that a guest gave and that
/// is not wholly RAM gives nothing. It may change at any moment under the reader, as a guest's other CPUs write it.
class GuestMemory {
 public:
  struct Region {
    std::uint64_t address;
    std::span<std::uint8_t> bytes;
    int fd = -1;
    std::uint64_t offset = 0;  ///< into fd
  };

  GuestMemory() = default;
  /// Regions must not overlap.
  void add(Region region);
  const std::vector<Region>& regions() const { return regions_; }

  /// The host's bytes of [address, address + size); nothing where not all of it is RAM of one region.
  std::optional<std::span<std::uint8_t>> slice(std::uint64_t address, std::uint64_t size) const;

  /// False, and nothing copied, where slice() gives nothing.
  bool read(std::uint64_t address, std::span<std::uint8_t> to) const;
  bool write(std::uint64_t address, std::span<const std::uint8_t> from) const;

  /// A little endian value or a struct of such, as it lies in memory.
  template <class T>
  std::optional<T> load(std::uint64_t address) const {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto from = slice(address, sizeof(T));
    if (!from) return {};
    T value;
    std::memcpy(&value, from->data(), sizeof value);
    return value;
  }
  template <class T>
  bool store(std::uint64_t address, const T& value) const {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto to = slice(address, sizeof(T));
    if (to) std::memcpy(to->data(), &value, sizeof value);
    return to.has_value();
  }

 private:
  std::vector<Region> regions_;  ///< by address
};

}  // namespace memory
