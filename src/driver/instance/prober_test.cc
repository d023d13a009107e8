#include "driver/instance/prober.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <vector>

#include "base/file.h"
#include "driver/instance/environment_for_test.h"
#include "driver/instance/probe_cache.h"

namespace instance {
namespace {

using core::Error;
using core::ErrorCode;
using test::error_of;
using test::run;
using testing::HasSubstr;

class ProberTest : public testing::Test {
 protected:
  /// A program that notes that it was asked.
  std::string program(const std::string& then = "exec " TEST_DATA_DIR "/instance/emulator \"$@\"",
                      const std::string& name = "emulator") {
    const std::string path = around.root.path + "/" + name;
    std::ofstream(path + ".new") << "#!/bin/sh\necho x >>" << count_path << "\n" << then << "\n";
    chmod((path + ".new").c_str(), 0755);
    std::filesystem::rename(path + ".new", path);
    return path;
  }
  std::size_t times_run() const {
    return std::filesystem::exists(count_path) ? std::filesystem::file_size(count_path) / 2 : 0;
  }
  std::string ask(Prober& prober, const std::string& path) {
    return emulator::to_string(run(around.loop, prober.ask(path)).version);
  }
  std::string cache_file() const {
    for (const auto& entry : std::filesystem::directory_iterator(around.layout.cache)) return entry.path();
    return {};
  }
  Prober fresh(std::chrono::milliseconds limit = test::patience) {
    return {around.loop, around.layout, around.settings,
            [this](const std::string& problem) { problems.push_back(problem); }, limit};
  }

  test::Surroundings around;
  const std::string count_path = around.root.path + "/count";
  std::vector<std::string> problems;
};

TEST_F(ProberTest, AnAnswerIsKeptUntilTheProgramChanges) {
  Prober prober = fresh();
  const std::string path = program();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(prober, path), "7.2.0");
  EXPECT_EQ(times_run(), 2U);  // its version, its monitor
  program();
  ask(prober, path);
  EXPECT_EQ(times_run(), 4U);
  EXPECT_TRUE(problems.empty());
}

TEST_F(ProberTest, ALaterDaemonFindsItInAFile) {
  const std::string path = program();
  Prober first = fresh();
  const auto asked = run(around.loop, first.ask(path));
  Prober second = fresh();
  EXPECT_EQ(run(around.loop, second.ask(path)), asked);
  EXPECT_EQ(times_run(), 2U);
  program();
  Prober third = fresh();
  ask(third, path);
  EXPECT_EQ(times_run(), 4U);
}

TEST_F(ProberTest, AFileThatIsNotOfThisProgramAndFormatIsWrittenAnew) {
  const std::string path = program();
  {
    Prober prober = fresh();
    ask(prober, path);
  }
  const std::string file = cache_file();
  const std::string good = base::read_file(file, 1 << 20);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  const std::string bad[] = {"",
                             "garbage",
                             good.substr(0, good.size() / 2),
                             "[]",
                             "{\"of\": 1}",
                             std::string(1 << 20, '['),
                             std::string(5 << 20, ' '),
                             with("\"format\":1", "\"format\":0"),
                             with("\"format\":1", "\"format\":2"),
                             with("\"program\":\"/", "\"program\":\"//"),
                             with("\"mtime\":", "\"mtime\":1"),
                             with("\"ctime\":", "\"ctime\":1"),
                             with("\"size\":", "\"size\":1"),
                             with("\\\"kvm\\\":true", "\\\"kvm\\\":17"),
                             with("QEMU emulator version", "Bochs")};
  std::size_t before = times_run();
  for (const std::string& text : bad) {
    std::ofstream(file, std::ios::binary) << text;
    Prober prober = fresh();
    EXPECT_EQ(ask(prober, path), "7.2.0");
    EXPECT_EQ(times_run(), before + 2) << text.substr(0, 100);
    before = times_run();
    EXPECT_EQ(base::read_file(file, 1 << 20), good);
  }
  EXPECT_TRUE(problems.empty());
}

TEST_F(ProberTest, AFailureIsToldAndNotTriedAgainAtOnce) {
  Prober prober = fresh();
  const std::string path = program("echo no such machine; exit 1");
  for (int i = 0; i < 3; ++i) {
    const Error error = error_of([&] { ask(prober, path); });
    EXPECT_EQ(error.code(), ErrorCode::internal_error);
    EXPECT_THAT(error.detail(), HasSubstr("emulator '" + path + "'"));
  }
  EXPECT_EQ(times_run(), 1U);
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_THAT(problems[0], HasSubstr(path));
  program();  // one that was mended is asked at once
  EXPECT_EQ(ask(prober, path), "7.2.0");
}

TEST_F(ProberTest, SeveralWhoAskWaitForOneAnswer) {
  Prober prober = fresh(std::chrono::milliseconds(1500));
  const std::string good = program(), bad = program("exec sleep 1000", "hangs");
  int answered = 0, refused = 0;
  constexpr int many = 30;
  for (int i = 0; i < many; ++i) {
    for (const std::string& path : {good, bad}) {
      around.loop.spawn([](Prober* whom, std::string of, int* yes, int* no) -> core::Task<void> {
        try {
          co_await whom->ask(of);
          ++*yes;
        } catch (const Error&) {
          ++*no;
        }
      }(&prober, path, &answered, &refused));
    }
  }
  test::run_until(around.loop, [&] { return answered == many && refused == many; });
  EXPECT_EQ(times_run(), 3U);
  EXPECT_EQ(problems.size(), 1U);
}

TEST_F(ProberTest, WhatIsNoProgramIsRefused) {
  Prober prober = fresh();
  for (const std::string& path : {around.root.path + "/none", std::string("relative"), std::string()})
    EXPECT_EQ(error_of([&] { ask(prober, path); }).code(), ErrorCode::system_error) << path;
  EXPECT_TRUE(problems.empty());
}

TEST_F(ProberTest, ProgramsAreForgottenBeforeThereAreTooMany) {
  const FileStamp stamp;
  for (std::size_t i = 0; i < Prober::most_programs + 3; ++i)
    write_cache(around.layout.cache, "/bin/" + std::to_string(i), stamp, {});
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(around.layout.cache)) ++files;
  EXPECT_EQ(files, 3U);
  EXPECT_TRUE(read_cache(around.layout.cache, "/bin/" + std::to_string(Prober::most_programs + 2), stamp));
}

TEST_F(ProberTest, ACacheThatCannotBeWrittenIsToldOf) {
  std::filesystem::remove_all(around.layout.cache);
  std::ofstream(around.layout.cache) << "a file";
  Prober prober = fresh();
  EXPECT_EQ(ask(prober, program()), "7.2.0");
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_THAT(problems[0], HasSubstr("is not kept"));
}

}  // namespace
}  // namespace instance
