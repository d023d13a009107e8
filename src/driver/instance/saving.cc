#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "base/file.h"
#include "driver/core/backoff.h"
#include "driver/instance/instance.h"

// The state file, by which a later daemon finds the machine.
namespace instance {

using core::Task;

std::string Instance::state_path() const {
  return environment_.layout.state + "/" + core::to_string(uuid_) + ".json";
}

std::string Instance::starting_path() const {
  return environment_.layout.state + "/" + core::to_string(uuid_) + ".starting";
}

LiveState Instance::live_state(const Running& now, Status status) const {
  LiveState state;
  state.version = now.version;
  state.id = now.id;
  state.status = status;
  state.pid = now.process.pid > 0 ? now.process.pid : 0;
  state.start_ticks = now.start_ticks;
  state.emulator = now.capabilities;
  state.folder = now.folder.path();
  if (now.hugepages) state.hugepages = now.hugepages->path();
  state.cgroup = now.cgroup.folders();
  state.owners = now.ownership.before();
  state.tainted = now.tainted;
  state.reboot_when_off = now.reboot_when_off;
  if (!now.graceful) state.ending = now.ending;
  state.live = now.live;
  state.others = now.others;
  return state;
}

/// Throws std::system_error.
void Instance::save(const Running& now, Status status) const {
  // Nothing here outlives the host, so it need not be on its disk: a rename is enough against a daemon that dies.
  const std::string path = now.starting ? starting_path() : state_path();
  const std::string temporary = state_path() + ".new";
  const base::UniqueFd fd = base::open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  try {
    base::write_all(fd.get(), live_state(now, status).write(), temporary);
    std::filesystem::rename(temporary, path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

/// Writes what is so now. Where that fails, what was so before stays written until it succeeds.
void Instance::keep_state() {
  if (!running_ || running_->starting || running_->begun != Running::Begun::yes) return;
  try {
    save(*running_, status_);
    unsaved_ = save_failed_ = false;
  } catch (const std::exception& error) {
    if (!std::exchange(save_failed_, true))
      environment_.problem("the state of domain '" + name_ + "' is not on disk, which is tried again: " + error.what());
    keep_state_soon();
  }
}

void Instance::keep_state_soon() {
  unsaved_ = true;
  if (!std::exchange(saver_, true)) spawn(save_later());
}

Task<void> Instance::save_later() {
  const auto self = shared_from_this();
  for (core::Backoff backoff; unsaved_ && running_;) {
    co_await core::sleep(backoff.next());
    if (unsaved_) keep_state();
  }
  unsaved_ = save_failed_ = saver_ = false;
}

void Instance::forget_state() const noexcept {
  std::error_code ignored;
  for (const std::string& path : {state_path(), starting_path()}) std::filesystem::remove(path, ignored);
}

}  // namespace instance
