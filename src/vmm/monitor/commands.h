#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "vmm/monitor/machine_control.h"

/// QMP's words: a request's text in, a reply's text out.
namespace monitor {

/// Descriptors that a client has handed over: first they have come, then they have a name (getfd).
class Descriptors {
 public:
  static constexpr std::size_t most_waiting = 16, most_named = 256;

  /// They came with the byte `at` of what a peer sends. Those without a name beyond most_waiting are closed, the oldest
  /// first.
  void came(std::vector<base::UniqueFd> descriptors, std::uint64_t at = 0);
  /// The request that is executed next ends before that byte.
  void reached(std::uint64_t byte) { reached_ = byte; }
  /// Gives the first of those that came last until now a name, in place of one that had it. Throws Refusal.
  void name(const std::string& name);
  /// Throws Refusal.
  void close(const std::string& name);
  /// -1 for a name that is none.
  int find(const std::string& name) const;
  /// It belongs to somebody else now.
  void release(const std::string& name);

 private:
  struct Waiting {
    std::uint64_t at;
    base::UniqueFd fd;
  };
  std::vector<Waiting> waiting_;
  std::uint64_t reached_ = std::numeric_limits<std::uint64_t>::max();
  std::map<std::string, base::UniqueFd> named_;
};

/// What is known of a peer. QEMU's clients begin with qmp_capabilities: until it is accepted nothing else runs. A
/// client that begins with another command is one of StratoVirt's, which need not negotiate. Until then there are no
/// events.
struct Client {
  enum class Stage {
    silent,       ///< it has named no command that there is
    negotiating,  ///< it has begun with qmp_capabilities, which was refused
    served,       ///< it has begun with another command
    negotiated,
  };
  bool begun() const { return stage == Stage::served || stage == Stage::negotiated; }

  Stage stage = Stage::silent;
  Descriptors descriptors;
};

/// All without the end of the line.
std::string greeting();
/// Executes a request, the text of one JSON object. Never throws but for want of memory.
std::string answer(std::string_view request, MachineControl& machine, Client& client);
/// The answer to what is no request at all.
std::string refuse_input(const std::string& why);
/// An event at a time of the host's clock.
std::string tell(const Event& event, std::int64_t seconds, std::int64_t microseconds);

}  // namespace monitor
