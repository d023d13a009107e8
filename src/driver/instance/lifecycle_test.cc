#include "driver/instance/lifecycle.h"

#include <map>

#include "driver/instance/run_for_test.h"

namespace instance {
namespace {

using enum State;
using enum Trigger;

constexpr State states[] = {running, paused, shutdown, shutoff, crashed};
constexpr Trigger triggers[] = {boot,         boot_paused,   suspend,    resume,        io_error,
                                panic,        guest_off,     reset,      exit_shutdown, exit_destroyed,
                                exit_crashed, exit_panicked, exit_failed};

struct Expected {
  Status to;
  std::optional<Lifecycle> event;
};

/// In libvirt's numbers: state, reason, event, detail; no event where the state already held or libvirt sends none.
const std::map<std::pair<State, Trigger>, Expected> steps = {
    {{shutoff, boot}, {{running, 1}, Lifecycle{2, 0}}},
    {{shutoff, boot_paused}, {{paused, 1}, Lifecycle{2, 0}}},
    {{shutoff, exit_failed}, {{shutoff, 6}, {}}},

    {{running, suspend}, {{paused, 1}, Lifecycle{3, 0}}},
    {{running, io_error}, {{paused, 5}, Lifecycle{3, 2}}},
    {{running, panic}, {{crashed, 1}, Lifecycle{8, 0}}},
    {{running, guest_off}, {{shutdown, 1}, Lifecycle{6, 0}}},
    {{running, reset}, {{running, 1}, {}}},

    {{paused, suspend}, {{paused, 1}, {}}},
    {{paused, resume}, {{running, 5}, Lifecycle{4, 0}}},
    {{paused, io_error}, {{paused, 5}, {}}},
    {{paused, panic}, {{crashed, 1}, Lifecycle{8, 0}}},
    {{paused, guest_off}, {{shutdown, 1}, Lifecycle{6, 0}}},
    {{paused, reset}, {{paused, 1}, {}}},

    {{shutdown, guest_off}, {{shutdown, 1}, {}}},
    {{shutdown, reset}, {{running, 1}, {}}},

    {{crashed, resume}, {{running, 5}, Lifecycle{4, 0}}},
    {{crashed, reset}, {{paused, 10}, {}}},
    {{crashed, panic}, {{crashed, 1}, {}}},
    {{crashed, guest_off}, {{shutdown, 1}, Lifecycle{6, 0}}},
};

/// From every state that has a process.
const std::map<Trigger, Expected> exits = {
    {exit_shutdown, {{shutoff, 1}, Lifecycle{5, 0}}}, {exit_destroyed, {{shutoff, 2}, Lifecycle{5, 1}}},
    {exit_crashed, {{shutoff, 3}, Lifecycle{5, 5}}},  {exit_panicked, {{shutoff, 3}, Lifecycle{5, 2}}},
    {exit_failed, {{shutoff, 6}, Lifecycle{5, 5}}},
};

/// What libvirt says to a client's wish that a state does not allow.
const std::map<std::pair<State, Trigger>, std::string> words = {
    {{running, boot}, "domain is already running"},        {{paused, boot}, "domain is already running"},
    {{crashed, boot_paused}, "domain is already running"}, {{running, resume}, "domain is already running"},
    {{shutoff, suspend}, "domain is not running"},         {{shutoff, resume}, "domain is not running"},
    {{shutoff, reset}, "domain is not running"},           {{shutoff, exit_destroyed}, "domain is not running"},
};

const Expected* expected(State from, Trigger trigger) {
  if (const auto found = steps.find({from, trigger}); found != steps.end()) return &found->second;
  if (const auto found = exits.find(trigger); from != shutoff && found != exits.end()) return &found->second;
  return nullptr;
}

TEST(Lifecycle, EveryStateAnswersEveryTrigger) {
  std::size_t made = 0;
  for (const State from : states) {
    for (const Trigger trigger : triggers) {
      SCOPED_TRACE(std::to_string(static_cast<int>(from)) + " " + std::to_string(static_cast<int>(trigger)));
      if (const Expected* want = expected(from, trigger)) {
        const Step got = step(from, trigger);
        EXPECT_EQ(got.to, want->to);
        EXPECT_EQ(got.event, want->event);
        ++made;
      } else {
        const core::Error error = test::error_of([&] { step(from, trigger); });
        EXPECT_EQ(error.code(), core::ErrorCode::operation_invalid);
        EXPECT_FALSE(error.detail().empty());
        if (const auto said = words.find({from, trigger}); said != words.end()) {
          EXPECT_EQ(error.detail(), said->second);
        }
      }
    }
  }
  EXPECT_EQ(made, steps.size() + 4 * exits.size());
}

}  // namespace
}  // namespace instance
