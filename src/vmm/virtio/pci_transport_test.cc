#include "vmm/virtio/pci_transport.h"

#include <gmock/gmock.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <map>

#include "vmm/pci/bus.h"
#include "vmm/pci/registers.h"
#include "vmm/virtio/device_fake.h"

namespace virtio {
namespace {

using namespace pci_layout;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

/// Where messages and lines arrive.
class FakeHypervisor : public hypervisor::Hypervisor {
 public:
  struct FakeMessage : irq::Message {
    explicit FakeMessage(FakeHypervisor& owner) : hypervisor(owner) {}
    void set(std::uint64_t to, std::uint32_t value) override { address = to, data = value; }
    void send() override { hypervisor.messages.emplace_back(address, data); }
    int eventfd() override { return -1; }
    FakeHypervisor& hypervisor;
    std::uint64_t address = 0;
    std::uint32_t data = 0;
  };
  struct FakeEvent : hypervisor::WriteEvent {
    FakeEvent(FakeHypervisor& owner, std::uint64_t at) : hypervisor(owner), address(at) {}
    ~FakeEvent() override { hypervisor.events.erase(address); }
    FakeHypervisor& hypervisor;
    std::uint64_t address;
  };

  void set_line(unsigned, bool) override {}
  std::unique_ptr<irq::Message> make_message() override { return std::make_unique<FakeMessage>(*this); }
  std::unique_ptr<hypervisor::MappedMemory> map(std::uint64_t, std::span<std::uint8_t>, bool) override { return {}; }
  std::unique_ptr<hypervisor::WriteEvent> on_write(std::uint64_t address, unsigned, std::optional<std::uint64_t>,
                                                   int eventfd) override {
    events[address] = eventfd;
    return std::make_unique<FakeEvent>(*this, address);
  }

  auto taken() { return std::exchange(messages, {}); }

