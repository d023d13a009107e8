// Huge pages, nvram, images, vsock and cgroups: what lies in files, and is gone or restored at the end.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "driver/core/error.h"
#include "driver/host/acl.h"
#include "driver/host/cgroup.h"
#include "driver/host/hugepages.h"
#include "driver/host/images.h"
#include "driver/host/nvram.h"
#include "driver/host/spawn.h"
#include "driver/host/vsock.h"

namespace host {
namespace {

using core::ErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;

class FolderTest : public testing::Test {
 protected:
  FolderTest() {
    std::string name = testing::TempDir() + "/host_test-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~FolderTest() override { std::filesystem::remove_all(folder_); }

  std::string file(const std::string& name, const std::string& content = {}) const {
    const std::string path = folder_ + "/" + name;
    base::make_folders(base::folder_of(path), 0755);
    base::replace_file(path, content, 0644);
    return path;
  }
  static struct stat status(const std::string& path) {
    struct stat found{};
    EXPECT_EQ(::stat(path.c_str(), &found), 0) << path;
    return found;
  }

  std::string folder_;
};

core::Error error_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const core::Error& error) {
    return error;
  }
  return {ErrorCode::ok, "no error"};
}

class Hugepages : public FolderTest {
 protected:
  void fixture(const std::string& mounts) const {
    file("proc/mounts", "proc /proc proc rw 0 0\n" + mounts);
    file("proc/meminfo", "MemTotal: 1000 kB\nHugepagesize:       2048 kB\n");
  }
};

TEST_F(Hugepages, FindsTheMounts) {
  fixture(
      "hugetlbfs /dev/hugepages hugetlbfs rw,relatime,pagesize=2M 0 0\n"
      "none /mnt/huge\\0401G hugetlbfs rw,pagesize=1024M,size=1 0 0\n"
      "none /mnt/64k hugetlbfs pagesize=64K 0 0\n"
      "none /mnt/bad hugetlbfs rw,pagesize=x 0 0\n"
      "none /mnt/none hugetlbfs rw 0 0\nshort\n");
  std::vector<std::pair<std::string, std::uint64_t>> found;
  for (const HugetlbMount& mount : hugetlb_mounts(folder_)) found.emplace_back(mount.path, mount.page_kib);
  EXPECT_THAT(found, ElementsAre(std::pair("/dev/hugepages", 2048), std::pair("/mnt/huge 1G", 1048576),
                                 std::pair("/mnt/64k", 64)));
  EXPECT_EQ(default_hugepage_kib(folder_), 2048u);
}

TEST_F(Hugepages, NamesTheSizeAndWhatIsMounted) {
  fixture("");
  core::Error error = error_of([&] { HugepageFolder::make(1048576, "1-a", 0, 0, folder_); });
  EXPECT_EQ(error.code(), ErrorCode::config_unsupported);
  EXPECT_THAT(error.what(), HasSubstr("1048576 KiB: no hugetlbfs is mounted"));
  fixture("none /dev/hugepages hugetlbfs rw,pagesize=2M 0 0\n");
  error = error_of([&] { HugepageFolder::make(1048576, "1-a", 0, 0, folder_); });
  EXPECT_THAT(error.what(), HasSubstr("1048576 KiB: mounted are 2048 KiB at /dev/hugepages"));
  file("proc/meminfo", "MemTotal: 1000 kB\n");
  error = error_of([&] { HugepageFolder::make({}, "1-a", 0, 0, folder_); });
  EXPECT_THAT(error.what(), HasSubstr("has no huge pages"));
}

TEST_F(Hugepages, AFolderIsTheDomainsAndGoesWithIt) {
  fixture("none " + folder_ + "/huge hugetlbfs rw,pagesize=2M 0 0\n");
  const std::string path = folder_ + "/huge/libvirt/stratovirt/1-a";
  base::make_folders(path + "/left/over", 0755);
  const uid_t uid = ::geteuid() == 0 ? 4711 : ::geteuid();
  {
    HugepageFolder folder = HugepageFolder::make({}, "1-a", uid, ::getegid(), folder_);
    EXPECT_EQ(folder.path(), path);
    EXPECT_EQ(status(path).st_uid, uid);
    EXPECT_EQ(status(path).st_mode & 07777, 0700u);
    EXPECT_TRUE(std::filesystem::is_empty(path));
    base::replace_file(path + "/memory", "x", 0600);
    const HugepageFolder moved = std::move(folder);
    EXPECT_TRUE(std::filesystem::exists(path));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/huge/libvirt/stratovirt"));
  HugepageFolder::make(2048, "1-a", uid, ::getegid(), folder_).release();
  EXPECT_TRUE(std::filesystem::exists(path));
  HugepageFolder::adopt(path);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(Hugepages, TheRealFileSystemIsFound) {
  if (::unshare(CLONE_NEWNS) < 0) GTEST_SKIP() << "a mount namespace of its own: " << std::strerror(errno);
  ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  if (::mount("none", folder_.c_str(), "hugetlbfs", 0, "pagesize=2M") < 0)
    GTEST_SKIP() << "mounting hugetlbfs: " << std::strerror(errno);
  {
    const HugepageFolder folder = HugepageFolder::make(2048, "1-a", 0, 0);
    EXPECT_TRUE(std::filesystem::is_directory(folder.path()));
  }
  ::umount(folder_.c_str());
}

class NvramTest : public FolderTest {};

TEST_F(NvramTest, IsMadeFromItsTemplateOnceAndOnlyKeptWhenTold) {
  const std::string path = folder_ + "/a_VARS.fd", source = file("template", std::string(300000, 'v'));
  const auto prepare = [&] { return Nvram::prepare(path, source, "", ::geteuid(), ::getegid()); };
  EXPECT_TRUE(prepare().made());
  EXPECT_FALSE(std::filesystem::exists(path));  // the start failed
  {
    Nvram nvram = prepare();
    nvram.keep();
  }
  EXPECT_EQ(base::read_file(path, 300000), std::string(300000, 'v'));
  EXPECT_EQ(status(path).st_mode & 07777, 0600u);
  base::replace_file(path, "changed", 0600);
  EXPECT_FALSE(prepare().made());
  EXPECT_EQ(base::read_file(path, 100), "changed");
}

TEST_F(NvramTest, IsBackWhereTheStartFailedThatWasToMakeItAnew) {
  const std::string path = file("a_VARS.fd", "old");
  {
    const NvramAside aside(path);
    EXPECT_FALSE(std::filesystem::exists(path));
  }
  EXPECT_EQ(base::read_file(path, 100), "old");
  {
    NvramAside aside(path);
    base::replace_file(path, "new", 0600);
    aside.keep_new();
  }
  EXPECT_EQ(base::read_file(path, 100), "new");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
  NvramAside(folder_ + "/none").keep_new();
  EXPECT_THROW(NvramAside(path + "/none"), core::Error);
}

TEST_F(NvramTest, WhatIsNoFileStaysInItsPlace) {
  const std::string path = folder_ + "/device";
  std::filesystem::create_symlink("/dev/null", path);
  EXPECT_THROW(NvramAside{path}, core::Error);
  EXPECT_TRUE(std::filesystem::is_symlink(path));
}

TEST_F(NvramTest, RefusesWhatItCannotCopyAndLeavesNothing) {
  const std::string path = folder_ + "/a_VARS.fd";
  const auto refusal = [&](const std::string& source, const std::string& loader) {
    return error_of([&] { Nvram::prepare(path, source, loader, ::geteuid(), ::getegid()); });
  };
  EXPECT_EQ(refusal("", "/my/loader").code(), ErrorCode::operation_failed);
  EXPECT_THAT(refusal("", "/my/loader").what(), HasSubstr("master var store for loader: /my/loader"));
  EXPECT_EQ(refusal("/dev/zero", "").code(), ErrorCode::operation_failed);
  const std::string big = file("big");
  ASSERT_EQ(::truncate(big.c_str(), (64 << 20) + 1), 0);
  EXPECT_EQ(refusal(big, "").code(), ErrorCode::operation_failed);
  EXPECT_THROW(Nvram::prepare(path, folder_ + "/none", "", 0, 0), std::system_error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);  // big alone
}

TEST_F(NvramTest, KnowsTheFirmwareThatIsInstalled) {
  EXPECT_EQ(nvram_template("/usr/share/AAVMF/AAVMF_CODE.fd"), "/usr/share/AAVMF/AAVMF_VARS.fd");
  EXPECT_EQ(nvram_template("/usr/share/edk2/ovmf/OVMF_CODE.fd"), "/usr/share/edk2/ovmf/OVMF_VARS.fd");
  EXPECT_EQ(nvram_template("/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw"), std::nullopt);
  for (const char* folder : {"/usr/share/OVMF", "/usr/share/AAVMF"}) {
    if (!std::filesystem::exists(folder)) continue;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const std::string path = entry.path();
      if (path.find("_CODE") == path.npos) continue;
      const std::optional<std::string> variables = nvram_template(path);
      EXPECT_TRUE(variables && std::filesystem::exists(*variables)) << path;
    }
  }
}

class Images : public FolderTest {
 protected:
  ErrorCode take(const std::string& path, ImageUse use) const {
    return error_of([&] { ImageLock::take(path, use); }).code();
  }
};

TEST_F(Images, RequireNamesWhatIsWrong) {
  const std::string path = file("disk");
  require_file(path, FileKind::regular);
  require_file("/dev/null", FileKind::character);
  EXPECT_EQ(error_of([&] { require_file(path, FileKind::block); }).code(), ErrorCode::config_unsupported);
  EXPECT_EQ(error_of([&] { require_file(folder_, FileKind::regular); }).code(), ErrorCode::config_unsupported);
  EXPECT_EQ(error_of([&] { require_file("/none/x", FileKind::regular); }).what(),
            std::string("Cannot access storage file '/none/x': No such file or directory"));
}

TEST_F(Images, OwnersAreGivenAndGoBack) {
  if (::geteuid() != 0) GTEST_SKIP() << "changing owners needs root";
  const std::string a = file("a"), b = file("b");
  ASSERT_EQ(::chown(a.c_str(), 11, 12), 0);
  ASSERT_EQ(::chown(b.c_str(), 77, 78), 0);
  std::vector<FileOwner> recorded;
  {
    Ownership ownership = Ownership::record({a, b}, 77, 78);
    EXPECT_THAT(ownership.before(), ElementsAre(FileOwner{a, 11, 12}));  // b is right already
    EXPECT_EQ(status(a).st_uid, 11u);
    ownership.give();
    EXPECT_EQ(status(a).st_uid, 77u);
    EXPECT_EQ(status(a).st_gid, 78u);
    recorded = ownership.before();
  }
  EXPECT_EQ(status(a).st_uid, 11u);
  EXPECT_EQ(status(b).st_uid, 77u);

  Ownership killed = Ownership::adopt(recorded, 77, 78);
  killed.give();
  killed.release();
  EXPECT_EQ(status(a).st_uid, 77u);
  Ownership::adopt(recorded, 77, 78);
  EXPECT_EQ(status(a).st_uid, 11u);
  EXPECT_EQ(status(a).st_gid, 12u);

  {
    Ownership taken = Ownership::record({a}, 77, 78);
    taken.give();
    ASSERT_EQ(::chown(a.c_str(), 5, 5), 0);  // by an administrator meanwhile
  }
  EXPECT_EQ(status(a).st_uid, 5u);

  Ownership growing = Ownership::record({a}, 77, 78);
  growing.add(Ownership::adopt({{b, 9, 9}}, 77, 78).release());
  growing.give_back(b);
  EXPECT_EQ(status(b).st_uid, 9u);
  growing.give_back(folder_ + "/none");
  EXPECT_THAT(growing.before(), ElementsAre(FileOwner{a, 5, 5}));
  EXPECT_THROW(Ownership::record({folder_ + "/none"}, 77, 78), core::Error);
}

TEST_F(Images, OfTwoRecordsOfOneFileTheOneThatIsMeantGoesBack) {
  const std::string path = file("a");
  const FileOwner owned{path, 9, 9}, readable{path, 9, 9, 0600};
  Ownership ownership = Ownership::adopt({owned, readable}, 77, 78);
  ownership.give_back(readable);
  EXPECT_THAT(ownership.before(), ElementsAre(owned));
  ownership.give_back(readable);
  EXPECT_THAT(ownership.before(), ElementsAre(owned));
}

TEST_F(Images, OneMoreReaderOpensTheFileToNoOther) {
  const std::string path = file("a");
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  if (!allow_acl_user(path, 77)) GTEST_SKIP() << "no ACLs here: " << std::strerror(errno);
  EXPECT_EQ(status(path).st_mode & 0777, 0640u);  // the mask's
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);      // which an administrator takes away from all
  EXPECT_FALSE(allow_acl_user(path, 78));
  EXPECT_EQ(errno, EOPNOTSUPP);
  EXPECT_EQ(status(path).st_mode & 0777, 0600u);
  EXPECT_FALSE(find_acl_user(path, 78));
}

TEST_F(Images, AModeThatIsChangedMeanwhileStays) {
  const std::string path = file("a");
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  if (!allow_acl_user(path, 77)) GTEST_SKIP() << "no ACLs here: " << std::strerror(errno);
  forbid_acl_user(path, 77, 0600);
  EXPECT_EQ(status(path).st_mode & 0777, 0600u);
  ASSERT_TRUE(allow_acl_user(path, 77));
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  forbid_acl_user(path, 77, 0600);
  EXPECT_EQ(status(path).st_mode & 0777, 0604u);  // the group had nothing of its own
  EXPECT_FALSE(find_acl_user(path, 77));
}

TEST_F(Images, LocksExcludeWritersThatDoNotShare) {
  const std::string path = file("disk");
  constexpr ImageUse uses[] = {ImageUse::read_only, ImageUse::shared, ImageUse::exclusive};
  // A row is what is held, a column what comes.
  constexpr bool allowed[3][3] = {{true, true, true}, {true, true, false}, {true, false, false}};
  for (int held = 0; held < 3; ++held)
    for (int comes = 0; comes < 3; ++comes) {
      const ImageLock lock = ImageLock::take(path, uses[held]);
      EXPECT_EQ(take(path, uses[comes]), allowed[held][comes] ? ErrorCode::ok : ErrorCode::resource_busy)
          << held << " then " << comes;
    }
  EXPECT_EQ(take(path, ImageUse::exclusive), ErrorCode::ok);
  EXPECT_THAT(error_of([&] {
                const ImageLock lock = ImageLock::take(path, ImageUse::exclusive);
                ImageLock::take(path, ImageUse::exclusive);
              }).what(),
              HasSubstr("resource busy: Failed to get \"write\" lock: is another process using the image '" + path));
  EXPECT_EQ(take(folder_ + "/none", ImageUse::exclusive), ErrorCode::system_error);
}

TEST_F(Images, ALockLivesOnInTheProcessThatHasItsDescriptor) {
  const std::string path = file("disk");
  Child child;
  {
    const ImageLock lock = ImageLock::take(path, ImageUse::exclusive);
    SpawnConfig config;
    config.program = "/bin/sleep";
    config.arguments = {"100"};
    config.keep = {lock.fd()};
    child = spawn(config);
  }
  EXPECT_EQ(take(path, ImageUse::exclusive), ErrorCode::resource_busy);
  ::kill(child.pid, SIGKILL);
  reap(child);
  EXPECT_EQ(take(path, ImageUse::exclusive), ErrorCode::ok);
}

TEST_F(Images, AStratoVirtsOwnLocksGoWithOurs) {
  const std::string path = file("disk");
  const ImageLock lock = ImageLock::take(path, ImageUse::exclusive);
  // What it locks for writing: bytes 101, 102 and 202, exclusively, as a process. OFD locks of another description meet
  // ours in the same way.
  const base::UniqueFd disk(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  for (const off_t at : {101, 102, 202}) {
    struct flock wanted{};
    wanted.l_type = F_WRLCK;
    wanted.l_start = at;
    wanted.l_len = 1;
    EXPECT_EQ(::fcntl(disk.get(), F_OFD_SETLK, &wanted), 0) << at;
  }
  EXPECT_EQ(take(path, ImageUse::shared), ErrorCode::resource_busy);
  EXPECT_EQ(take(path, ImageUse::read_only), ErrorCode::ok);
}

TEST_F(Images, AndQemuExcludeEachOther) {
  const std::optional<std::string> qemu = find_program("qemu-system-x86_64");
  if (!qemu) GTEST_SKIP() << "qemu-system-x86_64 (package qemu-system-x86) is not installed";
  const std::string path = file("disk", std::string(1 << 20, '\0'));
  const auto start = [&] {
    SpawnConfig config;
    config.program = *qemu;
    config.arguments = {"-machine", "q35,accel=tcg",
                        "-m",       "16",
                        "-S",       "-nodefaults",
                        "-display", "none",
                        "-drive",   "file=" + path + ",format=raw,if=none,id=a",
                        "-device",  "virtio-blk-pci,drive=a"};
    return spawn(config);
  };
  {
    const ImageLock lock = ImageLock::take(path, ImageUse::exclusive);
    EXPECT_EQ(reap(start()), 1 << 8);  // exit status 1
  }
  const ImageLock reader = ImageLock::take(path, ImageUse::read_only);
  const Child child = start();
  // Trying to share does not disturb it while it opens the image.
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (take(path, ImageUse::shared) != ErrorCode::resource_busy && std::chrono::steady_clock::now() < limit)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(take(path, ImageUse::shared), ErrorCode::resource_busy);
  EXPECT_EQ(take(path, ImageUse::exclusive), ErrorCode::resource_busy);
  EXPECT_EQ(take(path, ImageUse::read_only), ErrorCode::ok);
  ::kill(child.pid, SIGKILL);
  reap(child);
  EXPECT_EQ(take(path, ImageUse::exclusive), ErrorCode::ok);
}

TEST(VsockTest, TakesAFreeCidOrSaysWhatIsMissing) {
  if (::access("/dev/vhost-vsock", R_OK | W_OK) < 0) {
    const int why = errno;
    const core::Error error = error_of([] { open_vsock({}); });
    EXPECT_EQ(error.code(), ErrorCode::system_error);
    EXPECT_EQ(error.errno_value(), why);
    EXPECT_THAT(error.what(), testing::StartsWith("unable to open vhost-vsock device: "));
    return;
  }
  const Vsock first = open_vsock({}), second = open_vsock({});
  EXPECT_GE(first.cid, 3u);
  EXPECT_GT(second.cid, first.cid);
  EXPECT_EQ(error_of([&] { open_vsock(first.cid); }).errno_value(), EADDRINUSE);
}

class CgroupTest : public FolderTest {};

TEST_F(CgroupTest, IsEmptyWhereTheHostHasNone) {
  const Cgroup cgroup = Cgroup::make("stratovirt-1-a", folder_);
  EXPECT_THAT(cgroup.folders(), ElementsAre());
  EXPECT_TRUE(cgroup.join_fds().empty());
  EXPECT_EQ(cgroup.usage_ns(), std::nullopt);
  EXPECT_FALSE(cgroup.set_shares(1024));
}

TEST_F(CgroupTest, IsBelowTheDaemonsOwnInEveryHierarchyThatCounts) {
  file("proc/self/mounts",
       "cgroup2 /cg/unified cgroup2 rw 0 0\ncgroup /cg/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n"
       "cgroup /cg/memory cgroup rw,memory 0 0\n");
  file("proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/own\n0::/own2\n");
  base::make_folders(folder_ + "/cg/cpu,cpuacct/own", 0755);
  base::make_folders(folder_ + "/cg/unified/own2", 0755);
  const std::string path = folder_ + "/cg/cpu,cpuacct/own/a";
  {
    Cgroup cgroup = Cgroup::make("a", folder_);
    EXPECT_THAT(cgroup.folders(), ElementsAre(path));
    file("cg/cpu,cpuacct/own/a/cpuacct.usage", "12345\n");
    file("cg/cpu,cpuacct/own/a/cpu.shares", "1024\n");
    EXPECT_EQ(cgroup.usage_ns(), 12345u);
    EXPECT_TRUE(cgroup.set_shares(2048));
    EXPECT_EQ(base::read_file(path + "/cpu.shares", 100), "2048\n");
    std::filesystem::remove(path + "/cpuacct.usage");  // the kernel's files need no removal
    std::filesystem::remove(path + "/cpu.shares");
  }
  EXPECT_FALSE(std::filesystem::exists(path));

  file("proc/self/cgroup", "0::/own2\n");
  const Cgroup unified = Cgroup::make("a", folder_);
  EXPECT_THAT(unified.folders(), ElementsAre(folder_ + "/cg/unified/own2/a"));
  file("cg/unified/own2/a/cpu.stat", "usage_usec 17\nuser_usec 3\n");
  EXPECT_EQ(unified.usage_ns(), 17000u);
}

TEST_F(CgroupTest, AProcessJoinsAndItsTimeIsCounted) {
  const std::string name = "stratovirt-test-" + std::to_string(::getpid());
  std::vector<std::string> folders;
  {
    Cgroup cgroup = Cgroup::make(name);
    if (cgroup.folders().empty()) GTEST_SKIP() << "this host lets us make no control group of cpuacct or version 2";
    folders = cgroup.folders();
    std::vector<base::UniqueFd> fds = cgroup.join_fds();
    EXPECT_EQ(fds.size(), folders.size());
    SpawnConfig config;
    config.program = "/bin/sleep";
    config.arguments = {"100"};
    for (const base::UniqueFd& fd : fds) config.cgroup.push_back(fd.get());
    const Child child = spawn(config);
    for (const std::string& folder : folders)
      EXPECT_EQ(base::read_file(folder + "/cgroup.procs", 100), std::to_string(child.pid) + "\n");
    EXPECT_GT(cgroup.usage_ns().value_or(0), 0u);
    ::kill(child.pid, SIGKILL);
    reap(child);
    Cgroup::adopt(cgroup.release());
  }
  for (const std::string& folder : folders) EXPECT_FALSE(std::filesystem::exists(folder));
}

}  // namespace
}  // namespace host
