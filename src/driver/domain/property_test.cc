#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "driver/core/error.h"
#include "driver/domain/change.h"
#include "driver/domain/devices.h"

// Whatever valid domain there is, its description parses back to the same value, at rest and running.
namespace domain {
namespace {

class Any {
 public:
  explicit Any(unsigned seed) : engine_(seed) {}

  std::uint64_t number(std::uint64_t least, std::uint64_t most) {
    return std::uniform_int_distribution<std::uint64_t>(least, most)(engine_);
  }
  template <class T>
  T number_as(std::uint64_t least, std::uint64_t most) {
    return static_cast<T>(number(least, most));
  }
  bool chance() { return number(0, 1) == 1; }
  template <class T>
  T one_of(std::initializer_list<T> values) {
    return values.begin()[number(0, values.size() - 1)];
  }
  std::optional<bool> maybe_bool() { return chance() ? std::optional(chance()) : std::nullopt; }
  std::optional<unsigned> maybe(unsigned least, unsigned most) {
    return chance() ? std::optional(number_as<unsigned>(least, most)) : std::nullopt;
  }
  /// Text without blanks at its ends, which some elements lose.
  std::string text(std::string_view letters = "ab Z09_-.:,;'\"<>&=%$#\\äπ") {
    std::string made = "x";
    for (std::uint64_t i = number(0, 20); i > 0; --i) {
      std::size_t at = number(0, letters.size() - 1);
      while ((letters[at] & 0xc0) == 0x80) --at;  // a character's first byte
      std::size_t length = 1;
      while (at + length < letters.size() && (letters[at + length] & 0xc0) == 0x80) ++length;
      made += letters.substr(at, length);
    }
    return made + "x";
  }
  std::string path() { return "/" + text(); }
  std::string word() { return text("abcXYZ019_.-"); }
  std::vector<unsigned> cpus() {
    std::set<unsigned> set{number_as<unsigned>(0, 1023)};
    for (std::uint64_t i = number(0, 6); i > 0; --i) set.insert(number_as<unsigned>(0, 40));
    return {set.begin(), set.end()};
  }

