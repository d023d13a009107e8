#include "driver/host/facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/file.h"
#include "driver/core/error.h"
#include "driver/core/uuid.h"
#include "driver/core/xml.h"
#include "driver/host/process_stats.h"

namespace host {
namespace {

using testing::ElementsAre;
using testing::Optional;

constexpr std::uint64_t tick = 10'000'000;  // ns: USER_HZ is 100 on every Linux we run on

/// A host of files: two cells, each a socket of two cores with two threads; processor 7 is offline.
class FactsTest : public testing::Test {
 protected:
  FactsTest() {
    std::string name = testing::TempDir() + "/facts_test-XXXXXX";
    root_ = ::mkdtemp(name.data());
    file("proc/meminfo", "MemTotal: 8000000 kB\nMemFree: 3000000 kB\nBuffers: 1000 kB\nCached: 2000 kB\n");
    file("proc/cpuinfo",
         "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\nmodel name\t: Xeon (R) X: 3\n"
         "stepping\t: 7\nmicrocode\t: 0x5003102\ncpu MHz\t\t: 2693.671\n"
         "flags\t\t: fpu sse4_2 avx512_bf16 pclmulqdq rep_good constant_tsc nonstop_tsc lahf_lm tsc_deadline_timer\n"
         "\nprocessor\t: 1\nmodel\t\t: 99\n");
    file("proc/stat", "cpu  10 2 30 400 5 6 7 0 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu3 1 1 1 1\nintr 5 0\nctxt 99\n");
    file("sys/devices/system/cpu/present", "0-7\n");
    file("sys/devices/system/cpu/online", "0-6\n");
    file("sys/devices/system/node/online", "0,2\n");
    for (int cpu = 0; cpu < 8; ++cpu) {
      const std::string folder = "sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
      file(folder + "physical_package_id", std::to_string(cpu / 4) + "\n");
      file(folder + "die_id", "0\n");
      file(folder + "core_id", std::to_string(cpu / 2 % 2) + "\n");
      file(folder + "thread_siblings_list", std::to_string(cpu / 2 * 2) + "-" + std::to_string(cpu / 2 * 2 + 1) + "\n");
    }
    node(0, "0-3", "10 21");
    node(2, "4-6", "21 10");
  }
  ~FactsTest() override { std::filesystem::remove_all(root_); }

  void file(const std::string& name, const std::string& content) const {
    const std::string path = root_ + "/" + name;
    base::make_folders(base::folder_of(path), 0755);
    base::replace_file(path, content, 0644);
  }
  void node(int id, const std::string& cpus, const std::string& distances) const {
    const std::string number = std::to_string(id), folder = "sys/devices/system/node/node" + number + "/";
    file(folder + "cpulist", cpus + "\n");
    file(folder + "distance", distances + "\n");
    file(folder + "meminfo", "Node " + number + " MemTotal: 4000000 kB\nNode " + number + " MemFree: 1500000 kB\n");
    file(folder + "hugepages/hugepages-2048kB/nr_hugepages", "10\n");
    file(folder + "hugepages/hugepages-1048576kB/nr_hugepages", "1\n");
  }

