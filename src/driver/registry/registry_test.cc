#include "driver/registry/registry.h"

#include <gmock/gmock.h>

#include <csignal>
#include <deque>
#include <fstream>

#include "driver/instance/environment_for_test.h"

namespace registry {
namespace {

using core::Error;
using core::ErrorCode;
using core::Task;
using instance::State;
using instance::test::error_of;
using instance::test::run;
using instance::test::run_until;
using testing::ElementsAre;
using testing::HasSubstr;
namespace lifecycle = instance::lifecycle;

class RegistryTest : public testing::Test {
 protected:
  RegistryTest() { begin(); }
  ~RegistryTest() override { end_all(); }

  /// Another daemon; what the one before knew runs on.
  void begin() {
    if (registry) loop = &loops.emplace_back();  // the one before stands
    registry = &daemons.emplace_back(*loop, around.layout, around.settings,
                                     [this](const std::string& problem) { problems.push_back(problem); });
    registry->on_event([this](const instance::Instance& from, const instance::Event& event) {
      if (const auto* step = std::get_if<instance::Lifecycle>(&event)) events.push_back({from.name(), *step});
    });
  }
  void recover() { run(*loop, registry->recover()); }
  void end_all() {
    for (const InstancePtr& one : registry->all()) {
      if (one->active()) run(*loop, one->destroy(false));
    }
    settle();
  }
  void settle() {
    loop->context().restart();
    loop->context().run_for(std::chrono::milliseconds(20));
  }

  domain::Domain machine(const std::string& name, std::uint8_t last, const std::string& words = "") const {
    domain::Domain domain = around.machine(words, "", name);
    domain.uuid = {9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, last};
    return domain;
  }
  InstancePtr define(const domain::Domain& domain) { return run(*loop, registry->define(domain)); }
  InstancePtr create(const domain::Domain& domain) { return run(*loop, registry->create(domain, false)); }
  std::vector<std::string> names() const {
    std::vector<std::string> list;
    for (const InstancePtr& one : registry->all()) list.push_back(one->name());
    return list;
  }