 private:
  std::mt19937_64 engine_;
};

void fill_general(Any& any, Domain& domain) {
  domain.type = any.one_of({Type::kvm, Type::qemu});
  domain.name = any.text("ab Z09_-.:,;'\"<>&=%$#\\äπ");
  for (auto& byte : domain.uuid) byte = any.number_as<std::uint8_t>(0, 255);
  if (any.chance()) domain.title = any.text();
  if (any.chance()) domain.description = any.text() + "\n  " + any.text();
  if (any.chance()) domain.genid = core::to_string(domain.uuid);
  if (any.chance())
    domain.metadata = "<a:b xmlns:a=\"urn:a\" c=\"&lt;\">text</a:b>\n    <d xmlns=\"urn:d\">\n      <e/>\n    </d>";
  domain.memory_kib = any.number(128 << 10, 512ULL << 20);
  domain.current_memory_kib = any.number(1, domain.memory_kib);
  MemoryBacking& backing = domain.memory_backing;
  backing.hugepages = any.chance();
  if (backing.hugepages && any.chance()) backing.hugepage_size = any.one_of<std::uint64_t>({2048, 1 << 20});
  (any.chance() ? backing.shared : backing.access_private) = any.chance();
  (backing.hugepages || any.chance() ? backing.immediate : backing.ondemand) = any.chance();
  for (bool MemoryBacking::* flag : {&MemoryBacking::locked, &MemoryBacking::nosharepages, &MemoryBacking::discard})
    backing.*flag = any.chance();
  backing.source = any.one_of<std::string>({"", "file", "anonymous", "memfd"});
  domain.vcpus = any.number_as<unsigned>(1, 254);
  domain.current_vcpus = any.number_as<unsigned>(1, domain.vcpus);
  if (any.chance()) domain.cpuset = any.cpus();
  domain.vcpu_placement = "static";
  domain.iothreads = any.number_as<unsigned>(0, 8);
  for (unsigned i = 0; i < domain.vcpus; i += any.number_as<unsigned>(1, 99)) domain.cputune.vcpupin[i] = any.cpus();
  for (unsigned i = 1; i <= domain.iothreads; ++i)
    if (any.chance()) domain.cputune.iothreadpin[i] = any.cpus();
  if (any.chance()) domain.cputune.emulatorpin = any.cpus();
  if (any.chance()) domain.cputune.shares = any.number(2, 262144);
  if (any.chance()) domain.resource_partition = any.path();
}

void fill_machine(Any& any, Domain& domain) {
  const bool x86 = any.chance();
  domain.os.arch = x86 ? Arch::x86_64 : Arch::aarch64;
  domain.os.machine = x86 ? any.one_of({"q35", "pc-q35-7.2"}) : any.one_of({"virt", "virt-6.0"});
  if (any.chance()) {
    domain.os.kernel = any.path();
    if (any.chance()) domain.os.initrd = any.path();
    if (any.chance()) domain.os.cmdline = any.text();
  }
  if (any.chance()) {
    domain.os.loader = Loader{
        .path = any.path(), .readonly = any.maybe_bool(), .secure = any.chance() ? std::optional(false) : std::nullopt};
    if (any.chance()) domain.os.nvram = Nvram{any.chance() ? any.path() : "", any.chance() ? any.path() : ""};
  }
  domain.features = {.acpi = true,
                     .apic = any.chance(),
                     .pae = any.chance(),
                     .gic_version = {},
                     .vmport = any.maybe_bool(),
                     .pmu = any.maybe_bool(),
                     .smm = x86 ? any.maybe_bool() : std::nullopt,
                     .vmcoreinfo = domain.type == Type::qemu ? any.maybe_bool() : std::nullopt};
  if (x86 && domain.os.loader && any.chance()) domain.os.loader->secure = domain.features.smm = true;
  if (!x86 && any.chance()) domain.features.gic_version = 3;
  std::optional<Topology> topology;
  if (domain.type == Type::qemu && any.chance()) topology = Topology{.sockets = domain.vcpus};
  const std::string check = any.one_of<std::string>({"", "none", "partial", "full"});
  const std::string on = any.one_of<std::string>({"", "on", "off"});
  if (any.chance()) {
    domain.cpu = Cpu{.mode = any.one_of({Cpu::Mode::host_passthrough, Cpu::Mode::host_model, Cpu::Mode::maximum}),
                     .model = {},
                     .check = check,
                     .match = {},
                     .migratable = on,
                     .fallback = {},
                     .topology = topology};
  } else if (any.chance()) {
    domain.cpu = Cpu{.mode = Cpu::Mode::custom,
                     .model = any.word(),
                     .check = check,
                     .match = any.one_of<std::string>({"", "minimum", "exact", "strict"}),
                     .migratable = on,
                     .fallback = any.one_of<std::string>({"", "allow", "forbid"}),
                     .topology = topology};
  }
  domain.clock.offset = any.one_of({"utc", "localtime"});
  for (const char* timer : {"rtc", "pit", "hpet", "tsc", "kvmclock"})
    if (any.chance())
      domain.clock.timers.push_back({timer, any.maybe_bool(),
                                     any.one_of<std::string>({"", "delay", "catchup", "merge", "discard"}),
                                     any.one_of<std::string>({"", "boot", "guest", "wall", "realtime"})});
  using enum LifecycleAction;
  domain.on_poweroff = any.one_of({destroy, restart, preserve});
  domain.on_reboot = any.one_of({destroy, restart});
  domain.on_crash = any.one_of({destroy, restart, preserve, coredump_destroy, coredump_restart});
  domain.suspend_to_mem = any.maybe_bool();
  domain.suspend_to_disk = any.maybe_bool();
  if (any.chance())
    domain.seclabels = any.chance() ? std::vector<std::string>{""} : std::vector<std::string>{"dac", any.word()};
  domain.idle.no_usb = any.chance();
  if (domain.type == Type::qemu && x86 && any.chance()) domain.idle.inputs = {"mouse", "keyboard"};
  domain.os.smbios = any.one_of<std::string>({"", "sysinfo", "emulate"});
  if (any.chance()) {
    domain.sysinfo.push_back(
        {.structures = {{0, {{"vendor", any.text()}, {"date", "1/2/20"}}}, {2, {{"asset", any.text()}}}},
         .oem_strings = {}});
    if (domain.type == Type::qemu) domain.sysinfo[0].oem_strings = {any.text(), any.text()};
  }
  domain.idle.no_video = any.chance();
  if (any.chance()) domain.emulator = any.path();
}

/// Devices, each with a place of its own on bus 0 or with none yet.
class Devices {
 public:
  Devices(Any& any, Domain& domain) : any_(any), domain_(domain) {
    for (std::uint64_t i = any.number(0, 5); i > 0; --i) add_disk();
    for (std::uint64_t i = any.number(0, 3); i > 0; --i) add_interface();
    for (std::uint64_t i = any.number(0, 3); i > 0; --i) add_controller();
    if (any.chance()) add_virtio_serial();
    for (std::uint64_t i = any.number(0, 2); i > 0; --i) add_rng();
    for (std::uint64_t i = any.number(0, 2); i > 0; --i) add_hostdev();
    if (any.chance()) add_balloon();
    if (any.chance()) add_vsock();
    if (any.chance()) add_serial();
    if (any.chance()) add_console();
    if (orders_ == 0)
      for (const char* boot : {"hd", "network"})
        if (any.chance()) domain.os.boot.emplace_back(boot);
  }