  std::string root_;
};

TEST_F(FactsTest, NodeInfoCountsTheTopology) {
  NodeInfo info = node_info(root_);
  EXPECT_EQ(info.memory_kib, 8000000u);
  EXPECT_EQ(info.mhz, 2693u);
  EXPECT_EQ(info.cpus, 7u);
  // Uneven: 2 cells of 1 socket, 2 cores, 2 threads would be 8.
  EXPECT_THAT((std::vector{info.nodes, info.sockets, info.cores, info.threads}), ElementsAre(1, 1, 7, 1));
  file("sys/devices/system/cpu/online", "0-7\n");
  node(2, "4-7", "21 10");
  info = node_info(root_);
  EXPECT_THAT((std::vector{info.nodes, info.sockets, info.cores, info.threads}), ElementsAre(2, 1, 2, 2));
}

TEST_F(FactsTest, CpusAndTheirTimes) {
  const CpuMap map = cpu_map(root_);
  EXPECT_EQ(map.present, 8u);
  EXPECT_THAT(map.online, ElementsAre(0, 1, 2, 3, 4, 5, 6));
  const CpuTimes times = cpu_times(root_);
  EXPECT_EQ(times.total.kernel, 43 * tick);
  EXPECT_EQ(times.total.user, 12 * tick);
  EXPECT_EQ(times.total.idle, 400 * tick);
  EXPECT_EQ(times.total.iowait, 5 * tick);
  ASSERT_EQ(times.cpus.size(), 2u);
  EXPECT_EQ(times.cpus.at(0).kernel, 16 * tick);
  EXPECT_EQ(times.cpus.at(3).iowait, 0u);
}

TEST_F(FactsTest, MemoryOfHostAndCells) {
  const MemoryStatistics host = memory_statistics(root_);
  EXPECT_EQ(host.free, 3000000u);
  EXPECT_THAT(host.buffers, Optional(1000u));
  EXPECT_THAT(host.cached, Optional(2000u));
  EXPECT_EQ(cell_memory_statistics(2, root_)->free, 1500000u);
  EXPECT_FALSE(cell_memory_statistics(2, root_)->buffers);
  EXPECT_FALSE(cell_memory_statistics(1, root_));
}

TEST_F(FactsTest, Cells) {
  const std::vector<Cell> found = cells(root_);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[1].id, 2u);
  EXPECT_EQ(found[1].memory_kib, 4000000u);
  EXPECT_THAT(found[1].distances, ElementsAre(std::pair(0, 21), std::pair(2, 10)));
  ASSERT_EQ(found[1].cpus.size(), 3u);
  EXPECT_EQ(found[1].cpus[1].id, 5u);
  EXPECT_EQ(found[1].cpus[1].socket, 1u);
  EXPECT_EQ(found[1].cpus[1].siblings, "4-5");
  ASSERT_EQ(found[1].pages.size(), 3u);
  EXPECT_EQ(found[1].pages[0].size_kib, static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024);
  EXPECT_EQ(found[1].pages[0].count * found[1].pages[0].size_kib, 4000000u - 20480 - 1048576);
  EXPECT_EQ(found[1].pages[1].size_kib, 2048u);
  EXPECT_EQ(found[1].pages[1].count, 10u);

  std::filesystem::remove_all(root_ + "/sys/devices/system/node");
  const std::vector<Cell> one = cells(root_);
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].memory_kib, 8000000u);
  EXPECT_EQ(one[0].cpus.size(), 7u);
  EXPECT_EQ(cell_memory_statistics(0, root_)->total, 8000000u);
}

TEST_F(FactsTest, TheProcessorUnderLibvirtsNames) {
  const CpuModel cpu = cpu_model(root_);
  EXPECT_EQ(cpu.arch, "x86_64");
  EXPECT_EQ(cpu.name, "Xeon (R) X: 3");
  EXPECT_EQ(cpu.vendor, "Intel");
  EXPECT_EQ(cpu.family, 6u);
  EXPECT_EQ(cpu.model, 85u);
  EXPECT_EQ(cpu.stepping, 7u);
  EXPECT_THAT(cpu.microcode, Optional(0x5003102u));
  EXPECT_THAT(cpu.features,
              ElementsAre("avx512-bf16", "fpu", "invtsc", "lahf_lm", "pclmuldq", "sse4.2", "tsc-deadline"));

  file("proc/cpuinfo", "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x48\n");
  const CpuModel arm = cpu_model(root_);
  EXPECT_EQ(arm.arch, "aarch64");
  EXPECT_EQ(arm.vendor, "HiSilicon");
  EXPECT_THAT(arm.features, ElementsAre("asimd", "fp"));
  EXPECT_EQ(node_info(root_).mhz, 50u);
}

