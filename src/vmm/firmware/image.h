#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

#include "base/unique_fd.h"
#include "vmm/memory/guest_memory.h"

namespace firmware {

/// A file that is read straight into guest memory, at the start and again at each reset; it stays the one that it was,
/// whatever becomes of its name. All throw std::system_error or std::runtime_error naming the file.
class Image {
 public:
  Image(std::string path, base::UniqueFd fd);

  const std::string& path() const { return path_; }
  /// Now: somebody may write to it.
  std::uint64_t size() const;

  void read(std::uint64_t offset, std::span<std::uint8_t> to) const;
  template <class T>
  T read_as(std::uint64_t offset) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    read(offset, {reinterpret_cast<std::uint8_t*>(&value), sizeof value});
    return value;
  }
  /// Into guest memory above the first megabyte.
  void load(std::uint64_t offset, std::uint64_t size, std::uint64_t address, const memory::GuestMemory& memory) const;

 private:
  std::string path_;
  base::UniqueFd fd_;
};

}  // namespace firmware
