#include "driver/instance/character.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

namespace instance {
namespace {

TEST(CharacterFiles, AreMadeWhereThereIsNothing) {
  const std::string folder = testing::TempDir() + "character_test." + std::to_string(::getpid());
  std::filesystem::create_directory(folder);
  const std::string fifo = folder + "/fifo", file = folder + "/file";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);  // which nobody reads yet
  domain::Domain domain;
  for (const std::string& path : {fifo, file}) {
    domain.consoles.emplace_back().source.type = domain::CharacterSource::Type::file;
    domain.consoles.back().source.path = path;
  }
  EXPECT_EQ(make_character_files(domain), (std::vector{fifo, file}));
  EXPECT_TRUE(std::filesystem::is_fifo(fifo));
  EXPECT_TRUE(std::filesystem::is_regular_file(file));
  domain.consoles.back().source.path = folder + "/none/file";
  EXPECT_THROW(make_character_files(domain), std::system_error);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace instance