 private:
  DeviceInfo info(bool any_alias = false, bool boots = false, bool placed = true) {
    DeviceInfo made;
    if (any_.chance()) made.alias = (any_alias && any_.chance() ? "n" : "ua-n") + std::to_string(next_++);
    if (placed && any_.chance() && slot_ < 31) made.address = PciAddress{.slot = slot_++};
    if (boots && any_.chance()) made.boot_order = ++orders_;
    return made;
  }
  void add(Device device) { add_device(domain_, std::move(device)); }

  void add_disk() {
    Disk disk;
    disk.source_type = any_.one_of({Disk::Source::file, Disk::Source::block});
    disk.source = any_.path();
    disk.driver_name = any_.one_of({"", "qemu"});
    disk.format = any_.one_of({Disk::Format::raw, Disk::Format::qcow2});
    using enum Disk::Cache;
    disk.cache = any_.one_of({unset, none, writeback, writethrough, directsync, unsafe});
    const bool direct = disk.cache == none || disk.cache == directsync;
    disk.io = any_.one_of(
        {Disk::Io::unset, Disk::Io::threads, Disk::Io::io_uring, direct ? Disk::Io::native : Disk::Io::unset});
    disk.discard = any_.one_of({Disk::Discard::unset, Disk::Discard::ignore, Disk::Discard::unmap});
    disk.detect_zeroes = any_.one_of(
        {Disk::DetectZeroes::unset, Disk::DetectZeroes::off, Disk::DetectZeroes::on, Disk::DetectZeroes::unmap});
    if (domain_.iothreads > 0) disk.iothread = any_.maybe(1, domain_.iothreads);
    disk.queues = any_.maybe(1, 16);
    disk.target = any_.one_of<std::string>({"vd", "hd", "sd", "xvd"}) + static_cast<char>('a' + next_++ % 26);
    while (std::ranges::find(domain_.disks, disk.target, &Disk::target) != domain_.disks.end()) disk.target += 'a';
    if (any_.chance()) disk.serial = any_.text("abcZ09 _-+.()");
    disk.readonly = any_.chance();
    disk.shareable = any_.chance();
    disk.iotune.total_iops_sec = any_.number(0, 1) * any_.number(1, 1000000);
    if (domain_.type == Type::qemu && any_.chance())
      disk.iotune = {.read_bytes_sec = 5, .write_iops_sec = 7, .total_bytes_sec_max = 9, .size_iops_sec = 512};
    disk.info = info(false, true);
    add(disk);
  }
  void add_interface() {
    Interface card;
    card.type = any_.one_of({Interface::Type::bridge, Interface::Type::ethernet});
    card.mac = {0x52, 0x54, 0, any_.number_as<std::uint8_t>(0, 255), any_.number_as<std::uint8_t>(0, 255), 1};
    if (card.type == Interface::Type::bridge) card.bridge = "br" + std::to_string(next_++);
    if (card.type == Interface::Type::ethernet) card.target_managed = any_.maybe_bool();
    if (any_.chance()) card.target = "tap" + std::to_string(next_++);
    card.backend = any_.one_of({Interface::Backend::unset, Interface::Backend::qemu, Interface::Backend::vhost});
    card.queues = any_.maybe(1, 16);
    if (any_.chance()) card.rx_queue_size = any_.one_of({64u, 1024u});
    if (any_.chance()) card.tx_queue_size = 256;
    card.link = any_.one_of({Interface::Link::unset, Interface::Link::up, Interface::Link::down});
    card.mtu = any_.maybe(68, 65535);
    card.info = info(false, true);
    add(card);
  }
  void add_controller() {
    Controller port;
    port.model = Controller::Model::pcie_root_port;
    port.index = free_index(domain_);
    port.chassis = any_.maybe(0, 255);
    port.port = any_.maybe(0, 255);
    port.info = info();
    add(port);
  }
  void add_virtio_serial() {
    Controller serial;
    serial.type = Controller::Type::virtio_serial;
    serial.ports = any_.maybe(1, 31);
    serial.vectors = any_.maybe(0, 2048);
    serial.info = info(true);
    add(serial);
  }
  void add_rng() {
    Rng rng;
    rng.backend = any_.path();
    if (any_.chance()) {
      rng.bytes = any_.number_as<std::uint32_t>(1, 0xffffffff);
      if (any_.chance()) rng.period = 1000;
    }
    rng.info = info();
    add(rng);
  }
  void add_hostdev() {
    Hostdev hostdev;
    hostdev.source = {.domain = any_.number_as<std::uint16_t>(0, 0xffff),
                      .bus = any_.number_as<std::uint8_t>(0, 255),
                      .slot = static_cast<std::uint8_t>(next_++ % 32),
                      .function = any_.number_as<std::uint8_t>(0, 7)};
    hostdev.managed = any_.chance();
    if (any_.chance()) hostdev.vfio_driver = true;
    hostdev.info = info(false, true);
    add(hostdev);
  }
  void add_balloon() {
    Memballoon balloon;
    balloon.model = any_.one_of({Memballoon::Model::virtio, Memballoon::Model::none});
    balloon.autodeflate = any_.maybe_bool();
    balloon.free_page_reporting = any_.maybe_bool();
    balloon.stats_period = any_.maybe(0, 0x7fffffff);
    balloon.info = info(true, false, balloon.model != Memballoon::Model::none);
    add(balloon);
  }
  void add_vsock() {
    Vsock vsock;
    vsock.auto_cid = any_.maybe_bool();
    if (!vsock.auto_cid.value_or(true) || any_.chance()) vsock.cid = any_.number_as<std::uint32_t>(3, 4294967294);
    if (!vsock.auto_cid && !vsock.cid) vsock.auto_cid = true;
    vsock.info = info();
    add(vsock);
  }
  CharacterSource source() {
    CharacterSource made;
    made.type =
        any_.one_of({CharacterSource::Type::pty, CharacterSource::Type::file, CharacterSource::Type::unix_socket});
    if (made.type == CharacterSource::Type::file) made.append = any_.maybe_bool();
    if (made.type == CharacterSource::Type::unix_socket) made.listen = any_.chance();
    const bool needs_path = made.type == CharacterSource::Type::file || !made.listen;
    if (needs_path || (made.type == CharacterSource::Type::unix_socket && any_.chance())) made.path = any_.path();
    if (any_.chance()) {
      made.log_file = any_.path();
      made.log_append = any_.maybe_bool();
    }
    return made;
  }
  void add_serial() {
    Serial serial;
    serial.source = source();
    serial.port = any_.number_as<unsigned>(0, 3);
    serial.info = info(false, false, false);
    add(serial);
  }
  void add_console() {
    Console console;
    console.source = source();
    console.target = Console::Target::virtio;
    console.port = any_.number_as<unsigned>(0, 31);
    console.info = info(true, false, false);
    add(console);
  }