TEST_F(FactsTest, HostUuidComesFromTheFirmwareElseTheMachineId) {
  EXPECT_EQ(host_uuid(root_), std::nullopt);
  file("etc/machine-id", "3d1219c7c4c5404aaa1f6d2a48adfda4\n");
  EXPECT_EQ(host_uuid(root_), "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4");
  file("sys/class/dmi/id/product_uuid", "ffffffff-ffff-ffff-ffff-ffffffffffff\n");
  EXPECT_EQ(host_uuid(root_), "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4");
  file("sys/class/dmi/id/product_uuid", "12345678-1234-1234-1234-123456789ABC\n");
  EXPECT_EQ(host_uuid(root_), "12345678-1234-1234-1234-123456789abc");
}

TEST_F(FactsTest, SysinfoIsXmlWhateverTheFirmwareSays) {
  try {
    sysinfo_xml(root_);
    FAIL();
  } catch (const core::Error& error) {
    EXPECT_EQ(error.code(), core::ErrorCode::config_unsupported);
    EXPECT_STREQ(error.what(), "unsupported configuration: Host SMBIOS information is not available");
  }
  file("sys/class/dmi/id/bios_vendor", "A & <B>\n");
  file("sys/class/dmi/id/sys_vendor", "  Maker  \n");
  file("sys/class/dmi/id/product_name", "   \n");
  file("sys/class/dmi/id/board_name", "b\x01\xff\n");
  const std::string xml = sysinfo_xml(root_);
  const core::XmlDocument document(xml);
  EXPECT_EQ(document.root().attribute("type"), "smbios");
  EXPECT_EQ(document.root().child("bios")->child("entry")->text(), "A & <B>");
  EXPECT_EQ(document.root().child("system")->children("entry").size(), 1u);
  EXPECT_EQ(document.root().child("system")->child("entry")->text(), "Maker");
  EXPECT_FALSE(document.root().child("chassis"));
}

TEST_F(FactsTest, SaysWhyThereIsNoKvm) {
  EXPECT_EQ(kvm(root_).reason, root_ + "/dev/kvm: No such file or directory");
  file("dev/kvm", "");
  EXPECT_FALSE(kvm(root_).available);
  EXPECT_THAT(kvm(root_).reason, testing::StartsWith(root_ + "/dev/kvm is no KVM: "));
  file("sys/module/kvm_pvm/x", "");
  EXPECT_THAT(kvm(root_).reason, testing::HasSubstr("PVM"));
  EXPECT_EQ(vhost_net(root_).reason, root_ + "/dev/vhost-net: No such file or directory");
  file("dev/vhost-vsock", "");
  EXPECT_TRUE(vhost_vsock(root_).available);
}

TEST_F(FactsTest, BrokenFilesAreErrorsNotCrashes) {
  file("sys/devices/system/cpu/online", "0-\n");
  EXPECT_THROW(cpu_map(root_), core::Error);
  file("proc/meminfo", "MemTotal: x kB\n");
  EXPECT_THROW(memory_statistics(root_), core::Error);
  file("proc/stat", "\n\ncpu\ncpux 1 2 3 4 5\n");
  EXPECT_TRUE(cpu_times(root_).cpus.empty());
  EXPECT_THROW(cpu_times(root_ + "/none"), core::Error);
}

TEST(ParseList, ReadsTheKernelsLists) {
  EXPECT_THAT(parse_list("0-3,8\n"), Optional(ElementsAre(0, 1, 2, 3, 8)));
  EXPECT_THAT(parse_list("5,1"), Optional(ElementsAre(1, 5)));
  EXPECT_THAT(parse_list(""), Optional(ElementsAre()));
  for (const char* text : {"a", "1-", "-1", "3-1", "1,", ",1", "1,,2", "0-99999999", "1 2", "4294967296"})
    EXPECT_EQ(parse_list(text), std::nullopt) << text;
}

