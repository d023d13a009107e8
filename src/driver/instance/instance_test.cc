#include "driver/instance/instance.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "base/file.h"
#include "driver/host/process_stats.h"
#include "driver/instance/environment_for_test.h"

namespace instance {
namespace {

using core::Error;
using core::ErrorCode;
using test::error_of;
using test::run;
using test::run_until;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr core::Uuid uuid = {1, 2, 3, 4};

class InstanceTest : public testing::Test {
 protected:
  ~InstanceTest() override {
    for (const auto& one : {subject, second}) {
      if (!one || !one->active()) continue;
      kill(one->running().process.pid, SIGKILL);
      run_until(one == subject ? around.loop : later, [&] { return !one->active(); });
    }
    for (core::Loop* loop : {&around.loop, &later}) {
      loop->context().restart();
      loop->context().run_for(std::chrono::milliseconds(20));
    }
  }

  void start(const std::string& words = "", bool paused = false, const std::string& elements = "") {
    domain::Domain machine = around.machine(words, elements);
    machine.uuid = uuid;
    run(around.loop, subject->start(std::move(machine), 1, paused));
  }
  std::vector<std::string> left_in(const std::string& folder) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
    return names;
  }
  void execute(const char* command) { run(around.loop, subject->running().connected()->execute({command, nullptr})); }
  void expect_nothing_left() {
    run_until(around.loop, [&] { return left_in(around.layout.state).empty(); });
  }
  /// The daemon that knew the machine is gone, its loop stands; another finds it.
  void find_again(const std::string& state, Running::Begun begun = Running::Begun::yes) {
    if (subject->active()) subject->running().monitor->close();
    second = std::make_shared<Instance>(later_environment, uuid, subject->name());
    run(later, second->reconnect(LiveState::read(state), begun));
  }
  void find_again() { find_again(written()); }
  std::string written() const { return base::read_file(subject->state_path(), 1 << 20); }

