#pragma once

#include "base/unique_fd.h"

namespace service {

/// The process in the background (libvirtd's -d). Whoever started the program waits until it serves or has failed, and
/// reads its errors till then.
class Background {
 public:
  /// Goes on in a child process, in a session of its own. The parent ends with 0 after ready(), with 1 when the child
  /// ends before. To be called before there are threads. Throws Error: SYSTEM_ERROR.
  Background();
  /// Lets go of the terminal and of whoever waits.
  void ready();

 private:
  base::UniqueFd waiting_;
};

}  // namespace service
