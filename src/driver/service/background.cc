#include "driver/service/background.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "driver/core/error.h"

namespace service {

Background::Background() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) throw core::Error::system(errno, "cannot make a pipe");
  const base::UniqueFd out(ends[0]);
  waiting_.reset(ends[1]);
  const pid_t child = fork();
  if (child < 0) throw core::Error::system(errno, "cannot become a daemon");
  if (child > 0) {
    waiting_.reset();
    char served = 0;
    while (read(out.get(), &served, 1) < 0 && errno == EINTR) continue;
    _exit(served == 'y' ? 0 : 1);
  }
  setsid();
}

void Background::ready() {
  const base::UniqueFd null = base::open_file("/dev/null", O_RDWR);
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null.get(), standard);
  if (chdir("/") < 0) throw core::Error::system(errno, "cannot go to /");
  base::write_all(waiting_.get(), "y", "pipe");
  waiting_.reset();
}

}  // namespace service
