#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace host {

/// The variable store a known firmware starts from: Debian's OVMF and AAVMF, Fedora's and openEuler's edk2.
std::optional<std::string> nvram_template(std::string_view loader);

/// A domain's variable store. One that was made here is removed again at the end of this object's life unless keep()
/// was called: a start that failed leaves none behind.
class Nvram {
 public:
  /// The file at `path`; where there is none it is made from `template_path` (empty: the one known for `loader`),
  /// durably, mode 0600 and the emulator's. Throws Error: OPERATION_FAILED (no template known, or more than 64 MiB),
  /// SYSTEM_ERROR,
  /// also as the std::system_error of base/file.h.
  static Nvram prepare(const std::string& path, const std::string& template_path, const std::string& loader, uid_t uid,
                       gid_t gid);

  Nvram(Nvram&& other) noexcept : made_(std::exchange(other.made_, {})) {}
  Nvram& operator=(Nvram&&) = delete;
  ~Nvram();

  bool made() const { return !made_.empty(); }
  void keep() { made_.clear(); }

 private:
  Nvram() = default;
  std::string made_;  ///< empty: it was there, or is kept
};

/// A variable store put aside, so that a start makes it anew from its template. It is back in its place at the end of
/// this object's life unless keep_new() was called: a start that failed loses nothing.
class NvramAside {
 public:
  NvramAside() = default;
  /// A file that is not there is none to put aside. Throws Error: SYSTEM_ERROR.
  explicit NvramAside(std::string path);
  NvramAside(NvramAside&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  NvramAside& operator=(NvramAside&&) = delete;
  ~NvramAside();

  void keep_new() noexcept;

 private:
  std::string aside() const { return path_ + ".before-reset"; }
  std::string path_;  ///< empty: nothing is aside
};

}  // namespace host
