#pragma once

#include <string>

#include "base/unique_fd.h"

/// The file that holds this process's number (-pidfile): whoever holds its lock owns it, as with QEMU's.
class PidFile {
 public:
  /// Throws std::system_error for a file that belongs to a program that runs, and for what is no file.
  explicit PidFile(std::string path);
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;
  /// Removes it, unless its name is another's by now.
  ~PidFile();

  /// Puts the number there, at once and whole. Throws as the constructor.
  void write();

 private:
  void lock_what_is_there();

  std::string path_;
  base::UniqueFd lock_;  ///< the file that has the name, where there is one
  bool written_ = false;
};
