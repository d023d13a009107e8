#include <set>

#include "driver/domain/element.h"
#include "driver/domain/example_for_test.h"

namespace domain {
namespace {

using core::ErrorCode;
using test::description;
using test::refusal;

std::uint64_t memory(const std::string& element) {
  return parse(description("", element)).memory_kib;
}

TEST(Units, AreLibvirts) {
  const struct {
    const char *unit, *value;
    std::uint64_t kib;
  } rows[] = {
      {"b", "1048577", 1025}, {"bytes", "1048576", 1024}, {"KB", "1000", 977},        {"k", "1000", 1000},
      {"KiB", "1000", 1000},  {"MB", "1", 977},           {"M", "1", 1024},           {"MiB", "1", 1024},
      {"GB", "1", 976563},    {"G", "1", 1 << 20},        {"GiB", "1", 1 << 20},      {"gib", "1", 1 << 20},
      {"TB", "1", 976562500}, {"TiB", "1", 1 << 30},      {"EiB", "15", 15ULL << 50},
  };
  for (const auto& row : rows)
    EXPECT_EQ(memory(std::string("<memory unit='") + row.unit + "'>" + row.value + "</memory>"), row.kib) << row.unit;
  EXPECT_EQ(memory("<memory>2048</memory>"), 2048u);
  EXPECT_EQ(memory("<memory unit='MiB'>\n  2\n</memory>"), 2048u);
  refusal(ErrorCode::overflow, [] { memory("<memory unit='EiB'>16</memory>"); });
  refusal(ErrorCode::xml_error, [] { memory("<memory>18446744073709551616</memory>"); });
  refusal(ErrorCode::invalid_arg, [] { memory("<memory unit='Ki'>1</memory>"); });
}

TEST(Defaults, AreFilledIn) {
  const Domain domain =
      parse("<domain type='kvm'><name>x</name><memory>131072</memory><os><type>hvm</type></os></domain>");
  EXPECT_NE(domain.uuid, core::Uuid{});
  EXPECT_EQ(domain.current_memory_kib, 131072u);
  EXPECT_EQ(domain.vcpus, 1u);
  EXPECT_EQ(domain.vcpu_placement, "static");
  EXPECT_EQ(domain.clock.offset, "utc");
  EXPECT_EQ(domain.on_poweroff, LifecycleAction::destroy);
  EXPECT_EQ(domain.on_reboot, LifecycleAction::restart);
  EXPECT_EQ(domain.on_crash, LifecycleAction::destroy);
  EXPECT_FALSE(domain.memballoon);
  EXPECT_EQ(domain.controllers.size(), 1u);  // pcie-root
  EXPECT_EQ(domain.cpu, std::nullopt);
  EXPECT_EQ(parse(description("", "<currentMemory>0</currentMemory>")).current_memory_kib, 512u << 10);
  EXPECT_EQ(parse(description("", "<currentMemory unit='TiB'>1</currentMemory>")).current_memory_kib, 512u << 10);
}

TEST(Defaults, UuidsAndMacsAreMadeAnew) {
  const std::string xml =
      "<domain type='kvm'><name>x</name><memory>131072</memory><os><type>hvm</type></os><devices>"
      "<interface type='bridge'><source bridge='b'/></interface></devices></domain>";
  std::set<core::Uuid> uuids;
  std::set<Mac> macs;
  for (int i = 0; i < 8; ++i) {
    const Domain domain = parse(xml);
    uuids.insert(domain.uuid);
    macs.insert(domain.interfaces[0].mac);
    EXPECT_EQ(to_string(domain.interfaces[0].mac).substr(0, 9), "52:54:00:");
  }
  EXPECT_EQ(uuids.size(), 8u);
  EXPECT_GT(macs.size(), 1u);
}

TEST(Cpus, AreReadAndWrittenAsLibvirtDoes) {
  EXPECT_EQ(parse_cpus("0-3,^2,8"), (std::vector<unsigned>{0, 1, 3, 8}));
  EXPECT_EQ(parse_cpus(" 5 , 1023"), (std::vector<unsigned>{5, 1023}));
  EXPECT_EQ(format_cpus({0, 1, 3, 8, 9, 10}), "0-1,3,8-10");
  for (const char* bad : {"", ",", "x", "3-1", "1024", "-1", "1,^1", "^1-2", "1--2", "1,"})
    refusal(ErrorCode::invalid_arg, [&] { parse_cpus(bad); });
}

TEST(Limits, AreOfTheType) {
  const auto check = [](const std::string& type, const std::string& top, const std::string& devices = "") {
    validate(parse(description(devices, top, type)));
  };
  const auto refuses = [&](const std::string& type, const std::string& top, const std::string& devices = "") {
    return refusal(ErrorCode::config_unsupported, [&] { check(type, top, devices); });
  };
  check("kvm", "<memory unit='MiB'>128</memory><vcpu>254</vcpu><iothreads>8</iothreads>");
  check("kvm", "<memory unit='GiB'>512</memory>");
  EXPECT_NE(refuses("kvm", "<memory>131071</memory>").find("131072 to 536870912"), std::string::npos);
  refuses("kvm", "<memory>536870913</memory>");
  refuses("kvm", "<vcpu>255</vcpu>");
  refuses("kvm", "<iothreads>9</iothreads>");
  check("qemu", "<memory>1024</memory><vcpu>255</vcpu><iothreads>9</iothreads>");
  check("qemu", "<memory unit='TiB'>1</memory>");
  EXPECT_NE(refuses("qemu", "<vcpu>256</vcpu>").find("more than 255 vCPUs require extended interrupt mode"),
            std::string::npos);
  refuses("qemu", "<vcpu current='1'>288</vcpu>");
  const auto virt = [](const std::string& machine, unsigned vcpus) {
    validate(parse("<domain type='qemu'><name>x</name><memory>131072</memory><vcpu>" + std::to_string(vcpus) +
                   "</vcpu><os><type arch='aarch64' machine='" + machine +
                   "'>hvm</type></os><features><acpi/></features></domain>"));
  };
  virt("virt", 512);
  virt("virt-3.0", 512);
  virt("virt-2.12", 255);
  refusal(ErrorCode::config_unsupported, [&] { virt("virt", 513); });
  refusal(ErrorCode::config_unsupported, [&] { virt("virt-2.12", 256); });
  refuses("qemu", "<vcpu>5000</vcpu>");
  const std::string queues = test::disk("vda", "<driver name='qemu' queues='17'/>");
  refuses("kvm", "", queues);
  check("qemu", "", queues);
}

TEST(Hostile, DescriptionsCostNoMoreThanTheyMay) {
  std::string disks, ports, pins;
  for (unsigned i = 0; i < 4000; ++i) {
    disks += test::disk({'v', 'd', static_cast<char>('z' - i / 676 % 26), static_cast<char>('z' - i / 26 % 26),
                         static_cast<char>('z' - i % 26)});
    ports += "<controller type='pci' model='pcie-root-port'/>";
    pins += "<vcpupin vcpu='" + std::to_string(i) + "' cpuset='0-1023'/>";
  }
  refusal(ErrorCode::internal_error, [&] { parse(description(disks)); });
  refusal(ErrorCode::internal_error, [&] { parse(description(ports)); });
  EXPECT_EQ(parse(description("", "<cputune>" + pins + "</cputune>")).cputune.vcpupin.size(), 1u);
  std::string cpuset;
  for (unsigned i = 0; i < 100000; ++i) cpuset += "0-1023,";
  EXPECT_EQ(parse_cpus(cpuset + "1").size(), 1024u);
}

TEST(Device, AloneIsReadAndRefusedAsInADomain) {
  const Device device = parse_device(test::disk("vdb"));
  EXPECT_EQ(std::get<Disk>(device).target, "vdb");
  EXPECT_EQ(std::get<Disk>(device).info.address, std::nullopt);
  refusal(ErrorCode::config_unsupported, [] { parse_device("<graphics type='vnc'/>"); });
  refusal(ErrorCode::config_unsupported, [] { parse_device("<disk><mirror/></disk>"); });
  EXPECT_EQ(refusal(ErrorCode::config_unsupported, [] { parse_device("<frob/>"); }),
            "unsupported configuration: unknown device type 'frob'");
  refusal(ErrorCode::xml_detail, [] { parse_device("<disk>"); });
}

}  // namespace
}  // namespace domain