  test::Surroundings around;
  core::Loop later;
  std::vector<Lifecycle> events;
  std::vector<std::string> problems;
  int ends = 0;
  Environment environment{around.loop,
                          around.layout,
                          around.settings,
                          around.prober,
                          [this](const Instance&, const Event& event) {
                            if (const auto* step = std::get_if<Lifecycle>(&event)) events.push_back(*step);
                          },
                          [this](Instance&) { ++ends; },
                          [this](const std::string& problem) { problems.push_back(problem); }};
  Prober later_prober{later, around.layout, around.settings, environment.problem};
  Environment later_environment{
      later, around.layout, around.settings, later_prober, environment.notify, environment.ended, environment.problem};
  std::shared_ptr<Instance> subject = std::make_shared<Instance>(environment, uuid, "x");
  std::shared_ptr<Instance> second;
};

TEST_F(InstanceTest, AMachineGoesThroughItsLife) {
  EXPECT_FALSE(subject->active());
  EXPECT_EQ(subject->id(), -1);
  start();
  EXPECT_EQ(subject->status(), (Status{State::running, reason::running_booted}));
  EXPECT_EQ(subject->id(), 1);
  EXPECT_EQ(subject->description().consoles.at(0).source.path, "/dev/pts/77");
  run(around.loop, subject->suspend());
  EXPECT_EQ(subject->status(), (Status{State::paused, reason::paused_user}));
  run(around.loop, subject->suspend());
  run(around.loop, subject->resume());
  EXPECT_EQ(subject->status(), (Status{State::running, reason::running_unpaused}));
  EXPECT_EQ(error_of([&] { run(around.loop, subject->resume()); }).detail(), "domain is already running");
  EXPECT_EQ(error_of([&] { start(); }).detail(), "domain is already running");
  run(around.loop, subject->destroy(false));
  EXPECT_EQ(subject->status(), (Status{State::shutoff, reason::shutoff_destroyed}));
  EXPECT_FALSE(subject->active());
  EXPECT_THAT(events, ElementsAre(lifecycle::resumed_unpaused, lifecycle::started_booted, lifecycle::suspended_paused,
                                  lifecycle::resumed_unpaused, lifecycle::stopped_destroyed));
  EXPECT_EQ(ends, 1);
  expect_nothing_left();
  EXPECT_THAT(problems, ElementsAre());
}

TEST_F(InstanceTest, ALongNameIsCutBetweenItsCharacters) {
  const std::string name = "\u865a\u62df\u673a\u865a\u62df\u673a";
  domain::Domain machine = around.machine("", "", name + "\u865a\u62df\u673a");
  machine.uuid = uuid;
  run(around.loop, subject->start(std::move(machine), 1, false));
  EXPECT_EQ(subject->running().folder.path(), around.layout.state + "/domain-1-" + name);
  EXPECT_EQ(LiveState::read(written()).folder, subject->running().folder.path());
}

TEST_F(InstanceTest, WhatIsNotRunningIsNotManaged) {
  const auto words = [&](core::Task<void> task) { return error_of([&] { run(around.loop, std::move(task)); }); };
  for (auto make : {+[](Instance& one) { return one.suspend(); }, +[](Instance& one) { return one.resume(); },
                    +[](Instance& one) { return one.shutdown(false); }, +[](Instance& one) { return one.reset(); },
                    +[](Instance& one) { return one.destroy(false); }}) {
    const Error error = words(make(*subject));
    EXPECT_EQ(error.code(), ErrorCode::operation_invalid);
    EXPECT_EQ(error.detail(), "domain is not running");
  }
}

TEST_F(InstanceTest, AFailedStartLeavesNothing) {
  const Error died = error_of([&] { start("die"); });
  EXPECT_EQ(died.code(), ErrorCode::internal_error);
  EXPECT_EQ(died.detail(), "process exited while connecting to monitor: emulator: cannot find the machine");
  EXPECT_EQ(subject->status(), (Status{State::shutoff, reason::shutoff_failed}));
  expect_nothing_left();
  EXPECT_EQ(error_of([&] { start("die-later"); }).detail(),
            "process exited while connecting to monitor: emulator: cannot find the disk");
  expect_nothing_left();
  EXPECT_EQ(error_of([&] { start("cont"); }).detail(), "unable to execute QEMU command 'cont': it was told to refuse");
  expect_nothing_left();
  domain::Domain missing = around.machine();
  missing.os.kernel = "/no/such/kernel";
  EXPECT_THAT(error_of([&] { run(around.loop, subject->start(missing, 2, false)); }).detail(),
              HasSubstr("/no/such/kernel"));
  expect_nothing_left();
  EXPECT_EQ(subject->id(), -1);
  EXPECT_THAT(events, ElementsAre());
  EXPECT_EQ(ends, 0);
  start();  // and none of it stands in the way
}

TEST_F(InstanceTest, AnEmulatorThatDiesIsACrash) {
  start();
  error_of([&] { execute("crash"); });
  run_until(around.loop, [&] { return ends == 1; });
  EXPECT_EQ(subject->status(), (Status{State::shutoff, reason::shutoff_crashed}));
  EXPECT_EQ(events.back(), lifecycle::stopped_failed);
  expect_nothing_left();
}

TEST_F(InstanceTest, AGuestThatPowersOffEnds) {
  start();
  run(around.loop, subject->shutdown(false));
  run_until(around.loop, [&] { return ends == 1; });
  EXPECT_EQ(subject->status(), (Status{State::shutoff, reason::shutoff_shutdown}));
  EXPECT_THAT(events, ElementsAre(lifecycle::resumed_unpaused, lifecycle::started_booted, lifecycle::shutdown_guest,
                                  lifecycle::stopped_shutdown));
}

TEST_F(InstanceTest, ARebootStartsTheGuestAgainInTheSameDomain) {
  start();
  const pid_t pid = subject->running().process.pid;
  run(around.loop, subject->shutdown(true));
  run_until(around.loop, [&] { return subject->status().state == State::shutdown; });
  run_until(around.loop, [&] { return subject->status().state == State::running; });
  EXPECT_EQ(subject->running().process.pid, pid);
  EXPECT_EQ(ends, 0);
}

TEST_F(InstanceTest, WhatFollowsAPowerOffAndACrashIsAsWritten) {
  start("", false, "<on_poweroff>preserve</on_poweroff><on_crash>preserve</on_crash>");
  run(around.loop, subject->shutdown(false));
  run_until(around.loop, [&] { return subject->status().state == State::shutdown; });
  run(around.loop, subject->destroy(false));
  start("", false, "<on_crash>preserve</on_crash>");
  execute("panic");
  run_until(around.loop, [&] { return subject->status().state == State::crashed; });
  EXPECT_EQ(events.back(), lifecycle::crashed_panicked);
  run(around.loop, subject->destroy(false));
  start("", false, "<on_crash>destroy</on_crash>");
  execute("panic");
  run_until(around.loop, [&] { return ends == 3; });
  EXPECT_EQ(subject->status(), (Status{State::shutoff, reason::shutoff_crashed}));
  start("", false, "<on_crash>restart</on_crash>");
  execute("panic");
  run_until(around.loop, [&] { return subject->status().state == State::running; });
  EXPECT_EQ(ends, 3);
}

TEST_F(InstanceTest, AGracefulDestroyKillsNothing) {
  start("ignore-term");
  const Error busy = error_of([&] { run(around.loop, subject->destroy(true)); });
  EXPECT_EQ(busy.code(), ErrorCode::system_error);
  EXPECT_THAT(busy.detail(), HasSubstr("with SIGTERM"));
  EXPECT_TRUE(subject->active());
  EXPECT_EQ(subject->status().state, State::running);
}

TEST_F(InstanceTest, AGracefulDestroyStaysOneWhenTheMonitorIsConnectedAgain) {
  start("ignore-term");
  around.loop.spawn([](std::shared_ptr<Instance> one) -> core::Task<void> {
    try {
      co_await one->destroy(true);
    } catch (const Error&) {
    }
  }(subject));
  run_until(around.loop, [&] { return subject->running().graceful; });
  const auto before = subject->running().monitor;
  before->close();
  run_until(around.loop, [&] {
    const auto& now = subject->running().monitor;
    return now && now != before;
  });
  EXPECT_TRUE(subject->running().graceful);
  EXPECT_FALSE(subject->running().acting);
}

TEST_F(InstanceTest, ARestartWhoseMonitorBreaksIsFinishedOnTheNext) {
  start("break-at-reset");
  const pid_t pid = subject->running().process.pid;
  run(around.loop, subject->shutdown(true));
  run_until(around.loop, [&] { return subject->status().state == State::shutdown; });
  run_until(around.loop, [&] { return !subject->active() || subject->status().state == State::running; });
  ASSERT_TRUE(subject->active());
  EXPECT_EQ(subject->running().process.pid, pid);
}

TEST_F(InstanceTest, AStateThatCannotBeWrittenIsToldOfAndTheMachineGoesOn) {
  start();
  const std::string away = around.layout.state + ".away";
  std::filesystem::rename(around.layout.state, away);
  run(around.loop, subject->suspend());
  EXPECT_EQ(subject->status().state, State::paused);
  EXPECT_THAT(problems, ElementsAre(HasSubstr("is not on disk, ")));
  run(around.loop, subject->resume());
  run(around.loop, subject->suspend());
  std::filesystem::rename(away, around.layout.state);
  run_until(around.loop, [&] { return LiveState::read(written()).status.state == State::paused; });
  EXPECT_EQ(problems.size(), 1U);
}

TEST_F(InstanceTest, AStartWhoseStateCannotBeWrittenFails) {
  std::filesystem::create_directory(subject->starting_path());
  std::ofstream(subject->starting_path() + "/in-the-way") << "";
  EXPECT_THROW(start(), std::exception);
  EXPECT_FALSE(subject->active());
  EXPECT_EQ(subject->status().state, State::shutoff);
  std::filesystem::remove_all(subject->starting_path());
  EXPECT_THROW(start("no-room-at-query-chardev"), std::system_error);
  EXPECT_FALSE(subject->active());
  EXPECT_FALSE(std::filesystem::exists(subject->starting_path()));
}

TEST_F(InstanceTest, AMachineIsFoundThoughThereWasNoRoomToWriteThatItRuns) {
  start("no-room-at-cont");
  EXPECT_THAT(problems, ElementsAre(HasSubstr("is not on disk, which is tried again: ")));
  run(around.loop, subject->suspend());
  find_again();
  EXPECT_TRUE(second->active());
  EXPECT_EQ(second->status().state, State::paused);
  std::filesystem::remove(around.layout.state + "/" + core::to_string(uuid) + ".json.new");
}

TEST_F(InstanceTest, AnotherDaemonFindsItInItsState) {
  start("", true);
  const pid_t pid = subject->running().process.pid;
  find_again();
  EXPECT_EQ(second->status(), (Status{State::paused, reason::paused_user}));
  EXPECT_EQ(second->id(), 1);
  EXPECT_EQ(second->running().process.pid, pid);
  EXPECT_EQ(second->description().consoles.at(0).source.path, "/dev/pts/77");
  run(later, second->resume());
  EXPECT_EQ(second->status().state, State::running);
  run(later, second->destroy(false));
  EXPECT_EQ(second->status(), (Status{State::shutoff, reason::shutoff_destroyed}));
}

TEST_F(InstanceTest, WhatAMachineWasGivenOutlivesTheDaemon) {
  start();
  const pid_t pid = subject->running().process.pid;
  const std::string folder = subject->running().folder.path();
  const std::string state = base::read_file(subject->state_path(), 1 << 20);
  {
    core::Loop other;
    const Environment changed{other,
                              around.layout,
                              around.settings,
                              around.prober,
                              environment.notify,
                              environment.ended,
                              environment.problem};
    subject->running().monitor->close();
    const auto short_lived = std::make_shared<Instance>(changed, uuid, subject->name());
    run(other, short_lived->reconnect(LiveState::read(state)));
    other.abandon();
    EXPECT_TRUE(short_lived->active());
  }
  EXPECT_TRUE(std::filesystem::exists(folder + "/monitor.sock"));
  EXPECT_EQ(kill(pid, 0), 0);
  find_again();
  run(later, second->destroy(false));
  EXPECT_FALSE(std::filesystem::exists(folder));
}

TEST_F(InstanceTest, OneThatDiedMeanwhileIsShutOff) {
  start();
  const std::string state = base::read_file(subject->state_path(), 1 << 20);
  kill(subject->running().process.pid, SIGKILL);
  run_until(around.loop, [&] { return !subject->active(); });
  std::ofstream(subject->state_path()) << state;
  find_again();
  EXPECT_FALSE(second->active());
  EXPECT_EQ(second->status(), (Status{State::shutoff, reason::shutoff_crashed}));
  expect_nothing_left();
}

/// A process whose first thread is over and whose second is not, as an emulator is for a moment when it ends.
/// The thread sanitizer has to be told that a fork may start one (CMakePresets.json).
pid_t headless_process() {
  const pid_t pid = fork();
  if (pid == 0) {
    std::thread([] { pause(); }).detach();
    syscall(SYS_exit, 0);
  }
  while (host::process_statistics(pid).value().state != 'Z') usleep(1000);
  return pid;
}

TEST_F(InstanceTest, OneIsOverWhenAllItsThreadsAre) {
  const pid_t pid = headless_process();
  start();
  auto state = emulator::Json::parse(base::read_file(subject->state_path(), 1 << 20));
  state["pid"] = pid;
  state["start_ticks"] = host::process_statistics(pid)->start_ticks;
  std::filesystem::rename(around.layout.state, around.layout.state + ".away");  // the other's folder stays
  find_again(state.dump());
  EXPECT_TRUE(second->active());
  kill(pid, SIGKILL);
  run_until(later, [&] { return !second->active(); });
  EXPECT_EQ(second->status(), (Status{State::shutoff, reason::shutoff_crashed}));
}

TEST_F(InstanceTest, OneThatDoesNotAnswerIsStillThereAndCanBeDestroyed) {
  start("query-status");
  find_again();
  EXPECT_TRUE(second->active());
  EXPECT_EQ(second->status().state, State::running);
  EXPECT_THAT(problems, ElementsAre(HasSubstr("is out of reach, and looked for again")));
  EXPECT_EQ(error_of([&] { run(later, second->suspend()); }).code(), ErrorCode::operation_failed);
  run(later, second->destroy(false));
  EXPECT_FALSE(second->active());
}

TEST_F(InstanceTest, AMonitorThatBreaksIsConnectedAgain) {
  start();
  const auto before = subject->running().monitor;
  before->close();
  EXPECT_THROW(run(around.loop, subject->suspend()), Error);
  run_until(around.loop, [&] {
    const auto& now = subject->running().monitor;
    return now && now != before && !now->broken();
  });
  run(around.loop, subject->suspend());
  EXPECT_EQ(subject->status().state, State::paused);
  EXPECT_EQ(ends, 0);
}

/// The most descriptors that this process may have, for as long as it lives.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(rlim_t most) {
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit less{most, before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &less);
  }
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;
  ~DescriptorLimit() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(InstanceTest, WithoutDescriptorsItIsLookedForAgainAndNotGivenUp) {
  start("", true);
  const std::string state = written();
  {
    const DescriptorLimit none(10);
    find_again(state);
    EXPECT_TRUE(second->active());
    EXPECT_EQ(second->status(), (Status{State::paused, reason::paused_user}));
    EXPECT_THAT(problems, ElementsAre(HasSubstr("Too many open files")));
    EXPECT_THROW(run(later, second->resume()), Error);
    EXPECT_THROW(run(later, second->destroy(false)), Error);
    EXPECT_TRUE(second->active());
  }
  run_until(later, [&] { return second->running().monitor != nullptr && !second->running().out_of_reach; });
  run(later, second->resume());
  EXPECT_EQ(second->status().state, State::running);
  EXPECT_EQ(problems.size(), 1U);
}

