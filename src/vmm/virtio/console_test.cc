#include "vmm/virtio/console.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "vmm/virtio/device_fake.h"

namespace virtio {
namespace {

using namespace console_layout;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint64_t with_ports = size_feature | multiport_feature | feature::version_1;

/// What a driver reads of the control queue.
struct Told {
  unsigned port;
  Event event;
  unsigned value;
  std::string rest = {};
  friend bool operator==(const Told&, const Told&) = default;
  friend void PrintTo(const Told& told, std::ostream* out) {
    *out << "port " << told.port << " event " << static_cast<int>(told.event) << " value " << told.value << " '"
         << told.rest << "'";
  }
};

struct ConsoleTest : testing::Test {
  std::string folder;
  loop::Clock clock{loop::Clock::Kind::simulated};
  loop::Loop loop{clock};
  std::vector<std::unique_ptr<chardev::Chardev>> chardevs;
  std::unique_ptr<Console> console = std::make_unique<Console>(ConsoleConfig{.max_ports = 4});
  fake::Bench bench{*console};
  std::optional<fake::LoopThread> thread;
  std::vector<fake::Sent> control_buffers;

  ConsoleTest() {
    char name[] = "/tmp/console_test_XXXXXX";
    folder = ::mkdtemp(name);
  }
  ~ConsoleTest() override {
    thread.reset();
    console.reset();
    chardevs.clear();
    std::filesystem::remove_all(folder);
  }

  std::string path(std::size_t index) const { return folder + "/" + std::to_string(index); }
  chardev::Chardev& make_chardev() {
    const std::size_t index = chardevs.size();
    chardev::Config config;
    config.kind = chardev::Config::Kind::unix_socket;
    config.path = path(index);
    config.server = true;
    chardevs.push_back(std::make_unique<chardev::Chardev>(std::move(config), loop));
    return *chardevs.back();
  }
  base::UniqueFd connect(std::size_t index) const {
    base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::ranges::copy(path(index), name.sun_path);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    return fd;
  }
  static std::string read_from(const base::UniqueFd& fd, std::size_t size) {
    std::string bytes(size, '\0');
    std::size_t done = 0;
    while (done < size) {
      const ssize_t got = ::recv(fd.get(), &bytes[done], size - done, 0);
      if (got <= 0) break;
      done += static_cast<std::size_t>(got);
    }
    bytes.resize(done);
    return bytes;
  }

