#include "driver/instance/live_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "driver/core/error.h"

namespace instance {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char form[] = TEST_DATA_DIR "/state/form-";

/// A state file as a daemon of that form's version wrote it.
std::string written(int version) {
  return base::read_file(form + std::to_string(version) + ".json", 1 << 20);
}

std::string refusal(const json& state) {
  try {
    LiveState::read(state.dump());
  } catch (const core::Error& error) {
    return error.detail();
  }
  return "taken";
}

TEST(LiveState, EveryFormIsRead) {
  for (const int version : {0, 1}) {
    const LiveState state = LiveState::read(written(version));
    EXPECT_EQ(state.version, static_cast<std::uint64_t>(version));
    EXPECT_EQ(state.id, 3);
    EXPECT_EQ(state.status, (Status{State::paused, reason::paused_user}));
    EXPECT_EQ(state.pid, 4711);
    EXPECT_EQ(state.start_ticks, 152037U);
    EXPECT_EQ(emulator::to_string(state.emulator->version), "7.2.22");
    EXPECT_EQ(state.folder, "/run/libvirt/stratovirt/domain-3-paused");
    EXPECT_THAT(state.cgroup, ElementsAre("/sys/fs/cgroup/cpu/domain-3-paused"));
    EXPECT_THAT(state.owners, ElementsAre(host::FileOwner{"/var/lib/images/root.img", 1000, 1000}));
    EXPECT_EQ(state.tainted, version == 1);
    EXPECT_EQ(state.reboot_when_off, version == 1);
    EXPECT_EQ(state.ending, version == 1 ? std::optional(Trigger::exit_destroyed) : std::nullopt);
    EXPECT_EQ(state.live.name, "paused");
    EXPECT_EQ(state.live.disks.at(0).info.alias, "virtio-disk0");
    EXPECT_TRUE(state.others.empty());
  }
}

TEST(LiveState, WhatIsWrittenIsReadAgain) {
  const LiveState old = LiveState::read(written(0));
  LiveState state = LiveState::read(written(1));
  EXPECT_EQ(LiveState::read(state.write()).write(), state.write());
  EXPECT_EQ(json::parse(state.write()), json::parse(written(1)));
  EXPECT_EQ(LiveState::read(old.write()).version, LiveState::current_version);
  for (const Trigger trigger : {Trigger::exit_shutdown, Trigger::exit_destroyed, Trigger::exit_crashed,
                                Trigger::exit_panicked, Trigger::exit_failed}) {
    state.ending = trigger;
    EXPECT_EQ(LiveState::read(state.write()).ending, trigger);
  }
}

TEST(LiveState, WhatIsNotThereHasItsDefaultAndTheProcessMustBeThere) {
  const json whole = json::parse(written(1));
  for (const auto& [name, ignored] : whole.items()) {
    json less = whole;
    less.erase(name);
    EXPECT_EQ(refusal(less), name == "pid" || name == "description" ? "it has no '" + name + "'" : "taken");
  }
  const LiveState least = LiveState::read(json{{"pid", 5}, {"description", whole["description"]}}.dump());
  EXPECT_EQ(least.id, -1);
  EXPECT_EQ(least.status.state, State::nostate);
  EXPECT_EQ(least.version, 0U);
  EXPECT_FALSE(least.emulator);
}

TEST(LiveState, WhatIsDamagedIsNamed) {
  const json whole = json::parse(written(1));
  for (const auto& [name, ignored] : whole.items()) {
    for (const json& wrong : {json(), json(1.5), json(-1), json(1e300), json(18446744073709551615U), json::object(),
                              json::array({1}), json::array({{"a", 1}}), json("no\x07such")}) {
      json damaged = whole;
      damaged[name] = wrong;
      const std::string why = refusal(damaged);
      const std::string is = wrong.dump();
      const bool could_be = (is == "-1" && (name == "reason" || name == "id" || name == "pid")) ||
                            (wrong.is_string() && (name == "folder" || name == "hugepages" || name == "ending")) ||
                            (is == "18446744073709551615" && (name == "version" || name == "start_ticks"));
      EXPECT_EQ(why == "taken", could_be) << name << " of " << wrong << ": " << why;
    }
  }
  for (const char* text : {"", "[]", "{", "{}{}", "{\"pid\": 1", "\xff"})
    EXPECT_THROW(LiveState::read(text), core::Error) << text;
  EXPECT_THROW(LiveState::read("{\"a\": " + std::string(100000, '[')), core::Error);
}

TEST(LiveState, WhatANewerDaemonWroteIsWrittenAgain) {
  json newer = json::parse(written(1));
  newer["version"] = 12;
  newer["helpers"] = {{{"name", "swtpm"}, {"pid", 5}}};
  newer["ending"] = "migrated";
  newer["state"] = 7;
  const LiveState state = LiveState::read(newer.dump());
  EXPECT_EQ(state.status.state, State::nostate);
  EXPECT_EQ(state.ending, Trigger::exit_crashed);
  const json again = json::parse(state.write());
  EXPECT_EQ(again["version"], 12);
  EXPECT_EQ(again["helpers"], newer["helpers"]);
}

}  // namespace
}  // namespace instance
