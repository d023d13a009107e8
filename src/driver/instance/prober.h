#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "driver/core/layout.h"
#include "driver/core/loop.h"
#include "driver/emulator/capabilities.h"
#include "driver/instance/probe.h"
#include "driver/instance/settings.h"

namespace instance {

/// Which state of which file was asked: whoever changes a program changes one of these.
struct FileStamp {
  std::int64_t size = 0, changed = 0, touched = 0;  ///< bytes; ctime and mtime in nanoseconds
  /// Throws Error: SYSTEM_ERROR for what is no program.
  static FileStamp of(const std::string& path);
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

/// What emulators can do, asked once: kept in memory, and in the cache folder for later daemons, until the program's
/// file changes. One that fails is not asked again for a while.
class Prober {
 public:
  using Problem = std::function<void(const std::string&)>;
  static constexpr std::chrono::seconds pause{60};  ///< after a failure
  static constexpr std::chrono::seconds grace{2};   ///< over the limit, for who waits for another's answer
  static constexpr std::size_t most_programs = 64;  ///< known at a time, on disk too
  static constexpr unsigned most_at_once = 4;       ///< asked at a time: each has a thread of the pool

  Prober(core::Loop& loop, const core::Layout& layout, const Settings& settings, Problem problem,
         std::chrono::milliseconds limit = std::chrono::seconds(10));

  /// Several that ask for one program wait for one answer. Throws Error: SYSTEM_ERROR where there is no such program,
  /// INTERNAL_ERROR where it does not tell what it can do.
  core::Task<emulator::Capabilities> ask(std::string program);

 private:
  struct Known {
    FileStamp stamp;
    std::optional<emulator::Capabilities> capabilities;  ///< nothing: it failed
    std::string why;
    std::chrono::steady_clock::time_point again;  ///< when one that failed may be asked again
    bool asking = false;
  };
  /// From the cache, else by a probe; what could not be written down is `complaint`.
  emulator::Capabilities find_out(const std::string& program, const FileStamp& stamp, const host::Identity& user,
                                  std::string& complaint) const;
  void make_room();

  core::Loop& loop_;
  const core::Layout& layout_;
  const Settings& settings_;
  Problem problem_;
  std::chrono::milliseconds limit_;
  std::map<std::string, Known> known_;
  unsigned asking_ = 0;
  core::Signal done_;
};

}  // namespace instance