  Any& any_;
  Domain& domain_;
  unsigned next_ = 0, orders_ = 0;
  std::uint8_t slot_ = 1;
};

Domain make(unsigned seed) {
  Any any(seed);
  Domain domain;
  fill_general(any, domain);
  fill_machine(any, domain);
  Devices(any, domain);
  pair_console_with_serial(domain);
  assign_addresses(domain);
  validate(domain);
  return domain;
}

constexpr unsigned count = 150;

TEST(Property, ADescriptionParsesBackToTheSameDomain) {
  for (unsigned seed = 0; seed < count; ++seed) {
    const Domain domain = make(seed);
    const std::string xml = format(domain);
    ASSERT_EQ(parse(xml), domain) << "seed " << seed << "\n" << xml << format(parse(xml));
    ASSERT_EQ(format(parse(xml)), xml) << "seed " << seed;
  }
}

TEST(Property, SoDoesThatOfARunningOne) {
  for (unsigned seed = 0; seed < count; ++seed) {
    Domain domain = make(seed);
    for (unsigned i = 0; Interface & card : domain.interfaces)
      if (card.target.empty()) card.target = "vnet" + std::to_string(i++);
    if (domain.vsock) domain.vsock->cid = domain.vsock->cid.value_or(9);
    for (Serial& serial : domain.serials)
      if (serial.source.type == CharacterSource::Type::pty) serial.source.path = "/dev/pts/1";
    for (Console& console : domain.consoles)
      if (console.source.type == CharacterSource::Type::pty)
        console.source.path = console.target == Console::Target::serial ? "/dev/pts/1" : "/dev/pts/2";
    assign_aliases(domain);
    validate(domain);
    const FormatOptions live{.id = 3, .live = true};
    const std::string xml = format(domain, live);
    ASSERT_EQ(parse_live(xml), domain) << "seed " << seed << "\n" << xml << format(parse_live(xml), live);
    ASSERT_EQ(format(parse_live(xml), live), xml) << "seed " << seed;
  }
}

TEST(Property, EveryDeviceStandsAloneToo) {
  for (unsigned seed = 0; seed < count; ++seed) {
    const Domain domain = make(seed);
    for_each_device(domain, [&](const auto& device) {
      const std::string xml = format(Device(device));
      EXPECT_EQ(parse_device(xml), Device(device)) << "seed " << seed << "\n" << xml;
    });
  }
}

}  // namespace
}  // namespace domain
