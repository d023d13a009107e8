#include "driver/host/image_size.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "driver/core/error.h"

namespace {

class ImageSize : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string file(const std::string& bytes) {
    const std::string path = folder_ + "/image";
    std::ofstream(path) << bytes;
    return path;
  }
  const std::string folder_ = testing::TempDir() + "image_size_" + std::to_string(::getpid());
};

TEST_F(ImageSize, OfASparseRawFileIsItsEnd) {
  const std::string path = file("");
  std::filesystem::resize_file(path, 1 << 20);
  const auto size = host::image_size(path, false).value();
  EXPECT_EQ(size.capacity, 1u << 20);
  EXPECT_EQ(size.physical, 1u << 20);
  EXPECT_EQ(size.allocation, 0u);
  EXPECT_FALSE(size.block_device);
}

TEST_F(ImageSize, OfAQcow2StandsInItsHeader) {
  std::string header = "QFI\xfb";
  header.resize(24);
  header += std::string("\0\0\0\1\0\0\0\0", 8);
  const auto size = host::image_size(file(header), true).value();
  EXPECT_EQ(size.capacity, std::uint64_t{1} << 32);
  EXPECT_EQ(size.physical, 32u);
}

TEST_F(ImageSize, RefusesWhatIsNoImage) {
  EXPECT_FALSE(host::image_size(folder_ + "/none", false));
  EXPECT_FALSE(host::image_size(folder_, false));
  EXPECT_FALSE(host::image_size(file("QFI\xfb"), true));  // cut short
  EXPECT_FALSE(host::image_size(file(std::string(64, 'x')), true));
  const std::string fifo = folder_ + "/fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_FALSE(host::image_size(fifo, true));  // and does not wait for a writer
}

}  // namespace
