#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "driver/domain/domain.h"
#include "driver/emulator/capabilities.h"
#include "driver/host/cgroup.h"
#include "driver/host/hugepages.h"
#include "driver/host/images.h"
#include "driver/host/spawn.h"
#include "driver/instance/character.h"
#include "driver/instance/lifecycle.h"
#include "driver/instance/live_state.h"
#include "driver/instance/monitor.h"

namespace instance {

/// A running domain's own folder below the state folder: its monitor's socket and those of its consoles.
class Folder {
 public:
  Folder() = default;
  explicit Folder(std::string path) : path_(std::move(path)) {}
  Folder(Folder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  Folder& operator=(Folder&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~Folder();
  const std::string& path() const { return path_; }
  /// Lets it stay.
  void release() { path_.clear(); }

 private:
  std::string path_;
};

/// What a started domain has and an idle one has not. Destroyed when its process is gone: everything the host gave goes
/// back then.
struct Running {
  int id = -1;
  domain::Domain live;
  emulator::Capabilities capabilities;
  Folder folder;
  std::optional<host::HugepageFolder> hugepages;
  host::Identity identity{};  ///< who it runs as, whoever the next one will
  host::Ownership ownership;
  host::Cgroup cgroup;
  host::Child process;
  std::uint64_t start_ticks = 0;  ///< with the pid: which process it is
  std::shared_ptr<Monitor> monitor;
  std::vector<emulator::Vcpu> vcpus;  ///< once somebody asked (statistics.h)
  bool reboot_when_off = false;       ///< a client asked for a reboot by the power button
  bool tainted = false;               ///< a client gave the emulator commands of its own
  bool starting = true;
  /// What became of the start of one that was found again: done, never done, or not told.
  enum class Begun : std::uint8_t { yes, no, unknown } begun = Begun::yes;
  std::optional<Trigger> ending;  ///< why the process is being ended, once that is known
  bool graceful = false;          ///< it is asked to end, and left alone where it does not
  bool acting = false;            ///< what follows a guest's end is under way
  /// Events that came while a command or a change is under way whose outcome is to be known before them.
  unsigned held = 0;
  std::vector<qmp::Event> later;
  bool odd = false;                                    ///< an event could not be understood, and that was said
  bool out_of_reach = false;                           ///< and that was said
  nlohmann::json others = nlohmann::json::object();    ///< of the live state: a newer daemon's
  std::uint64_t version = LiveState::current_version;  ///< of the live state
  core::Signal gone;                                   ///< the process ended
  /// Of disks that were added: a StratoVirt's are held here, a QEMU locks by itself. By alias.
  std::map<std::string, std::vector<host::ImageLock>> locks;
  /// Of those that this daemon added: which of `ownership` are theirs.
  std::map<std::string, std::vector<host::FileOwner>> owners;
  std::set<std::string> kept;   ///< devices that the guest refused to give up, by alias
  std::set<std::string> going;  ///< devices that are gone, whose back ends are being removed, by alias
  core::Signal removal;         ///< a device is gone from the machine, or one is kept
  CharacterSockets sockets;
  explicit Running(core::asio::io_context& context) : gone(context), removal(context) {}
  /// Gives back what the host gave. It goes before the state file does: a daemon that dies between leaves nothing.
  void give_back() noexcept {
    ownership = {};
    sockets = {};
    cgroup = {};
    hugepages.reset();
    folder = {};
  }
  /// Throws Error: OPERATION_FAILED where an emulator that was found again does not answer.
  std::shared_ptr<Monitor> connected() const {
    if (!monitor) throw core::Error(core::ErrorCode::operation_failed, "the emulator's monitor is not connected");
    return monitor;
  }
};

}  // namespace instance
