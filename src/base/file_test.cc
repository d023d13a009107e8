#include "base/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace base {
namespace {

class FileTest : public testing::Test {
 protected:
  FileTest() {
    std::string name = testing::TempDir() + "/file_test-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~FileTest() override { std::filesystem::remove_all(folder_); }

  mode_t mode(const std::string& path) const {
    struct stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    return status.st_mode & 07777;
  }
  std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }

  std::string folder_;
};

int errno_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const std::system_error& error) {
    return error.code().value();
  }
  return 0;
}

TEST_F(FileTest, ReplaceGivesContentAndModeAndLeavesNothingElse) {
  const std::string path = folder_ + "/a";
  replace_file(path, "one", 0640);
  EXPECT_EQ(read_file(path, 3), "one");
  EXPECT_EQ(mode(path), 0640u);
  replace_file(path, std::string(100000, 'x'), 0600);
  EXPECT_EQ(read_file(path, 100000), std::string(100000, 'x'));
  EXPECT_EQ(mode(path), 0600u);
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileTest, ReplaceThatFailsKeepsTheOldFileAndNoTemporary) {
  const std::string path = folder_ + "/a";
  std::filesystem::create_directory(path);
  EXPECT_EQ(errno_of([&] { replace_file(path, "one", 0600); }), EINVAL);
  EXPECT_TRUE(std::filesystem::is_directory(path));
  EXPECT_EQ(entries(), 1u);
  EXPECT_EQ(errno_of([&] { replace_file(folder_ + "/missing/a", "one", 0600); }), ENOENT);
}

TEST_F(FileTest, WhatIsNoRegularFileIsNotReplaced) {
  const std::string fifo = folder_ + "/fifo", link = folder_ + "/link", other = folder_ + "/other";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  replace_file(other, "other", 0600);
  ASSERT_EQ(::symlink(other.c_str(), link.c_str()), 0);
  for (const std::string& path : {fifo, link}) {
    EXPECT_EQ(errno_of([&] { replace_file(path, "one", 0600); }), EINVAL);
    EXPECT_EQ(errno_of([&] { open_regular(path, O_RDWR | O_NOFOLLOW); }), path == fifo ? EINVAL : ELOOP);
  }
  EXPECT_TRUE(std::filesystem::is_fifo(fifo));
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(read_all(open_regular(link, O_RDONLY).get(), 10, link), "other");
  EXPECT_EQ(entries(), 3u);
}

TEST_F(FileTest, WhatDoesNotFitIsNotOpened) {
  const std::string fifo = folder_ + "/fifo", link = folder_ + "/link";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  ASSERT_EQ(::symlink((folder_ + "/none").c_str(), link.c_str()), 0);
  const UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  ASSERT_GE(::inotify_add_watch(watch.get(), fifo.c_str(), IN_OPEN), 0);
  ASSERT_GE(::inotify_add_watch(watch.get(), "/dev/full", IN_OPEN), 0);
  for (const std::string& path : {fifo, std::string("/dev/full")}) {
    EXPECT_EQ(errno_of([&] { open_regular(path, O_RDWR); }), EINVAL);
    EXPECT_EQ(errno_of([&] { open_regular(path, O_RDWR | O_CREAT, 0600); }), EINVAL);
    EXPECT_EQ(errno_of([&] { open_disk(path, O_RDWR); }), EINVAL);
  }
  std::array<char, 4096> events{};
  EXPECT_EQ(::read(watch.get(), events.data(), events.size()), -1);
  EXPECT_EQ(errno, EAGAIN) << "one was opened";
  EXPECT_EQ(errno_of([&] { open_regular(link, O_RDWR | O_CREAT, 0600); }), ENOENT) << "a link is no place for a file";
  EXPECT_EQ(entries(), 2u);
}

TEST_F(FileTest, ARegularFileIsMadeOrTaken) {
  const std::string path = folder_ + "/a";
  EXPECT_EQ(errno_of([&] { open_regular(path, O_RDWR); }), ENOENT);
  write_all(open_regular(path, O_RDWR | O_CREAT, 0600).get(), "one", path);
  EXPECT_EQ(mode(path), 0600u);
  EXPECT_EQ(read_all(open_regular(path, O_RDWR | O_CREAT, 0600).get(), 10, path), "one");
  write_all(open_regular(path, O_WRONLY | O_NOFOLLOW).get(), "two", path);
  EXPECT_EQ(read_all(open_disk(path, O_RDONLY).get(), 10, path), "two");
}

/// As NFS and FUSE answer it.
void refuse_renameat2() {
  sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{.len = std::size(rules), .filter = rules};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) throw_errno(errno, "seccomp");
}

