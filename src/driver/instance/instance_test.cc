#include "driver/instance/instance.h"

#include <gmock/gmock.h>
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
      run_until(around.loop, [&] { return !one->active(); });
    }
    around.loop.context().restart();
    around.loop.context().run_for(std::chrono::milliseconds(20));
  }

  void start(const std::string& words = "", bool paused = false, const std::string& elements = "") {
    run(around.loop, subject->start(around.machine(words, elements), 1, paused));
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
  /// The daemon that knew the machine is gone, another finds it.
  void find_again() {
    const std::string state = base::read_file(subject->state_path(), 1 << 20);
    if (subject->active()) subject->running().monitor->close();
    second = std::make_shared<Instance>(environment, uuid, subject->name());
    run(around.loop, second->reconnect(state));
  }

  test::Surroundings around;
  std::vector<Lifecycle> events;
  std::vector<std::string> problems;
  int ends = 0;
  Environment environment{around.loop,
                          around.layout,
                          around.settings,
                          [this](const Instance&, const Event& event) {
                            if (const auto* step = std::get_if<Lifecycle>(&event)) events.push_back(*step);
                          },
                          [this](Instance&) { ++ends; },
                          [this](const std::string& problem) { problems.push_back(problem); }};
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

TEST_F(InstanceTest, AStateThatCannotBeWrittenIsToldOfAndTheMachineGoesOn) {
  start();
  const std::string away = around.layout.state + ".away";
  std::filesystem::rename(around.layout.state, away);
  run(around.loop, subject->suspend());
  EXPECT_EQ(subject->status().state, State::paused);
  EXPECT_THAT(problems, ElementsAre(HasSubstr("is not on disk: ")));
  std::filesystem::rename(away, around.layout.state);
  run(around.loop, subject->resume());
  EXPECT_EQ(problems.size(), 1U);
}

TEST_F(InstanceTest, AnotherDaemonFindsItInItsState) {
  start("", true);
  const pid_t pid = subject->running().process.pid;
  find_again();
  EXPECT_EQ(second->status(), (Status{State::paused, reason::paused_user}));
  EXPECT_EQ(second->id(), 1);
  EXPECT_EQ(second->running().process.pid, pid);
  EXPECT_EQ(second->description().consoles.at(0).source.path, "/dev/pts/77");
  run(around.loop, second->resume());
  EXPECT_EQ(second->status().state, State::running);
  run(around.loop, second->destroy(false));
  EXPECT_EQ(second->status(), (Status{State::shutoff, reason::shutoff_destroyed}));
}

TEST_F(InstanceTest, WhatAMachineWasGivenOutlivesTheDaemon) {
  start();
  const pid_t pid = subject->running().process.pid;
  const std::string folder = subject->running().folder.path();
  const std::string state = base::read_file(subject->state_path(), 1 << 20);
  {
    core::Loop other;
    const Environment changed{
        other, around.layout, around.settings, environment.notify, environment.ended, environment.problem};
    subject->running().monitor->close();
    const auto short_lived = std::make_shared<Instance>(changed, uuid, subject->name());
    run(other, short_lived->reconnect(state));
    EXPECT_TRUE(short_lived->active());
  }
  EXPECT_TRUE(std::filesystem::exists(folder + "/monitor.sock"));
  EXPECT_EQ(kill(pid, 0), 0);
  find_again();
  run(around.loop, second->destroy(false));
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
  subject->running().monitor->close();
  second = std::make_shared<Instance>(environment, uuid, subject->name());
  run(around.loop, second->reconnect(state.dump()));
  EXPECT_TRUE(second->active());
  kill(pid, SIGKILL);
  run_until(around.loop, [&] { return !second->active(); });
  EXPECT_EQ(second->status(), (Status{State::shutoff, reason::shutoff_crashed}));
}

TEST_F(InstanceTest, OneThatDoesNotAnswerIsStillThereAndCanBeDestroyed) {
  start("query-status");
  find_again();
  EXPECT_TRUE(second->active());
  EXPECT_EQ(second->status().state, State::running);
  EXPECT_EQ(error_of([&] { run(around.loop, second->suspend()); }).code(), ErrorCode::operation_failed);
  run(around.loop, second->destroy(false));
  EXPECT_FALSE(second->active());
}

TEST_F(InstanceTest, AStateFileThatIsDamagedTakesNothingAway) {
  start();
  const std::string state = base::read_file(subject->state_path(), 1 << 20);
  for (const char* key : {"id", "state", "pid", "folder", "cgroup", "owners", "description"}) {
    auto json = emulator::Json::parse(state);
    json[key] = emulator::Json::object();
    second = std::make_shared<Instance>(environment, uuid, subject->name());
    EXPECT_THROW(run(around.loop, second->reconnect(json.dump())), std::exception) << key;
    EXPECT_FALSE(second->active());
    EXPECT_TRUE(std::filesystem::is_directory(subject->running().folder.path())) << key;
  }
  run(around.loop, subject->suspend());
  EXPECT_EQ(subject->status().state, State::paused);
}

}  // namespace
}  // namespace instance