TEST(Facts, OfThisHostAgreeWithItself) {
  const NodeInfo info = node_info();
  EXPECT_EQ(info.cpus, static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_ONLN)));
  EXPECT_EQ(info.nodes * info.sockets * info.cores * info.threads, info.cpus);
  EXPECT_EQ(info.memory_kib, static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                                 static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024);
  EXPECT_EQ(cpu_times().cpus.size(), info.cpus);
  std::size_t cpus = 0;
  for (const Cell& cell : cells()) cpus += cell.cpus.size();
  EXPECT_EQ(cpus, info.cpus);
  EXPECT_FALSE(cpu_model().features.empty());
  EXPECT_FALSE(hostname().empty());
}

TEST(Process, IsSeenAsItIs) {
  const std::optional<ProcessStatistics> before = process_statistics(::getpid());
  ASSERT_TRUE(before);
  volatile std::uint64_t sum = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
  while (std::chrono::steady_clock::now() < end) sum = sum + 1;
  const std::optional<ProcessStatistics> after = process_statistics(::getpid());
  EXPECT_GT(after->user_ns + after->system_ns, before->user_ns + before->system_ns);
  EXPECT_EQ(after->start_ticks, before->start_ticks);
  EXPECT_GT(after->start_ticks, 0u);
  EXPECT_GT(after->resident_kib, 1000u);
  EXPECT_GT(after->virtual_kib, after->resident_kib);
  EXPECT_EQ(process_statistics(0x7fffffff), std::nullopt);
  EXPECT_TRUE(threads(0x7fffffff).empty());
  EXPECT_TRUE(process_io(::getpid()));
}

TEST(Process, ThreadsHaveTimesAndPlaces) {
  EXPECT_THAT(threads(::getpid()), testing::Contains(::getpid()));
  const std::optional<ThreadStatistics> statistics = thread_statistics(::getpid(), ::getpid());
  ASSERT_TRUE(statistics);
  EXPECT_GT(statistics->run_ns, 0u);
  EXPECT_LE(statistics->cpu, cpu_map().present);
  EXPECT_EQ(thread_statistics(::getpid(), 0x7fffffff), std::nullopt);
}

TEST_F(FactsTest, ANameWithBracketsIsNoTrap) {
  std::string fields = " S";
  for (int number = 4; number <= 52; ++number) fields += " " + std::to_string(number);
  file("proc/9/task/9/stat", "9 (a) R (b) 1)" + fields + "\n");
  file("proc/9/task/9/schedstat", "111 222 3\n");
  const std::optional<ThreadStatistics> thread = thread_statistics(9, 9, root_);
  ASSERT_TRUE(thread);
  EXPECT_EQ(thread->name, "a) R (b) 1");
  EXPECT_EQ(thread->state, 'S');
  EXPECT_EQ(thread->user_ns, 14 * tick);
  EXPECT_EQ(thread->system_ns, 15 * tick);
  EXPECT_EQ(thread->run_ns, 111u);
  EXPECT_EQ(thread->wait_ns, 222u);
  EXPECT_EQ(thread->cpu, 39u);
  for (const char* broken : {"", "9", "9 (a", "9 )a(", "9 (a)", ")"}) {
    file("proc/9/stat", broken);
    EXPECT_EQ(process_statistics(9, root_), std::nullopt) << broken;
  }
}

TEST(Affinity, IsSetAndRead) {
  const std::vector<unsigned> all = affinity(0);
  ASSERT_FALSE(all.empty());
  set_affinity(0, {all.back()});
  EXPECT_THAT(affinity(0), ElementsAre(all.back()));
  set_affinity(0, all);
  EXPECT_EQ(affinity(0), all);
  EXPECT_THROW(set_affinity(0, {}), core::Error);
  EXPECT_THROW(set_affinity(0, {4096}), core::Error);
  EXPECT_THROW(set_affinity(0, {4095}), core::Error);  // no such processor here
  EXPECT_THROW(affinity(0x7fffffff), core::Error);
}

}  // namespace
}  // namespace host
