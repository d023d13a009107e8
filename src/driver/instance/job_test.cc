#include "driver/instance/job.h"

#include "driver/instance/run_for_test.h"

namespace instance {
namespace {

using core::Error;
using core::ErrorCode;
using core::Task;
using std::chrono::milliseconds;
using test::run;
using test::run_until;

class JobTest : public testing::Test {
 protected:
  /// Waits for the job, notes it, and holds it until let_go().
  void begin(Job& job, const std::string& name) {
    loop.spawn([](JobTest* test, Job* wanted, std::string who) -> Task<void> {
      try {
        const Job::Guard guard = co_await wanted->acquire(who);
        test->log.push_back(who + " has it");
        while (!test->done.contains(who)) co_await test->change.wait();
      } catch (const Error& error) {
        test->log.push_back(who + ": " + std::to_string(static_cast<int>(error.code())) + " " + error.detail());
      }
    }(this, &job, name));
    settle();
  }
  void let_go(const std::string& name) {
    done.insert(name);
    change.notify();
    settle();
  }
  void settle() {
    loop.context().restart();
    loop.context().poll();
  }

  core::Loop loop;
  core::Signal change{loop.context()};
  std::set<std::string> done;
  std::vector<std::string> log;
};

TEST_F(JobTest, OneHoldsItAndTheOthersFollowInTheOrderTheyCame) {
  Job job;
  for (const char* name : {"a", "b", "c"}) begin(job, name);
  EXPECT_EQ(log, (std::vector<std::string>{"a has it"}));
  let_go("a");
  begin(job, "d");
  let_go("b");
  let_go("c");
  EXPECT_EQ(log, (std::vector<std::string>{"a has it", "b has it", "c has it", "d has it"}));
  EXPECT_TRUE(job.held());
  let_go("d");
  EXPECT_FALSE(job.held());
}

TEST_F(JobTest, AWaiterGivesUpNamingTheHolder) {
  Job job(0, milliseconds(50));
  begin(job, "virDomainSuspend");
  begin(job, "virDomainReset");
  run_until(loop, [&] { return log.size() == 2; });
  EXPECT_EQ(log[1], "virDomainReset: 68 cannot acquire state change lock (held by monitor=virDomainSuspend)");
  begin(job, "virDomainDestroy");  // one that gave up is not in the way
  let_go("virDomainSuspend");
  EXPECT_EQ(log.back(), "virDomainDestroy has it");
  let_go("virDomainDestroy");
}

TEST_F(JobTest, TheHolderNamedIsTheOneThatHasIt) {
  Job job(0, milliseconds(50));
  begin(job, "first");
  begin(job, "second");
  let_go("first");
  begin(job, "third");
  run_until(loop, [&] { return log.size() == 3; });
  EXPECT_EQ(log[2], "third: 68 cannot acquire state change lock (held by monitor=second)");
  let_go("second");
}

TEST_F(JobTest, TheQueueIsBounded) {
  Job job(2);
  for (const char* name : {"a", "b", "c"}) begin(job, name);
  EXPECT_EQ(log.back(), "c: 9 cannot acquire state change lock due to max_queued limit");
  let_go("a");
  begin(job, "d");
  let_go("b");
  EXPECT_EQ(log.back(), "d has it");
  let_go("d");

  Job unlimited(0);
  for (std::size_t i = 0; i <= Job::most_queued; ++i) begin(unlimited, "x" + std::to_string(i));
  EXPECT_EQ(log.back(), "x1024: 9 cannot acquire state change lock due to max_queued limit");
  for (std::size_t i = 0; i < Job::most_queued; ++i) done.insert("x" + std::to_string(i));
  change.notify();
  run_until(loop, [&] { return !unlimited.held(); });
  EXPECT_EQ(log.back(), "x1023 has it");
}

TEST_F(JobTest, AHolderThatThrowsLetsGo) {
  Job job;
  EXPECT_THROW(run(loop,
                   [](Job* wanted) -> Task<void> {
                     const Job::Guard guard = co_await wanted->acquire("a");
                     throw Error(ErrorCode::internal_error, "no");
                   }(&job)),
               Error);
  EXPECT_FALSE(job.held());
}

}  // namespace
}  // namespace instance