TEST_F(InstanceTest, OneWhoseStartWasNotFinishedIsEnded) {
  start();
  find_again(written(), Running::Begun::no);
  EXPECT_FALSE(second->active());
  EXPECT_EQ(second->status(), (Status{State::shutoff, reason::shutoff_failed}));
}

TEST_F(InstanceTest, OneOfAnOlderDaemonThatCouldNotWriteThatItRunsIsKept) {
  start();
  auto state = emulator::Json::parse(written());
  state.erase("version");
  state["state"] = 5;
  find_again(state.dump());
  EXPECT_TRUE(second->active());
  EXPECT_EQ(second->status().state, State::running);
}

TEST_F(InstanceTest, WhatIsNotWrittenIsFoundOut) {
  start("", true);
  auto state = emulator::Json::parse(written());
  for (const char* key : {"id", "state", "reason", "start_ticks", "emulator", "folder", "hugepages", "cgroup", "owners",
                          "tainted", "version", "reboot"})
    state.erase(key);
  find_again(state.dump());
  ASSERT_TRUE(second->active());
  EXPECT_EQ(second->running().folder.path(), subject->running().folder.path());
  EXPECT_EQ(second->status().state, State::paused);
  run(later, second->resume());
  EXPECT_EQ(second->status().state, State::running);
}