  void say(std::uint32_t port, Event event, std::uint16_t value) {
    while (bench[control_transmit].take_used()) continue;
    bench[control_transmit].chain().readable(Control{port, event, value}).send();
    console->queue_ready(control_transmit);
  }
  void give_control_buffers(int count, std::uint32_t size = 64) {
    for (int i = 0; i < count; ++i) control_buffers.push_back(bench[control_receive].chain().writable(size).send());
    console->queue_ready(control_receive);
  }
  std::vector<Told> told() {
    std::vector<Told> all;
    while (const auto used = bench[control_receive].take_used()) {
      const auto sent = std::ranges::find(control_buffers, used->head, &fake::Sent::head);
      const std::string text = bench[control_receive].text(*sent, used->written);
      control_buffers.erase(sent);
      Control control{};
      std::memcpy(&control, text.data(), sizeof control);
      all.push_back({control.port, control.event, control.value, text.substr(sizeof control)});
    }
    return all;
  }
};

TEST_F(ConsoleTest, SaysWhatItIs) {
  Console full({});
  EXPECT_EQ(full.traits().type, 3);
  EXPECT_EQ(full.traits().features, with_ports);
  EXPECT_EQ(full.traits().queue_sizes.size(), 64U);
  EXPECT_EQ(full.traits().queue_sizes[1], 128);
  EXPECT_EQ(full.traits().queue_sizes[2], 32);
  EXPECT_EQ(full.traits().queue_sizes[3], 32);
  EXPECT_EQ(full.traits().queue_sizes[63], 128);
  std::array<std::uint8_t, 12> config{};
  full.read_config(0, config);
  EXPECT_THAT(config, ElementsAre(0, 0, 0, 0, 31, 0, 0, 0, 0, 0, 0, 0));
}

TEST_F(ConsoleTest, PortsAreIntroduced) {
  ASSERT_TRUE(console->add_port(0, make_chardev(), true, "tty"));
  ASSERT_TRUE(console->add_port(2, make_chardev(), false, ""));
  EXPECT_FALSE(console->add_port(2, *chardevs[0], false, "")) << "taken";
  EXPECT_FALSE(console->add_port(4, *chardevs[0], false, "")) << "beyond max_ports";
  bench.activate(with_ports);
  give_control_buffers(16);
  EXPECT_THAT(told(), IsEmpty());
  say(0, Event::device_ready, 0);
  EXPECT_THAT(told(), IsEmpty()) << "a driver that failed";
  say(0, Event::device_ready, 1);
  EXPECT_THAT(told(), ElementsAre(Told{0, Event::device_add, 1}, Told{2, Event::device_add, 1}));
  EXPECT_GT(bench.interrupts.taken(control_receive), 0U);
  EXPECT_GT(bench.interrupts.taken(control_transmit), 0U);
  say(0, Event::port_ready, 1);
  EXPECT_THAT(told(), ElementsAre(Told{0, Event::console_port, 1}, Told{0, Event::port_name, 1, "tty"},
                                  Told{0, Event::port_open, 1}));
  say(2, Event::port_ready, 1);
  EXPECT_THAT(told(), IsEmpty()) << "no console, no name, nobody there";
  say(7, Event::port_ready, 1);
  say(0, Event::port_name, 1);
  say(0, static_cast<Event>(99), 1);
  EXPECT_THAT(told(), IsEmpty());
  EXPECT_FALSE(bench.interrupts.broken);
}

TEST_F(ConsoleTest, WhatIsToBeSaidWaitsForBuffersAndIsSaidOnce) {
  console->add_port(0, make_chardev(), true, "a");
  bench.activate(with_ports);
  for (int i = 0; i < 100; ++i) say(0, Event::device_ready, 1);
  say(0, Event::port_ready, 1);
  console->resize(0, 80, 25);
  console->resize(0, 132, 43);
  EXPECT_THAT(told(), IsEmpty());
  give_control_buffers(2);
  EXPECT_THAT(told(), ElementsAre(Told{0, Event::device_add, 1}, Told{0, Event::console_port, 1}));
  give_control_buffers(8);
  EXPECT_THAT(told(), ElementsAre(Told{0, Event::port_name, 1, "a"}, Told{0, Event::port_open, 1},
                                  Told{0, Event::resize, 0, std::string("\x84\0\x2b\0", 4)}));
}

TEST_F(ConsoleTest, PortsComeAndGo) {
  bench.activate(with_ports);
  say(0, Event::device_ready, 1);
  give_control_buffers(3);
  console->add_port(1, make_chardev(), false, "");
  EXPECT_THAT(told(), ElementsAre(Told{1, Event::device_add, 1}));
  bench[receive_queue(1)].chain().writable(64).send();
  EXPECT_TRUE(console->remove_port(1));
  EXPECT_FALSE(console->remove_port(1));
  EXPECT_THAT(told(), ElementsAre(Told{1, Event::device_remove, 1}));
  console->add_port(1, *chardevs[0], false, "");
  EXPECT_THAT(told(), ElementsAre(Told{1, Event::device_add, 1}));
  // Without buffers for it, in one breath: gone, there, gone, and another there.
  console->remove_port(1);
  console->add_port(1, *chardevs[0], false, "");
  console->remove_port(1);
  console->add_port(1, *chardevs[0], false, "");
  give_control_buffers(8);
  EXPECT_THAT(told(), ElementsAre(Told{1, Event::device_remove, 1}, Told{1, Event::device_add, 1}));
  console->remove_port(1);
  console->add_port(1, *chardevs[0], false, "");
  EXPECT_THAT(told(), ElementsAre(Told{1, Event::device_remove, 1}, Told{1, Event::device_add, 1}));
}

TEST_F(ConsoleTest, AControlMessageThatIsTooShortBreaksTheRules) {
  bench.activate(with_ports);
  bench[control_transmit].chain().readable("1234567").send();
  console->queue_ready(control_transmit);
  EXPECT_TRUE(bench.interrupts.broken);
  say(0, Event::device_ready, 1);  // and is served no more
  EXPECT_FALSE(bench[control_transmit].take_used());
  console->reset();
  EXPECT_TRUE(bench.activate(with_ports));
}

TEST_F(ConsoleTest, AControlBufferThatIsTooShortBreaksTheRules) {
  console->add_port(0, make_chardev(), true, "");
  bench.activate(with_ports);
  give_control_buffers(1, 1);
  say(0, Event::device_ready, 1);
  EXPECT_TRUE(bench.interrupts.broken);
}

TEST_F(ConsoleTest, ABrokenQueueIsToldOf) {
  console->add_port(0, make_chardev(), true, "");
  bench.activate(with_ports);
  bench[1].make_available(500);
  console->queue_ready(1);
  EXPECT_TRUE(bench.interrupts.broken);
}

TEST_F(ConsoleTest, AnOldDriverHasPortZero) {
  console->add_port(0, make_chardev(), true, "");
  console->add_port(1, make_chardev(), true, "");
  bench.activate(feature::version_1 | size_feature);
  console->resize(0, 80, 25);
  console->resize(0, 80, 25);
  console->resize(1, 80, 25);
  EXPECT_EQ(bench.interrupts.configs, 1U);
  std::array<std::uint8_t, 4> config{};
  console->read_config(0, config);
  EXPECT_THAT(config, ElementsAre(80, 0, 25, 0));
  say(0, Event::device_ready, 1);
  EXPECT_FALSE(bench[control_transmit].take_used());

  const auto sent = bench[0].chain().writable(16).send();
  bench[1].chain().readable("login: ").send();
  console->queue_ready(0);
  console->queue_ready(1);
  EXPECT_TRUE(bench[1].take_used());
  const auto peer = connect(0);
  thread.emplace(loop);
  EXPECT_EQ(read_from(peer, 7), "login: ") << "kept for who comes";
  ASSERT_EQ(::write(peer.get(), "root\n", 5), 5);
  std::optional<fake::Driver::Used> used;
  ASSERT_TRUE(thread->eventually([&] { return (used = bench[0].take_used()).has_value(); }));
  EXPECT_EQ(used->written, 5U);
  EXPECT_EQ(bench[0].text(sent, 5), "root\n");
}

TEST_F(ConsoleTest, APeerIsAnnounced) {
  console->add_port(1, make_chardev(), false, "");
  bench.activate(with_ports);
  give_control_buffers(8);
  say(0, Event::device_ready, 1);
  say(1, Event::port_ready, 1);
  EXPECT_THAT(told(), ElementsAre(Told{1, Event::device_add, 1}));
  thread.emplace(loop);
  auto peer = connect(0);
  std::vector<Told> now;
  const auto one_more = [&] { return !(now = told()).empty(); };
  ASSERT_TRUE(thread->eventually(one_more));
  EXPECT_THAT(now, ElementsAre(Told{1, Event::port_open, 1}));
  peer.reset();
  ASSERT_TRUE(thread->eventually(one_more));
  EXPECT_THAT(now, ElementsAre(Told{1, Event::port_open, 0}));
}

TEST_F(ConsoleTest, InputWaitsForThePortToBeOpenAndForBuffers) {
  console->add_port(3, make_chardev(), false, "");
  bench.activate(with_ports);
  say(0, Event::device_ready, 1);
  say(3, Event::port_ready, 1);
  auto& input = bench[receive_queue(3)];
  const auto peer = connect(0);
  ASSERT_EQ(::write(peer.get(), "abcdefgh", 8), 8);
  const auto first = input.chain().writable(2).writable(3).send();
  console->queue_ready(receive_queue(3));
  thread.emplace(loop);
  ASSERT_TRUE(thread->eventually([&] { return chardevs[0]->connected(); }));
  const base::Lock lock(loop.mutex());
  EXPECT_FALSE(input.take_used()) << "the guest has not opened the port";
  say(3, Event::port_open, 1);
  loop.mutex().unlock();
  std::optional<fake::Driver::Used> used;
  EXPECT_TRUE(thread->eventually([&] { return (used = input.take_used()).has_value(); }));
  EXPECT_EQ(used->written, 5U);
  EXPECT_EQ(input.text(first, 5), "abcde");
  loop.mutex().lock();
  const auto second = input.chain().writable(64).send();
  console->queue_ready(receive_queue(3));
  loop.mutex().unlock();
  EXPECT_TRUE(thread->eventually([&] { return (used = input.take_used()).has_value(); }));
  EXPECT_EQ(input.text(second, used->written), "fgh");
  loop.mutex().lock();
}

TEST_F(ConsoleTest, AResetLosesNoInput) {
  console->add_port(0, make_chardev(), true, "");
  bench.activate(feature::version_1);
  bench[0].chain().writable(64).send();
  console->queue_ready(0);  // it holds the buffer, when the driver goes
  console->reset();
  const auto peer = connect(0);
  ASSERT_EQ(::write(peer.get(), "still here", 10), 10);
  bench.activate(feature::version_1);
  const auto sent = bench[0].chain().writable(64).send();
  console->queue_ready(0);
  thread.emplace(loop);
  ASSERT_TRUE(thread->eventually([&] { return bench[0].take_used().has_value(); }));
  EXPECT_EQ(bench[0].text(sent, 10), "still here");
}

TEST_F(ConsoleTest, OutputThatIsNotTakenNowWaits) {
  console->add_port(0, make_chardev(), true, "");
  bench.activate(feature::version_1);
  const auto peer = connect(0);
  thread.emplace(loop);
  ASSERT_TRUE(thread->eventually([&] { return chardevs[0]->connected(); }));
  std::string all;
  {
    const base::Lock lock(loop.mutex());
    for (int i = 0; i < 24; ++i) {
      const std::string half(16384, static_cast<char>('A' + i));
      bench[1].chain().readable(half).readable(half).send();
      all += half + half;
    }
    console->queue_ready(1);
    unsigned done = 0;
    while (bench[1].take_used()) ++done;
    EXPECT_LT(done, 24U) << "a socket does not hold so much";
  }
  EXPECT_EQ(read_from(peer, all.size()), all);
  ASSERT_TRUE(thread->eventually([&] { return bench[1].used_index() == 24; }));
  EXPECT_GT(bench.interrupts.taken(1), 0U);
}

TEST_F(ConsoleTest, OutputToAPortThatIsNoneIsDropped) {
  bench.activate(with_ports);
  bench[receive_queue(2) + 1].chain().readable("nobody").send();
  console->queue_ready(receive_queue(2) + 1);
  EXPECT_TRUE(bench[receive_queue(2) + 1].take_used());
}

TEST_F(ConsoleTest, AQueueThatIsNeverEmptyLeavesOthersTheirTurn) {
  console->add_port(0, make_chardev(), true, "");
  bench.activate(feature::version_1);
  bench.ram.keep();
  // A megabyte many times over, in one request.
  auto chain = bench[1].chain();
  for (int i = 0; i < 20; ++i) chain.at(fake::Ram::base, 1 << 20, false);
  chain.send();
  console->queue_ready(1);
  EXPECT_FALSE(bench[1].take_used());
  for (int i = 0; i < 20; ++i) console->queue_ready(1);
  EXPECT_TRUE(bench[1].take_used());
}

}  // namespace
}  // namespace virtio