  std::vector<std::pair<std::uint64_t, std::uint32_t>> messages;
  std::map<std::uint64_t, int> events;
};

/// A device that does nothing but tell.
class Probe : public Device {
 public:
  const Traits& traits() const override { return traits_; }
  void read_config(std::uint64_t offset, std::span<std::uint8_t> value) override {
    std::ranges::copy_n(config.begin() + static_cast<std::ptrdiff_t>(offset), static_cast<std::ptrdiff_t>(value.size()),
                        value.begin());
  }
  void write_config(std::uint64_t offset, std::span<const std::uint8_t> value) override {
    std::ranges::copy(value, config.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  bool activate(Active given) override {
    if (!serves) return false;
    active.emplace(std::move(given));
    return true;
  }
  void queue_ready(unsigned index) override { ready.push_back(index); }
  void reset() override {
    active.reset();
    ++resets;
  }

  std::array<std::uint8_t, 8> config{1, 2, 3, 4, 5, 6, 7, 8};
  std::optional<Active> active;
  std::vector<unsigned> ready;
  bool serves = true;
  int resets = 0;

 private:
  Traits traits_{.type = 4,
                 .features = feature::version_1 | feature::event_idx | feature::indirect_desc | 5,
                 .queue_sizes = {64, 16},
                 .config_size = 8,
                 .class_code = 0x00ff00};
};

struct PciTransportTest : testing::Test {
  static constexpr std::uint64_t registers = 0xc000'0000, table = 0xc100'0000;
  static constexpr std::uint16_t msix_control = msix_cap + pci::msix::control;
  enum : std::uint64_t {
    feature_select = 0x00,
    device_feature = 0x04,
    driver_select = 0x08,
    driver_feature = 0x0c,
    config_vector = 0x10,
    num_queues = 0x12,
    device_status = 0x14,
    generation = 0x15,
    queue_select = 0x16,
    queue_size = 0x18,
    queue_vector = 0x1a,
    queue_enable = 0x1c,
    notify_off = 0x1e,
    queue_desc = 0x20,
    queue_driver = 0x28,
    queue_device = 0x30,
  };

  fake::Ram ram;
  loop::Clock clock{loop::Clock::Kind::simulated};
  loop::Loop loop{clock};
  FakeHypervisor hypervisor;
  bus::Bus memory, ports;
  std::vector<bool> line;
  pci::Bus root{memory, ports, hypervisor, [this](unsigned, unsigned, bool high) { line.push_back(high); }};
  Probe* probe = nullptr;
  std::unique_ptr<PciTransport> transport;

  PciTransportTest() {
    auto device = std::make_unique<Probe>();
    probe = device.get();
    transport = std::make_unique<PciTransport>("rng0", std::move(device), ram.memory(), hypervisor, loop, loop);
    root.add(4 << 3, *transport);
    config_write<std::uint32_t>(pci::reg::bar0 + 4, table);
    config_write<std::uint32_t>(pci::reg::bar0 + 8, registers);
    config_write<std::uint16_t>(pci::reg::command, pci::command::memory | pci::command::bus_master);
  }
  ~PciTransportTest() override { root.remove(4 << 3); }

  template <class T>
  T config_read(std::size_t at) {
    std::array<std::uint8_t, sizeof(T)> bytes;
    transport->read_config(at, bytes);
    return std::bit_cast<T>(bytes);
  }
  template <class T>
  void config_write(std::size_t at, std::type_identity_t<T> value) {
    transport->write_config(at, std::bit_cast<std::array<std::uint8_t, sizeof(T)>>(value));
  }
  template <class T>
  T read(std::uint64_t address) {
    std::array<std::uint8_t, sizeof(T)> bytes;
    EXPECT_TRUE(memory.read(address, bytes));
    return std::bit_cast<T>(bytes);
  }
  template <class T>
  void write(std::uint64_t address, std::type_identity_t<T> value) {
    EXPECT_TRUE(memory.write(address, std::bit_cast<std::array<std::uint8_t, sizeof(T)>>(value)));
  }
  template <class T>
  T common(std::uint64_t at) {
    return read<T>(registers + at);
  }
  template <class T>
  void set_common(std::uint64_t at, std::type_identity_t<T> value) {
    write<T>(registers + at, value);
  }
  std::uint8_t status() { return common<std::uint8_t>(device_status); }
  void set_status(unsigned value) { set_common<std::uint8_t>(device_status, static_cast<std::uint8_t>(value)); }

  void accept(std::uint64_t features) {
    for (const unsigned half : {0U, 1U}) {
      set_common<std::uint32_t>(driver_select, half);
      set_common<std::uint32_t>(driver_feature, static_cast<std::uint32_t>(features >> (32 * half)));
    }
  }
  void set_up(std::uint16_t index, const fake::Driver& driver) {
    set_common<std::uint16_t>(queue_select, index);
    set_common<std::uint16_t>(queue_size, driver.config().size);
    set_common<std::uint64_t>(queue_desc, driver.config().descriptors);
    set_common<std::uint64_t>(queue_driver, driver.config().available);
    set_common<std::uint64_t>(queue_device, driver.config().used);
    set_common<std::uint16_t>(queue_enable, 1);
  }
  void start(std::uint64_t features, const fake::Driver& driver) {
    set_status(0);
    set_status(status::acknowledge | status::driver);
    accept(features);
    set_status(status::acknowledge | status::driver | status::features_ok);
    set_up(0, driver);
    set_status(status::acknowledge | status::driver | status::features_ok | status::driver_ok);
  }
  void enable_msix() {
    for (std::uint64_t vector = 0; vector < 3; ++vector) {
      write<std::uint32_t>(table + 16 * vector, static_cast<std::uint32_t>(0xfee0'0000 + 0x1000 * vector));
      write<std::uint32_t>(table + 16 * vector + 8, static_cast<std::uint32_t>(0x40 + vector));
      write<std::uint32_t>(table + 16 * vector + 12, 0);
    }
    config_write<std::uint16_t>(msix_control, pci::msix::enable);
  }
  void run_once() {
    loop.post([this] { loop.stop(); });
    loop.run();
  }
};

TEST_F(PciTransportTest, SaysWhatItIs) {
  EXPECT_EQ(config_read<std::uint16_t>(pci::reg::vendor), 0x1af4);
  EXPECT_EQ(config_read<std::uint16_t>(pci::reg::device), 0x1044);
  EXPECT_EQ(config_read<std::uint8_t>(pci::reg::revision), 1);
  EXPECT_EQ(config_read<std::uint32_t>(pci::reg::revision) >> 8, 0x00ff00U);
  EXPECT_EQ(config_read<std::uint16_t>(pci::reg::subsystem_vendor), 0x1af4);
  EXPECT_EQ(config_read<std::uint16_t>(pci::reg::subsystem), 0x44);
  EXPECT_EQ(config_read<std::uint8_t>(pci::reg::interrupt_pin), 1);
}

TEST_F(PciTransportTest, CapabilitiesAreAtTheirPlaces) {
  std::vector<std::pair<unsigned, unsigned>> found;  // place, cfg_type; 0 for MSI-X
  for (unsigned at = config_read<std::uint8_t>(pci::reg::capabilities); at; at = config_read<std::uint8_t>(at + 1)) {
    const bool vendor_specific = config_read<std::uint8_t>(at) == pci::capability::vendor;
    found.emplace_back(at, vendor_specific ? config_read<std::uint8_t>(at + 3) : 0);
  }
  EXPECT_THAT(found,
              ElementsAre(Pair(0x98, 0), Pair(0x84, 5), Pair(0x70, 2), Pair(0x60, 4), Pair(0x50, 3), Pair(0x40, 1)));
  const struct {
    unsigned place, length, offset;
  } expected[] = {{0x40, 16, 0}, {0x50, 16, 0x1000}, {0x60, 16, 0x2000}, {0x70, 20, 0x3000}};
  for (const auto& one : expected) {
    EXPECT_EQ(config_read<std::uint8_t>(one.place + 2), one.length);
    EXPECT_EQ(config_read<std::uint8_t>(one.place + 4), 2) << "the BAR";
    EXPECT_EQ(config_read<std::uint32_t>(one.place + 8), one.offset);
    EXPECT_EQ(config_read<std::uint32_t>(one.place + 12), 0x1000U);
  }
  EXPECT_EQ(config_read<std::uint32_t>(0x70 + 16), 4U) << "the notify multiplier";
  EXPECT_EQ(config_read<std::uint16_t>(msix_control), 2) << "three vectors";
  EXPECT_EQ(config_read<std::uint32_t>(0x98 + 4), 1U) << "the table, in BAR 1";
  EXPECT_EQ(config_read<std::uint32_t>(0x98 + 8), 0x31U) << "pending bits behind it";
}

TEST_F(PciTransportTest, BarsHaveTheirSizes) {
  config_write<std::uint32_t>(pci::reg::bar0 + 4, ~0U);
  config_write<std::uint32_t>(pci::reg::bar0 + 8, ~0U);
  EXPECT_EQ(config_read<std::uint32_t>(pci::reg::bar0), 0U);
  EXPECT_EQ(config_read<std::uint32_t>(pci::reg::bar0 + 4), 0xffff'f000U);
  EXPECT_EQ(config_read<std::uint32_t>(pci::reg::bar0 + 8), 0xffff'c004U);
  EXPECT_EQ(config_read<std::uint32_t>(pci::reg::bar0 + 12), 0U);
}

TEST_F(PciTransportTest, OffersItsFeaturesInHalves) {
  set_common<std::uint32_t>(feature_select, 0);
  EXPECT_EQ(common<std::uint32_t>(device_feature), 0x3000'0005U);
  set_common<std::uint32_t>(feature_select, 1);
  EXPECT_EQ(common<std::uint32_t>(device_feature), 1U);
  set_common<std::uint32_t>(feature_select, 2);
  EXPECT_EQ(common<std::uint32_t>(device_feature), 0U);
  set_common<std::uint32_t>(device_feature, ~0U);
  set_common<std::uint32_t>(feature_select, 0);
  EXPECT_EQ(common<std::uint32_t>(device_feature), 0x3000'0005U) << "read-only";
}

TEST_F(PciTransportTest, FeaturesAreNegotiatedToTheLetter) {
  const unsigned begun = status::acknowledge | status::driver;
  set_status(begun);
  accept(5);  // an old driver's
  set_status(begun | status::features_ok);
  EXPECT_EQ(status(), begun) << "VERSION_1 is not to be done without";
  accept(feature::version_1 | 2);
  set_status(begun | status::features_ok);
  EXPECT_EQ(status(), begun) << "one that was not offered";
  accept(feature::version_1 | 4);
  set_status(begun | status::features_ok);
  EXPECT_EQ(status(), begun | status::features_ok);
  accept(feature::version_1 | 5);
  set_common<std::uint32_t>(driver_select, 0);
  EXPECT_EQ(common<std::uint32_t>(driver_feature), 4U) << "settled";
  set_common<std::uint32_t>(driver_select, 7);
  set_common<std::uint32_t>(driver_feature, 1);
  EXPECT_EQ(common<std::uint32_t>(driver_feature), 0U);

  fake::Driver driver(ram, 64);
  set_up(0, driver);
  set_status(begun | status::features_ok | status::driver_ok);
  ASSERT_TRUE(probe->active);
  EXPECT_EQ(probe->active->features, feature::version_1 | 4);
  EXPECT_FALSE(probe->active->queues[0]->config().event_index);
  EXPECT_FALSE(probe->active->queues[0]->config().indirect);
}

TEST_F(PciTransportTest, WithoutFeaturesOkThereIsNoDriverOk) {
  set_status(status::acknowledge | status::driver | status::driver_ok);
  EXPECT_FALSE(status() & status::driver_ok);
  EXPECT_FALSE(probe->active);
}

TEST_F(PciTransportTest, QueuesAreWhatTheDriverSaysWithinWhatTheDeviceAllows) {
  EXPECT_EQ(common<std::uint16_t>(num_queues), 2);
  set_common<std::uint16_t>(queue_select, 1);
  EXPECT_EQ(common<std::uint16_t>(queue_size), 16);
  EXPECT_EQ(common<std::uint16_t>(queue_vector), 0xffff);
  EXPECT_EQ(common<std::uint16_t>(notify_off), 1);
  EXPECT_EQ(common<std::uint16_t>(queue_enable), 0);
  for (const std::uint16_t wrong : {0, 12, 32, 0x8000}) {
    set_common<std::uint16_t>(queue_size, wrong);
    EXPECT_EQ(common<std::uint16_t>(queue_size), 16) << wrong;
  }
  set_common<std::uint16_t>(queue_size, 8);
  EXPECT_EQ(common<std::uint16_t>(queue_size), 8);
  set_common<std::uint32_t>(queue_desc, 0x1122'3000);  // by halves, as Linux does
  set_common<std::uint32_t>(queue_desc + 4, 5);
  EXPECT_EQ(common<std::uint64_t>(queue_desc), 0x5'1122'3000U);
  set_common<std::uint16_t>(queue_enable, 1);
  EXPECT_EQ(common<std::uint16_t>(queue_enable), 1);
  set_common<std::uint16_t>(queue_size, 4);
  set_common<std::uint64_t>(queue_desc, 0);
  set_common<std::uint16_t>(queue_enable, 0);
  EXPECT_EQ(common<std::uint16_t>(queue_size), 8) << "in use: as it is";
  EXPECT_EQ(common<std::uint64_t>(queue_desc), 0x5'1122'3000U);
  EXPECT_EQ(common<std::uint16_t>(queue_enable), 1);

  set_common<std::uint16_t>(queue_select, 2);
  EXPECT_EQ(common<std::uint16_t>(queue_size), 0) << "there is none";
  set_common<std::uint16_t>(queue_size, 8);
  set_common<std::uint16_t>(queue_enable, 1);
  EXPECT_EQ(common<std::uint16_t>(queue_size), 0);
  EXPECT_EQ(common<std::uint16_t>(queue_enable), 0);
  EXPECT_EQ(common<std::uint16_t>(queue_vector), 0xffff);
}

TEST_F(PciTransportTest, ADriverComesAndItsQueueIsServed) {
  fake::Driver driver(ram, 32);
  start(feature::version_1 | feature::event_idx | feature::indirect_desc, driver);
  ASSERT_TRUE(probe->active);
  EXPECT_EQ(status(), 15);
  ASSERT_TRUE(probe->active->queues[0]);
  EXPECT_EQ(probe->active->queues[0]->config().size, 32);
  EXPECT_TRUE(probe->active->queues[0]->config().event_index);
  EXPECT_FALSE(probe->active->queues[1]) << "not enabled";
  EXPECT_THAT(hypervisor.events, ElementsAre(Pair(registers + notify_at, probe->active->notify_fds[0])));

  write<std::uint16_t>(registers + notify_at, 0);
  run_once();
  EXPECT_THAT(probe->ready, ElementsAre(0U));
}

TEST_F(PciTransportTest, NotificationsOfQueuesThatAreNoneAreNothing) {
  fake::Driver driver(ram, 32);
  start(feature::version_1, driver);
  write<std::uint16_t>(registers + notify_at + 4, 1);      // not enabled
  write<std::uint16_t>(registers + notify_at + 8, 2);      // not there
  write<std::uint16_t>(registers + notify_at + 0xffc, 2);  // nor this
  run_once();
  EXPECT_THAT(probe->ready, IsEmpty());
}

TEST_F(PciTransportTest, TheHypervisorsEventsFollowTheBar) {
  fake::Driver driver(ram, 32);
  start(feature::version_1, driver);
  config_write<std::uint32_t>(pci::reg::bar0 + 8, 0xd000'0000);
  EXPECT_THAT(hypervisor.events, ElementsAre(Pair(0xd000'0000 + notify_at, testing::_)));
  config_write<std::uint16_t>(pci::reg::command, pci::command::bus_master);
  EXPECT_THAT(hypervisor.events, IsEmpty());
  config_write<std::uint16_t>(pci::reg::command, pci::command::memory | pci::command::bus_master);
  EXPECT_EQ(hypervisor.events.size(), 1U);
  write<std::uint8_t>(0xd000'0000 + device_status, 0);
  EXPECT_THAT(hypervisor.events, IsEmpty());
}

TEST_F(PciTransportTest, AQueueThatIsNotInMemoryNeedsAReset) {
  set_status(status::acknowledge | status::driver);
  accept(feature::version_1);
  set_status(status::acknowledge | status::driver | status::features_ok);
  set_common<std::uint16_t>(queue_select, 0);
  set_common<std::uint64_t>(queue_desc, 0xffff'ffff'0000);
  set_common<std::uint16_t>(queue_enable, 1);
  set_status(15);
  EXPECT_TRUE(status() & status::needs_reset);
  EXPECT_FALSE(probe->active);
  set_status(15);
  EXPECT_TRUE(status() & status::needs_reset) << "until it comes";
  set_status(0);
  EXPECT_EQ(status(), 0);
}

TEST_F(PciTransportTest, ADeviceThatCannotServeNeedsAReset) {
  probe->serves = false;
  fake::Driver driver(ram, 32);
  start(feature::version_1, driver);
  EXPECT_TRUE(status() & status::needs_reset);
  probe->serves = true;
  start(feature::version_1, driver);
  EXPECT_EQ(status(), 15);
}

TEST_F(PciTransportTest, VectorsBeyondTheTableAreNone) {
  EXPECT_EQ(common<std::uint16_t>(config_vector), 0xffff);
  set_common<std::uint16_t>(config_vector, 2);
  EXPECT_EQ(common<std::uint16_t>(config_vector), 2);
  set_common<std::uint16_t>(config_vector, 3);
  EXPECT_EQ(common<std::uint16_t>(config_vector), 0xffff);
  set_common<std::uint16_t>(queue_select, 1);
  set_common<std::uint16_t>(queue_vector, 1);
  EXPECT_EQ(common<std::uint16_t>(queue_vector), 1);
  set_common<std::uint16_t>(queue_vector, 300);
  EXPECT_EQ(common<std::uint16_t>(queue_vector), 0xffff);
}

TEST_F(PciTransportTest, MessagesGoWhereTheTableSays) {
  fake::Driver driver(ram, 32);
  enable_msix();
  start(feature::version_1, driver);
  set_common<std::uint16_t>(config_vector, 0);
  set_common<std::uint16_t>(queue_select, 0);
  set_common<std::uint16_t>(queue_vector, 1);
  Interrupt& interrupt = probe->active->interrupt;
  interrupt.queue(0);
  EXPECT_THAT(hypervisor.taken(), ElementsAre(Pair(0xfee0'1000, 0x41)));
  interrupt.config();
  EXPECT_THAT(hypervisor.taken(), ElementsAre(Pair(0xfee0'0000, 0x40)));
  interrupt.queue(1);  // without a vector
  interrupt.queue(7);
  EXPECT_THAT(hypervisor.taken(), IsEmpty());
  EXPECT_THAT(line, IsEmpty());
  EXPECT_EQ(read<std::uint8_t>(registers + isr_at), 0) << "only of the pin";
}

TEST_F(PciTransportTest, AMaskedMessageWaits) {
  fake::Driver driver(ram, 32);
  enable_msix();
  start(feature::version_1, driver);
  set_common<std::uint16_t>(queue_select, 0);
  set_common<std::uint16_t>(queue_vector, 1);
  Interrupt& interrupt = probe->active->interrupt;
  write<std::uint32_t>(table + 16 + 12, 1);
  interrupt.queue(0);
  interrupt.queue(0);
  EXPECT_THAT(hypervisor.taken(), IsEmpty());
  EXPECT_EQ(read<std::uint64_t>(table + 0x30), 2U);
  write<std::uint32_t>(table + 16 + 8, 0x77);  // moved while masked
  write<std::uint32_t>(table + 16 + 12, 0);
  EXPECT_THAT(hypervisor.taken(), ElementsAre(Pair(0xfee0'1000, 0x77)));
  EXPECT_EQ(read<std::uint64_t>(table + 0x30), 0U);

  config_write<std::uint16_t>(msix_control, pci::msix::enable | pci::msix::function_mask);
  interrupt.queue(0);
  EXPECT_THAT(hypervisor.taken(), IsEmpty());
  config_write<std::uint16_t>(msix_control, pci::msix::enable);
  EXPECT_THAT(hypervisor.taken(), ElementsAre(Pair(0xfee0'1000, 0x77)));
}

TEST_F(PciTransportTest, WithoutMessagesThereIsThePin) {
  fake::Driver driver(ram, 32);
  start(feature::version_1, driver);
  Interrupt& interrupt = probe->active->interrupt;
  interrupt.queue(0);
  interrupt.config();
  EXPECT_THAT(line, ElementsAre(true));
  EXPECT_TRUE(config_read<std::uint16_t>(pci::reg::status) & pci::status::interrupt);
  EXPECT_EQ(read<std::uint8_t>(registers + isr_at), 3);
  EXPECT_THAT(line, ElementsAre(true, false)) << "reading it lowers the line";
  EXPECT_EQ(read<std::uint8_t>(registers + isr_at), 0);
  EXPECT_FALSE(config_read<std::uint16_t>(pci::reg::status) & pci::status::interrupt);

  line.clear();
  config_write<std::uint16_t>(pci::reg::command, pci::command::memory | pci::command::intx_disable);
  interrupt.queue(0);
  EXPECT_THAT(line, IsEmpty());
  config_write<std::uint16_t>(pci::reg::command, pci::command::memory);
  EXPECT_THAT(line, ElementsAre(true));
  set_status(0);
  EXPECT_THAT(line, ElementsAre(true, false));
}

TEST_F(PciTransportTest, ABrokenRuleIsToldOf) {
  fake::Driver driver(ram, 32);
  enable_msix();
  start(feature::version_1, driver);
  set_common<std::uint16_t>(config_vector, 2);
  probe->active->interrupt.needs_reset();
  EXPECT_EQ(status(), 15 | status::needs_reset);
  EXPECT_THAT(hypervisor.taken(), ElementsAre(Pair(0xfee0'2000, 0x42)));
}

TEST_F(PciTransportTest, ConfigurationHasAGeneration) {
  fake::Driver driver(ram, 32);
  start(feature::version_1, driver);
  const auto before = common<std::uint8_t>(generation);
  EXPECT_EQ(read<std::uint64_t>(registers + device_at), 0x0807'0605'0403'0201U);
  EXPECT_EQ(common<std::uint8_t>(generation), before);
  probe->active->interrupt.config();
  EXPECT_NE(common<std::uint8_t>(generation), before);
  write<std::uint16_t>(registers + device_at + 2, 0xaabb);
  EXPECT_EQ(read<std::uint32_t>(registers + device_at), 0xaabb'0201U);
  EXPECT_EQ(read<std::uint32_t>(registers + device_at + 6), 0U) << "across its end";
  EXPECT_EQ(read<std::uint64_t>(registers + device_at + 0xff8), 0U);
  write<std::uint64_t>(registers + device_at + 4, ~0U);
  EXPECT_EQ(read<std::uint32_t>(registers + device_at + 4), 0x0807'0605U);
}

TEST_F(PciTransportTest, AResetAtAnyMomentForgetsEverything) {
  fake::Driver driver(ram, 32);
  const unsigned moments[] = {1, 3, 11, 15};
  for (const unsigned moment : moments) {
    set_status(moment & 3);
    accept(feature::version_1);
    set_status(moment & 11);
    set_common<std::uint16_t>(config_vector, 1);
    set_up(1, fake::Driver(ram, 16));
    set_common<std::uint16_t>(queue_vector, 2);
    set_status(moment);
    write<std::uint16_t>(registers + notify_at + 4, 1);
    EXPECT_EQ(probe->active.has_value(), moment == 15);
    set_status(0);
    EXPECT_EQ(status(), 0);
    EXPECT_FALSE(probe->active);
    EXPECT_EQ(common<std::uint16_t>(config_vector), 0xffff);
    EXPECT_EQ(common<std::uint16_t>(queue_select), 0);
    set_common<std::uint32_t>(driver_select, 1);
    EXPECT_EQ(common<std::uint32_t>(driver_feature), 0U);
    set_common<std::uint16_t>(queue_select, 1);
    EXPECT_EQ(common<std::uint16_t>(queue_enable), 0);
    EXPECT_EQ(common<std::uint16_t>(queue_vector), 0xffff);
    EXPECT_EQ(common<std::uint64_t>(queue_desc), 0U);
    EXPECT_THAT(hypervisor.events, IsEmpty());
  }
  EXPECT_EQ(probe->resets, 1) << "only of a device that was active";
  start(feature::version_1, driver);
  run_once();
  EXPECT_THAT(probe->ready, IsEmpty()) << "what was told before belonged to another driver";
  transport->reset();
  EXPECT_FALSE(probe->active);
  EXPECT_EQ(config_read<std::uint16_t>(pci::reg::command), 0);
}

TEST_F(PciTransportTest, TheWindowReachesTheBars) {
  const auto window_at = [this](std::uint8_t bar, std::uint32_t offset, std::uint32_t length) {
    config_write<std::uint8_t>(pci_cap + 4, bar);
    config_write<std::uint32_t>(pci_cap + 8, offset);
    config_write<std::uint32_t>(pci_cap + 12, length);
  };
  config_write<std::uint16_t>(pci::reg::command, 0);  // as firmware may, before anything is placed
  window_at(registers_bar, device_status, 1);
  config_write<std::uint8_t>(pci_cap + 16, 1);
  EXPECT_EQ(config_read<std::uint8_t>(pci_cap + 16), 1);
  window_at(registers_bar, num_queues, 2);
  EXPECT_EQ(config_read<std::uint16_t>(pci_cap + 16), 2);
  window_at(registers_bar, device_at, 4);
  EXPECT_EQ(config_read<std::uint32_t>(pci_cap + 16), 0x0403'0201U);
  window_at(msix_bar, 8, 4);
  config_write<std::uint32_t>(pci_cap + 16, 0x1234);
  EXPECT_EQ(config_read<std::uint32_t>(pci_cap + 16), 0x1234U);

  // What is outside, misaligned or of no size reaches nothing.
  window_at(registers_bar, num_queues, 2);
  EXPECT_EQ(config_read<std::uint16_t>(pci_cap + 16), 2);
  for (const auto& [bar, offset, length] : {std::tuple<std::uint8_t, std::uint32_t, std::uint32_t>{0, 0, 4},
                                            {5, 0, 4},
                                            {0xff, 0, 4},
                                            {registers_bar, 0x4000, 4},
                                            {registers_bar, 0xffff'fffc, 4},
                                            {registers_bar, 2, 4},
                                            {registers_bar, 0, 3},
                                            {registers_bar, 0, 8},
                                            {registers_bar, 0, 0}}) {
    window_at(bar, offset, length);
    EXPECT_EQ(config_read<std::uint16_t>(pci_cap + 16), 2);
    config_write<std::uint32_t>(pci_cap + 16, 2);
  }
}

TEST_F(PciTransportTest, UnpluggedItIsSilent) {
  fake::Driver driver(ram, 32);
  start(feature::version_1, driver);
  probe->active->interrupt.queue(0);
  root.remove(4 << 3);
  EXPECT_FALSE(probe->active);
  EXPECT_THAT(line, ElementsAre(true, false));
  EXPECT_THAT(hypervisor.events, IsEmpty());
  std::array<std::uint8_t, 4> bytes{};
  EXPECT_FALSE(memory.read(registers, bytes));
}

}  // namespace
}  // namespace virtio
