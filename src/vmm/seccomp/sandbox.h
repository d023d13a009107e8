#pragma once

#include <string>
#include <vector>

/// What a thread may still ask of the kernel once the guest runs. The rules are files, a folder an architecture and a
/// file a kind of thread; docs/threads.md says which thread has which.
namespace seccomp {

enum class Thread { main, vcpu, iothread };

/// Binds the calling thread, and those it starts, to its kind's rules for good. What they do not allow ends the
/// process. They do not see what goes through an io_uring: a disk's ring is restricted by itself, and may still
/// allocate in any way; one that the main thread sets up may do what landlock lets it. Throws std::system_error.
void restrict_thread(Thread kind);

/// Files, or folders with what is below them; those that are not there are passed over.
struct Paths {
  std::vector<std::string> readable, writable;
  std::vector<std::string> removable;  ///< folders that files may be removed from
  std::vector<std::string> devices;    ///< of those that may be opened: devices to be asked for more than their bytes
};
/// Binds the calling thread, and those it starts, to these paths for good (landlock, kernel documentation): nothing
/// else can be opened, made or removed, by io_uring neither. As far as the kernel knows of it, nothing that is opened
/// from then on can be cut (Linux 6.2), no TCP port is bound or connected to (6.7), a device that is not named answers
/// no ioctl (6.10), and neither a process outside nor an abstract socket of one's is reached (6.12). Where the kernel
/// has no landlock nothing happens, and false is returned. Throws std::system_error.
bool restrict_paths(const Paths& paths);

}  // namespace seccomp