TEST_F(InstanceTest, WhatANewerDaemonWroteIsKept) {
  start();
  auto state = emulator::Json::parse(written());
  state["version"] = 7;
  state["newer"] = {{"a", 1}};
  find_again(state.dump());
  run(later, second->suspend());
  const auto now = emulator::Json::parse(written());
  EXPECT_EQ(now["version"], 7);
  EXPECT_EQ(now["newer"], (emulator::Json{{"a", 1}}));
  EXPECT_EQ(now["state"], 3);
}

TEST_F(InstanceTest, ARebootThatIsUnderWayIsFinishedByTheNextDaemon) {
  start("slow-off");
  run(around.loop, subject->shutdown(true));
  EXPECT_TRUE(LiveState::read(written()).reboot_when_off);
  find_again();
  run(later, second->running().connected()->execute({"guest-off", nullptr}));
  run_until(later, [&] { return second->status().state == State::shutdown; });
  run_until(later, [&] { return second->status().state == State::running; });
  EXPECT_EQ(ends, 0);
  EXPECT_FALSE(LiveState::read(written()).reboot_when_off);
}

TEST_F(InstanceTest, AnEndThatIsUnderWayIsFinishedByTheNextDaemon) {
  start();
  auto state = emulator::Json::parse(written());
  state["ending"] = "destroyed";
  find_again(state.dump());
  run_until(later, [&] { return !second->active(); });
  EXPECT_EQ(second->status(), (Status{State::shutoff, reason::shutoff_destroyed}));
}