  instance::test::Surroundings around;
  std::vector<std::string> problems;
  std::vector<std::pair<std::string, instance::Lifecycle>> events;
  std::deque<core::Loop> loops;
  core::Loop* loop = &around.loop;
  std::deque<Registry> daemons;
  Registry* registry = nullptr;
};

TEST_F(RegistryTest, WhatIsNotThereIsSaidInLibvirtsWords) {
  const core::Uuid uuid = {0x12, 0x34};
  const Error name = error_of([&] { registry->by_name("x"); });
  EXPECT_EQ(name.code(), ErrorCode::no_domain);
  EXPECT_EQ(name.detail(), "no domain with matching name 'x'");
  EXPECT_EQ(error_of([&] { registry->by_uuid(uuid, "x"); }).detail(),
            "no domain with matching uuid '12340000-0000-0000-0000-000000000000' (x)");
  EXPECT_EQ(error_of([&] { registry->by_uuid(uuid, ""); }).detail(),
            "no domain with matching uuid '12340000-0000-0000-0000-000000000000'");
  EXPECT_EQ(error_of([&] { registry->by_id(7); }).detail(), "no domain with matching id 7");
  EXPECT_THAT(names(), ElementsAre());
  EXPECT_EQ(registry->active_count(), 0U);
}

TEST_F(RegistryTest, ADefinitionIsFoundAndSurvivesTheDaemon) {
  const InstancePtr one = define(machine("one", 1));
  EXPECT_EQ(registry->by_name("one"), one);
  EXPECT_EQ(registry->by_uuid(one->uuid(), ""), one);
  EXPECT_TRUE(one->persistent());
  EXPECT_FALSE(one->active());
  run(*loop, registry->set_autostart(one, false));
  define(machine("two", 2));
  domain::Domain again = machine("one", 1);
  again.title = "changed";
  EXPECT_EQ(define(again), one);
  EXPECT_THAT(events,
              ElementsAre(std::pair("one", lifecycle::defined_added), std::pair("two", lifecycle::defined_added),
                          std::pair("one", lifecycle::defined_updated)));
  begin();
  recover();
  EXPECT_THAT(names(), ElementsAre("one", "two"));
  EXPECT_EQ(registry->by_name("one")->config()->title, "changed");
  EXPECT_THAT(problems, ElementsAre());
}

TEST_F(RegistryTest, NameAndUuidBelongToOneDomain) {
  define(machine("one", 1));
  const auto refused = [&](const domain::Domain& domain) {
    const Error defined = error_of([&] { define(domain); });
    const Error created = error_of([&] { create(domain); });
    EXPECT_EQ(defined.code(), ErrorCode::operation_failed);
    EXPECT_EQ(created.detail(), defined.detail());
    return defined.detail();
  };
  EXPECT_EQ(refused(machine("one", 2)), "domain 'one' already exists with uuid 09090909-0909-0909-0909-090909090901");
  EXPECT_EQ(refused(machine("two", 1)),
            "domain 'one' is already defined with uuid 09090909-0909-0909-0909-090909090901");
  EXPECT_THAT(names(), ElementsAre("one"));
}

TEST_F(RegistryTest, WhatIsUndefinedIsGone) {
  const InstancePtr one = define(machine("one", 1));
  run(*loop, registry->set_autostart(one, true));
  run(*loop, registry->undefine(one));
  EXPECT_THAT(names(), ElementsAre());
  EXPECT_EQ(events.back(), std::pair(std::string("one"), lifecycle::undefined_removed));
  EXPECT_EQ(error_of([&] { run(*loop, registry->undefine(one)); }).detail(), "cannot undefine transient domain");
  EXPECT_EQ(error_of([&] { run(*loop, registry->set_autostart(one, true)); }).detail(),
            "cannot set autostart for transient domain");
  EXPECT_EQ(error_of([&] { run(*loop, registry->start(one, false)); }).code(), ErrorCode::no_domain);
  define(machine("one", 2));  // its name is free
  begin();
  recover();
  EXPECT_THAT(names(), ElementsAre("one"));
  EXPECT_FALSE(registry->by_name("one")->autostart());
}

TEST_F(RegistryTest, ARunningDomainThatIsUndefinedGoesOnUntilItEnds) {
  const InstancePtr one = define(machine("one", 1));
  run(*loop, registry->start(one, false));
  EXPECT_EQ(registry->by_id(one->id()), one);
  EXPECT_EQ(registry->active_count(), 1U);
  run(*loop, registry->undefine(one));
  EXPECT_THAT(names(), ElementsAre("one"));
  EXPECT_FALSE(one->persistent());
  run(*loop, one->destroy(false));
  EXPECT_THAT(names(), ElementsAre());
}

TEST_F(RegistryTest, ATransientDomainIsGoneOnceItEnds) {
  const InstancePtr one = create(machine("one", 1));
  EXPECT_FALSE(one->persistent());
  const Error again = error_of([&] { create(machine("one", 1)); });
  EXPECT_EQ(again.code(), ErrorCode::operation_invalid);
  EXPECT_EQ(again.detail(), "domain 'one' is already active");
  kill(one->running().process.pid, SIGKILL);
  run_until(*loop, [&] { return names().empty(); });
  EXPECT_EQ(events.back(), std::pair(std::string("one"), lifecycle::stopped_failed));
}

TEST_F(RegistryTest, ATransientDomainThatIsDefinedStays) {
  const InstancePtr one = create(machine("one", 1));
  EXPECT_EQ(define(machine("one", 1)), one);
  run(*loop, one->destroy(false));
  EXPECT_THAT(names(), ElementsAre("one"));
  EXPECT_EQ(create(machine("one", 1)), one);
  EXPECT_TRUE(one->persistent());
}

TEST_F(RegistryTest, AFailedCreateOrDefineLeavesNoName) {
  EXPECT_THROW(create(machine("one", 1, "die")), Error);
  EXPECT_THAT(names(), ElementsAre());
  std::filesystem::rename(around.layout.config, around.layout.config + ".away");
  EXPECT_THROW(define(machine("one", 2)), std::system_error);
  std::filesystem::rename(around.layout.config + ".away", around.layout.config);
  EXPECT_THAT(names(), ElementsAre());
  define(machine("one", 3));
}

TEST_F(RegistryTest, OneThatIsOnItsWayIsShownToNobodyButKeepsItsName) {
  int over = 0;
  std::string second;
  loop->spawn([](Registry* all, domain::Domain one, int* ended) -> Task<void> {
    co_await all->create(std::move(one), false);
    ++*ended;
  }(registry, machine("one", 1), &over));
  loop->spawn([](Registry* all, domain::Domain one, std::string* words, int* ended) -> Task<void> {
    try {
      co_await all->define(std::move(one));
    } catch (const Error& error) {
      *words = error.detail();
    }
    ++*ended;
  }(registry, machine("one", 2), &second, &over));
  loop->context().restart();
  loop->context().poll();
  EXPECT_THAT(names(), ElementsAre());
  EXPECT_EQ(error_of([&] { registry->by_name("one"); }).code(), ErrorCode::no_domain);
  run_until(*loop, [&] { return over == 2; });
  EXPECT_THAT(second, HasSubstr("already exists with uuid"));
  EXPECT_THAT(names(), ElementsAre("one"));
}

TEST_F(RegistryTest, WhoWaitedWhileADomainWasUndefinedMakesItAnew) {
  const InstancePtr old = define(machine("one", 1));
  std::optional<instance::Job::Guard> job(run(*loop, old->job().acquire("test")));
  InstancePtr made;
  loop->spawn([](Registry* all, domain::Domain one, InstancePtr* to) -> Task<void> {
    *to = co_await all->define(std::move(one));
  }(registry, machine("one", 1), &made));
  settle();
  run(*loop, registry->undefine(old));
  job.reset();
  run_until(*loop, [&] { return made != nullptr; });
  EXPECT_NE(made, old);
  EXPECT_EQ(registry->by_name("one"), made);
}

TEST_F(RegistryTest, EveryStartHasAnIdOfItsOwn) {
  const InstancePtr one = define(machine("one", 1)), two = define(machine("two", 2));
  run(*loop, registry->start(one, true));
  run(*loop, registry->start(two, false));
  EXPECT_LT(one->id(), two->id());
  EXPECT_EQ(one->status().state, State::paused);
  const int before = two->id();
  run(*loop, one->destroy(false));
  run(*loop, registry->start(one, false));
  EXPECT_LT(before, one->id());
  EXPECT_EQ(error_of([&] { run(*loop, registry->start(one, false)); }).detail(), "domain is already running");
}

TEST_F(RegistryTest, WhatIsToStartWithTheHostStartsAndOneThatCannotIsToldOf) {
  run(*loop, registry->set_autostart(define(machine("bad", 1, "die")), true));
  run(*loop, registry->set_autostart(define(machine("good", 2)), true));
  define(machine("idle", 3));
  begin();
  recover();
  EXPECT_TRUE(registry->by_name("good")->active());
  EXPECT_FALSE(registry->by_name("bad")->active());
  EXPECT_FALSE(registry->by_name("idle")->active());
  EXPECT_THAT(problems, ElementsAre(HasSubstr("cannot start 'bad' with the host: ")));
}

TEST_F(RegistryTest, WhatIsToStartWithTheHostDoesSoOnceABoot) {
  const std::string mark = around.layout.state + "/autostarted";
  const auto starts = [&] {
    begin();
    recover();
    const InstancePtr one = registry->by_name("good");
    const bool active = one->active();
    if (active) run(*loop, one->destroy(false));
    return active;
  };
  run(*loop, registry->set_autostart(define(machine("good", 2)), true));
  EXPECT_TRUE(starts());
  EXPECT_FALSE(starts());
  std::ofstream(mark) << "another boot";
  EXPECT_TRUE(starts());
  std::ofstream(mark) << "";  // libvirt's
  EXPECT_FALSE(starts());
  std::filesystem::remove(mark);
  EXPECT_TRUE(starts());
  std::filesystem::remove(mark);
  std::filesystem::create_directory(mark);
  EXPECT_FALSE(starts());
  EXPECT_THAT(problems, ElementsAre(HasSubstr("is left alone")));
}

TEST_F(RegistryTest, WhatRanIsFoundAgainAndDamagedFilesAreToldOf) {
  const InstancePtr one = define(machine("one", 1)), gone = create(machine("gone", 2));
  run(*loop, registry->start(one, false));
  const std::string state = around.layout.state + "/";
  std::ofstream(state + "half.json") << R"({"description": ")";
  std::ofstream(state + "empty.json") << "";
  std::filesystem::copy_file(one->state_path(), state + "twice.json");
  one->running().monitor->close();
  std::string text;
  std::getline(std::ifstream(gone->state_path()), text, '\0');
  kill(gone->running().process.pid, SIGKILL);
  run_until(*loop, [&] { return !gone->active(); });
  std::ofstream(gone->state_path()) << text;