TEST_F(FileTest, NothingIsReplacedWhereRenameDoesNotKnowTheFlag) {
  const std::string path = folder_ + "/a";
  const auto put = [&](const char* text) {
    TemporaryFile file(folder_, 0644);
    write_all(file.fd(), text, file.path());
    file.commit(path, false);
  };
  EXPECT_EXIT(
      {
        refuse_renameat2();
        put("one");
        std::exit(errno_of([&] { put("two"); }));
      },
      testing::ExitedWithCode(EEXIST), "");
  EXPECT_EQ(read_file(path, 10), "one");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileTest, ReadIsBounded) {
  const std::string path = folder_ + "/a";
  for (const std::size_t size : {0u, 1u, 16384u, 16385u, 50000u}) {
    replace_file(path, std::string(size, 'y'), 0600);
    EXPECT_EQ(read_file(path, size).size(), size);
    EXPECT_EQ(read_file(path, 1 << 20).size(), size);
    if (size > 0) {
      EXPECT_EQ(errno_of([&] { read_file(path, size - 1); }), EFBIG) << size;
    }
  }
  EXPECT_GT(read_file("/proc/self/status", 1 << 20).size(), 100u);  // tells no size beforehand
  EXPECT_EQ(errno_of([] { read_file("/dev/zero", 100); }), EFBIG);
  EXPECT_EQ(errno_of([&] { read_file(folder_, 100); }), EISDIR);
}

TEST_F(FileTest, AMissingFileIsNothingOrAnErrorThatNamesIt) {
  const std::string path = folder_ + "/missing";
  EXPECT_EQ(read_file_if_exists(path, 10), std::nullopt);
  try {
    read_file(path, 10);
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_EQ(std::string(error.what()), "cannot open '" + path + "': No such file or directory");
  }
  EXPECT_FALSE(remove_file(path));
  replace_file(path, "", 0600);
  EXPECT_EQ(read_file_if_exists(path, 10), "");
  EXPECT_TRUE(remove_file(path));
  EXPECT_EQ(entries(), 0u);
}

TEST_F(FileTest, ATemporaryIsGoneUnlessCommitted) {
  {
    TemporaryFile file(folder_, 0600);
    TemporaryFile moved(std::move(file));
    write_all(moved.fd(), "x", moved.path());
    EXPECT_EQ(entries(), 1u);
  }
  EXPECT_EQ(entries(), 0u);
  TemporaryFile first(folder_, 0644);
  first.commit(folder_ + "/a", false);
  TemporaryFile second(folder_, 0644);
  EXPECT_EQ(errno_of([&] { second.commit(folder_ + "/a", false); }), EEXIST);
}

TEST_F(FileTest, WhatAKilledWriterLeftIsRemoved) {
  replace_file(folder_ + "/a", "one", 0600);
  replace_file(folder_ + "/.new-ab.xml", "two", 0600);
  replace_file(folder_ + "/.new-abcdef", "half", 0600);
  remove_temporaries(folder_);
  EXPECT_EQ(read_file(folder_ + "/a", 3), "one");
  EXPECT_EQ(read_file(folder_ + "/.new-ab.xml", 3), "two");
  EXPECT_EQ(entries(), 2u);
}

TEST_F(FileTest, MakesFoldersWithTheModeWhateverTheUmask) {
  const mode_t before = ::umask(0077);
  make_folders(folder_ + "/a/b/c", 0711);
  ::umask(before);
  EXPECT_EQ(mode(folder_ + "/a"), 0711u);
  EXPECT_EQ(mode(folder_ + "/a/b/c"), 0711u);
  make_folders(folder_ + "/a/b", 0700);
  EXPECT_EQ(mode(folder_ + "/a/b"), 0711u);
  replace_file(folder_ + "/file", "", 0600);
  EXPECT_EQ(errno_of([&] { make_folders(folder_ + "/file", 0700); }), ENOTDIR);
  EXPECT_EQ(errno_of([&] { make_folders(folder_ + "/file/below", 0700); }), ENOTDIR);
}

TEST_F(FileTest, ALinkThatLeadsNowhereIsNoFolder) {
  std::filesystem::create_symlink("nowhere", folder_ + "/link");
  EXPECT_NE(errno_of([&] { make_folders(folder_ + "/link", 0700); }), 0);
}

TEST(FolderOf, IsTheFolderAPathIsIn) {
  EXPECT_EQ(folder_of("/a/b"), "/a");
  EXPECT_EQ(folder_of("/a/b/"), "/a");
  EXPECT_EQ(folder_of("/a//b"), "/a");
  EXPECT_EQ(folder_of("/b"), "/");
  EXPECT_EQ(folder_of("b"), ".");
  EXPECT_EQ(folder_of("/"), "/");
  EXPECT_EQ(folder_of(""), ".");
}

}  // namespace
}  // namespace base