TEST_F(InstanceTest, WhatIsToldWithAnAnswerIsTakenAfterIt) {
  start("off-at-once");  // SHUTDOWN is in one write with the reply to `cont`
  EXPECT_EQ(events.at(1), lifecycle::started_booted);
  run_until(around.loop, [&] { return ends == 1; });
  EXPECT_EQ(subject->status(), (Status{State::shutoff, reason::shutoff_shutdown}));
  events.clear();
  start("off-at-once", true);
  run(around.loop, subject->resume());
  run_until(around.loop, [&] { return ends == 2; });
  EXPECT_THAT(events, ElementsAre(lifecycle::started_booted, lifecycle::suspended_paused, lifecycle::resumed_unpaused,
                                  lifecycle::shutdown_guest, lifecycle::stopped_shutdown));
}

TEST_F(InstanceTest, AnythingMayBeToldAtAnyMoment) {
  start();
  const emulator::Json odd = emulator::Json::parse(R"([{}, {"device": "no-such"}, {"device": 5}, {"device": ""},
      {"actual": -1}, {"actual": 18446744073709551615}, {"guest": "perhaps"}, {"device": "virtio-serial0"},
      {"device": "pcie.0"}, {"device": "console0"}, {"device": "console0", "path": []}])");
  for (const char* name : {"STOP", "RESUME", "BLOCK_IO_ERROR", "BALLOON_CHANGE", "DEVICE_DELETED",
                           "DEVICE_UNPLUG_GUEST_ERROR", "RESET", "POWERDOWN", "NO_SUCH", ""}) {
    for (const auto& data : odd) {
      for (int twice = 0; twice < 2; ++twice)
        run(around.loop, subject->running().connected()->execute({"tell", {{"event", name}, {"data", data}}}));
    }
  }
  run_until(around.loop, [&] { return subject->description().consoles.empty(); });
  EXPECT_TRUE(subject->active());
  EXPECT_LE(subject->description().current_memory_kib, subject->description().memory_kib);
  EXPECT_EQ(LiveState::read(written()).live.consoles.size(), 0U);
  EXPECT_THAT(problems, ElementsAre(HasSubstr("cannot be understood")));
}

}  // namespace
}  // namespace instance