  begin();
  recover();
  EXPECT_THAT(names(), ElementsAre("one"));
  EXPECT_EQ(registry->by_name("one")->id(), one->id());
  EXPECT_EQ(registry->by_name("one")->status().state, State::running);
  EXPECT_THAT(problems, testing::UnorderedElementsAre(HasSubstr("half.json"), HasSubstr("empty.json"),
                                                      HasSubstr("it is of the domain with uuid")));
  EXPECT_TRUE(std::filesystem::exists(state + "half.json.broken"));
  const InstancePtr two = define(machine("two", 3));
  run(*loop, registry->start(two, false));
  EXPECT_GT(two->id(), one->id());
  run(*loop, two->destroy(false));
  run(*loop, registry->by_name("one")->destroy(false));
  run_until(around.loop, [&] { return !one->active(); });
}

TEST_F(RegistryTest, AFileThatCannotBeReadIsReadAgainAndNothingIsStartedTwice) {
  const InstancePtr one = define(machine("one", 1));
  run(*loop, registry->start(one, true));
  const std::string path = one->state_path(), kept = path + ".kept";
  one->running().monitor->close();
  std::filesystem::rename(path, kept);
  std::filesystem::create_symlink(path, path);  // one that leads round and round
  begin();
  recover();
  const InstancePtr now = registry->by_name("one");
  EXPECT_FALSE(now->active());
  EXPECT_EQ(now->status().state, State::nostate);
  EXPECT_THAT(problems, ElementsAre(HasSubstr("looked for again")));
  const Error refused = error_of([&] { run(*loop, registry->start(now, false)); });
  EXPECT_EQ(refused.code(), ErrorCode::operation_failed);
  EXPECT_THAT(refused.detail(), HasSubstr("may be running"));
  EXPECT_EQ(error_of([&] { create(machine("one", 1)); }).code(), ErrorCode::operation_failed);
  EXPECT_TRUE(std::filesystem::is_directory(one->running().folder.path()));
  std::filesystem::rename(kept, path);
  run_until(*loop, [&] { return now->active(); });
  EXPECT_EQ(now->id(), one->id());
  EXPECT_EQ(now->status().state, State::paused);
  EXPECT_EQ(problems.size(), 1U);
}

TEST_F(RegistryTest, AMachineWhoseNameAnotherHasIsKeptUntilTheNameIsFree) {
  const InstancePtr one = create(machine("one", 1));
  one->running().monitor->close();
  Store(around.layout).write(machine("one", 2));
  begin();
  recover();
  const InstancePtr other = registry->by_name("one");
  EXPECT_FALSE(other->active());
  EXPECT_THAT(problems, ElementsAre(HasSubstr("looked for again")));
  EXPECT_TRUE(std::filesystem::exists(one->state_path()));
  run(*loop, registry->undefine(other));
  run_until(*loop, [&] { return registry->active_count() == 1; });
  EXPECT_EQ(registry->by_name("one")->uuid(), one->uuid());
  EXPECT_EQ(registry->by_name("one")->id(), one->id());
}

TEST_F(RegistryTest, TheIdOfAMachineThatMayRunIsNotGivenAgain) {
  std::filesystem::create_directory(around.layout.state + "/domain-41-lost");
  std::filesystem::create_directory(around.layout.state + "/domain-99999999999-not-an-id");
  recover();
  EXPECT_EQ(create(machine("one", 1))->id(), 42);
}

TEST_F(RegistryTest, WhatMayRunIsNotRenamed) {
  const InstancePtr one = define(machine("one", 1));
  std::filesystem::create_symlink(one->state_path(), one->state_path());  // nobody can read it
  begin();
  recover();
  const InstancePtr now = registry->by_name("one");
  EXPECT_THAT(error_of([&] { run(*loop, registry->rename(now, "two")); }).detail(), HasSubstr("may be running"));
  EXPECT_THAT(names(), ElementsAre("one"));
}

TEST_F(RegistryTest, WhatADamagedFileIsOfIsNotStartedBesideIt) {
  const InstancePtr one = define(machine("one", 1));
  run(*loop, registry->start(one, false));
  const std::string path = one->state_path();
  const pid_t pid = one->running().process.pid;
  one->running().monitor->close();
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 20);
  begin();
  recover();
  const InstancePtr now = registry->by_name("one");
  EXPECT_EQ(now->status().state, State::nostate);
  EXPECT_THAT(problems, ElementsAre(HasSubstr("is kept aside")));
  const Error refused = error_of([&] { run(*loop, registry->start(now, false)); });
  EXPECT_THAT(refused.detail(), HasSubstr(path + ".broken"));
  EXPECT_THAT(refused.detail(), HasSubstr(std::to_string(pid)));
  kill(pid, SIGKILL);
  run_until(around.loop, [&] { return !one->active(); });
  run(*loop, registry->start(now, false));
  EXPECT_EQ(now->status().state, State::running);
  EXPECT_TRUE(std::filesystem::exists(path + ".broken"));
}

}  // namespace
}  // namespace registry
