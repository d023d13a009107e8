#include "driver/instance/monitor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <thread>

#include "base/unique_fd.h"
#include "driver/emulator/example_for_test.h"
#include "driver/emulator/original_for_test.h"
#include "driver/instance/run_for_test.h"

namespace instance {
namespace {

using core::Error;
using core::ErrorCode;
using emulator::Json;
using std::chrono::milliseconds;
using test::error_of;
using test::run;
using test::run_until;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char greeting[] =
    R"({"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}})"
    "\r\n";
constexpr char capable[] = R"({"return": {}, "id": "libvirt-1"})";
constexpr milliseconds soon{300};

/// The emulator's end of the socket: a thread that says what its script makes it say, true or not.
class Peer {
 public:
  using Script = std::function<void(Peer&)>;

  Peer(const std::string& path, Script script) : script_(std::move(script)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    listener_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener_.get(), 1), 0);
    thread_ = std::thread([this] {
      pollfd ready{listener_.get(), POLLIN, 0};
      while (!over_ && poll(&ready, 1, 10) == 0) continue;
      if (over_) return;
      socket_.reset(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      script_(*this);
    });
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() {
    over_ = true;
    thread_.join();
  }

  /// Whether the other end still takes it.
  bool say(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  /// The next command, null once the other end is gone.
  Json hear() {
    std::string line;
    for (char byte = 0; recv(socket_.get(), &byte, 1, 0) == 1 && byte != '\n';) line += byte;
    return line.empty() ? Json() : Json::parse(line);
  }
  /// The next command and the descriptor that came with it, -1 for none.
  std::pair<Json, base::UniqueFd> hear_with_fd() {
    std::array<char, 4096> bytes{};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    int fd = -1;
    if (const cmsghdr* header = CMSG_FIRSTHDR(&message)) std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return {got > 0 ? Json::parse(std::string(bytes.data(), static_cast<std::size_t>(got))) : Json(),
            base::UniqueFd(fd)};
  }
  void greet() {
    say(greeting);
    hear();
    say(capable);
  }
  /// Answers every command with its name until the other end is gone.
  void serve() {
    for (Json command = hear(); !command.is_null(); command = hear()) {
      if (!say(Json{{"return", command["execute"]}, {"id", command["id"]}}.dump() + "\n")) return;
    }
  }
  /// Is a StratoVirt 2.5.0: takes a command a read, a descriptor with it or not.
  void be_the_original() {
    emulator::test::Original original;
    std::array<char, 4096> bytes{};
    for (ssize_t got; (got = recv(socket_.get(), bytes.data(), bytes.size(), 0)) > 0;)
      if (!say(original.answer({bytes.data(), static_cast<std::size_t>(got)}).dump())) return;
  }
  void hang_up() { socket_.reset(); }
  /// Says nothing until the other end gives up.
  void stay_silent() {
    char bytes[4096];
    while (recv(socket_.get(), bytes, sizeof bytes, 0) > 0) continue;
  }
  /// Does not even listen.
  void sleep_until_over() const {
    while (!over_) std::this_thread::sleep_for(milliseconds(5));
  }

 private:
  Script script_;
  base::UniqueFd listener_, socket_;
  std::atomic<bool> over_ = false;
  std::thread thread_;
};

class MonitorTest : public testing::Test {
 public:
  std::shared_ptr<Monitor> connect(Peer::Script script, milliseconds limit = test::patience) {
    peer.emplace(folder.path + "/monitor.sock", std::move(script));
    return monitor =
               run(loop, Monitor::connect(
                             loop, folder.path, "monitor.sock", Monitor::Clock::now() + limit, [] { return false; },
                             [this](const qmp::Event& event) {
                               events.push_back(event.name);
                               if (on_event) on_event(event);
                             }));
  }
  Json execute(const std::string& command, milliseconds limit = test::patience, Json arguments = nullptr) {
    return run(loop, monitor->execute({command, std::move(arguments)}, limit));
  }
  ~MonitorTest() override {
    if (monitor) monitor->close();
    loop.context().restart();
    loop.context().run_for(milliseconds(20));
  }

  core::Loop loop;
  test::TemporaryFolder folder;
  std::optional<Peer> peer;
  std::shared_ptr<Monitor> monitor;
  std::vector<std::string> events;
  std::function<void(const qmp::Event&)> on_event;
};

TEST_F(MonitorTest, CommandsAreAnswered) {
  connect([](Peer& peer) {
    peer.greet();
    peer.serve();
  });
  EXPECT_EQ(execute("query-status"), "query-status");
  EXPECT_EQ(execute("stop"), "stop");
}

constexpr char original_greeting[] =
    R"({"QMP":{"version":{"qemu":{"micro":1,"minor":0,"major":5},"package":"StratoVirt-2.5.0"},"capabilities":[]}})";

TEST_F(MonitorTest, TheOriginalIsDriven) {
  connect([](Peer& peer) {
    peer.say(original_greeting);
    peer.be_the_original();
  });
  using namespace emulator;
  const Capabilities original = assumed(Kind::stratovirt, domain::Arch::x86_64);
  const auto domain = emulator::test::example(domain::Type::kvm);
  EXPECT_EQ(read_status(execute(query_status().command)).state, "paused");
  EXPECT_EQ(read_chardevs(execute(query_chardev().command)).at(0).pty_path, "/dev/pts/0");
  EXPECT_EQ(read_vcpus(execute(query_vcpus(original).command)).size(), 1U);
  run(loop, monitor->give("fd-net0-0", base::UniqueFd(dup(0))));
  for (const domain::Device& device : {domain::Device(domain.disks[0]), domain::Device(domain.interfaces[0])}) {
    for (Attachment& step : attach(domain, device, emulator::test::resources(), original))
      run(loop, monitor->execute(std::move(step.request)));
    run(loop, monitor->execute(detach(device)));
    for (Request& request : after_detach(device)) run(loop, monitor->execute(std::move(request)));
  }
  for (Request request : {cont(), set_balloon(1024), query_balloon(), system_powerdown(original), stop(), quit()})
    run(loop, monitor->execute(std::move(request)));
  monitor->close();
}

TEST_F(MonitorTest, MoreCommandsThanTheOriginalTakesASecondAreSentLater) {
  connect([](Peer& peer) {
    peer.say(original_greeting);
    peer.be_the_original();
  });
  for (int i = 0; i < 250; ++i) execute("query-status");
  EXPECT_EQ(error_of([&] { execute("query-status", soon, Json{{"no", "such"}}); }).code(), ErrorCode::internal_error);
  monitor->close();
}

TEST_F(MonitorTest, ADescriptorIsHandedOverWithItsName) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  const base::UniqueFd read(ends[0]);
  base::UniqueFd write(ends[1]);
  connect([](Peer& peer) {
    peer.greet();
    auto [command, fd] = peer.hear_with_fd();
    const bool right = command["execute"] == "getfd" && command["arguments"] == Json{{"fdname", "tap"}};
    const bool written = ::write(fd.get(), "x", 1) == 1;
    fd.reset();
    if (right && written) peer.say(Json{{"return", Json::object()}, {"id", command["id"]}}.dump() + "\n");
    peer.stay_silent();
  });
  run(loop, monitor->give("tap", std::move(write)));
  char byte = 0;
  EXPECT_EQ(::read(read.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
  EXPECT_EQ(::read(read.get(), &byte, 1), 0) << "a copy stayed on this side";
  monitor->close();
}

TEST_F(MonitorTest, ADescriptorThatIsRefusedIsAnError) {
  connect([](Peer& peer) {
    peer.greet();
    const auto [command, fd] = peer.hear_with_fd();
    peer.say(Json{{"error", {{"class", "GenericError"}, {"desc", "no room"}}}, {"id", command["id"]}}.dump() + "\n");
    peer.stay_silent();
  });
  const Error refused = error_of([&] { run(loop, monitor->give("tap", base::UniqueFd(dup(0)))); });
  EXPECT_EQ(refused.code(), ErrorCode::internal_error);
  EXPECT_EQ(refused.detail(), "unable to execute QEMU command 'getfd': no room");
  monitor->close();
}

TEST_F(MonitorTest, ASocketThatComesLateIsWaitedFor) {
  std::thread late([this] {
    std::this_thread::sleep_for(milliseconds(100));
    peer.emplace(folder.path + "/monitor.sock", [](Peer& peer) {
      peer.greet();
      peer.serve();
    });
  });
  monitor = run(loop, Monitor::connect(
                          loop, folder.path, "monitor.sock", Monitor::Clock::now() + test::patience,
                          [] { return false; }, nullptr));
  late.join();
  EXPECT_EQ(execute("stop"), "stop");
}

TEST_F(MonitorTest, ConnectingEndsWithItsLimitAndWithTheEmulator) {
  const auto connect_to_none = [&](bool gone) {
    return error_of([&] {
      run(loop, Monitor::connect(
                    loop, folder.path, "monitor.sock", Monitor::Clock::now() + soon, [gone] { return gone; }, nullptr));
    });
  };
  const Error late = connect_to_none(false);
  EXPECT_EQ(late.code(), ErrorCode::operation_timeout);
  EXPECT_EQ(late.detail(), "cannot connect to monitor: No such file or directory");
  const Error gone = connect_to_none(true);
  EXPECT_EQ(gone.code(), ErrorCode::internal_error);
  EXPECT_EQ(gone.detail(), "process exited while connecting to monitor");
}

TEST_F(MonitorTest, AFolderTooLongForASocketAddressIsReached) {
  const std::string long_folder = folder.path + "/" + std::string(200, 'x');
  std::filesystem::create_directory(long_folder);
  Peer far(folder.path + "/monitor.sock", [](Peer& peer) {
    peer.greet();
    peer.serve();
  });
  std::filesystem::rename(folder.path + "/monitor.sock", long_folder + "/monitor.sock");
  monitor = run(loop, Monitor::connect(
                          loop, long_folder, "monitor.sock", Monitor::Clock::now() + test::patience,
                          [] { return false; }, nullptr));
  EXPECT_EQ(execute("stop"), "stop");
  monitor->close();
}

/// Peers that never get through the handshake, and what is said of them.
struct BadHandshake {
  const char* name;
  Peer::Script script;
  ErrorCode code;
  const char* text;
};
class HandshakeTest : public MonitorTest, public testing::WithParamInterface<BadHandshake> {};

TEST_P(HandshakeTest, EndsInTimeWithAClearErrorAndTheSocketClosed) {
  std::atomic<bool> noticed = false;
  const Error error = error_of([&] {
    connect(
        [&](Peer& peer) {
          GetParam().script(peer);
          peer.stay_silent();  // ends when the other end hangs up
          noticed = true;
        },
        soon);
  });
  EXPECT_EQ(error.code(), GetParam().code);
  EXPECT_THAT(error.detail(), HasSubstr(GetParam().text));
  run_until(loop, [&] { return noticed.load(); });
}

INSTANTIATE_TEST_SUITE_P(
    , HandshakeTest,
    testing::Values(BadHandshake{"Silent", [](Peer&) {}, ErrorCode::operation_timeout, "did not greet"},
                    BadHandshake{"HalfAGreeting", [](Peer& peer) { peer.say(R"({"QMP": {"version")"); },
                                 ErrorCode::operation_timeout, "did not greet"},
                    BadHandshake{"ClosesAtOnce", [](Peer& peer) { peer.hang_up(); }, ErrorCode::internal_error,
                                 "the emulator closed its monitor"},
                    BadHandshake{"ClosesAfterTheGreeting",
                                 [](Peer& peer) {
                                   peer.say(greeting);
                                   peer.hang_up();
                                 },
                                 ErrorCode::internal_error, "the emulator closed its monitor"},
                    BadHandshake{"ClosesInsteadOfAnswering",
                                 [](Peer& peer) {
                                   peer.say(greeting);
                                   peer.hear();
                                   peer.hang_up();
                                 },
                                 ErrorCode::internal_error, "the emulator closed its monitor"},
                    BadHandshake{"DoesNotAnswer", [](Peer& peer) { peer.say(greeting); }, ErrorCode::operation_timeout,
                                 "did not answer 'qmp_capabilities' in time"},
                    BadHandshake{
                        "Refuses",
                        [](Peer& peer) {
                          peer.say(greeting);
                          peer.hear();
                          peer.say(R"({"error": {"class": "GenericError", "desc": "not today"}, "id": "libvirt-1"})");
                        },
                        ErrorCode::internal_error, "unable to execute QEMU command 'qmp_capabilities': not today"},
                    BadHandshake{"Garbage", [](Peer& peer) { peer.say("220 smtp.example.org ESMTP\r\n"); },
                                 ErrorCode::internal_error, "the emulator does not speak QMP"},
                    BadHandshake{"AnArray", [](Peer& peer) { peer.say("[1, 2]\n"); }, ErrorCode::internal_error,
                                 "the emulator does not speak QMP"},
                    BadHandshake{"NotUtf8", [](Peer& peer) { peer.say("{\"QMP\": \"\xff\xfe\"}\n"); },
                                 ErrorCode::internal_error, "the emulator does not speak QMP"},
                    BadHandshake{"TooDeep", [](Peer& peer) { peer.say("{\"QMP\": " + std::string(1000, '[')); },
                                 ErrorCode::internal_error, "the emulator does not speak QMP"},
                    BadHandshake{"Slow",
                                 [](Peer& peer) {
                                   for (const char byte : std::string_view(greeting)) {
                                     if (!peer.say({&byte, 1})) return;
                                     std::this_thread::sleep_for(milliseconds(20));
                                   }
                                 },
                                 ErrorCode::operation_timeout, "did not greet"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST_F(MonitorTest, GigabytesWithoutAnEndAreNotKept) {
  std::atomic<std::size_t> taken = 0;
  const Error error = error_of([&] {
    connect([&](Peer& peer) {
      peer.greet();
      const std::string much(1 << 20, 'a');
      if (!peer.say(R"({"return": ")")) return;
      while (taken < (std::size_t{4} << 30) && peer.say(much)) taken += much.size();
    });
    execute("query-status");
  });
  EXPECT_EQ(error.code(), ErrorCode::internal_error);
  EXPECT_THAT(error.detail(), StartsWith("the emulator does not speak QMP"));
  EXPECT_TRUE(monitor->broken());
  EXPECT_LT(taken, std::size_t{64} << 20);
}

TEST_F(MonitorTest, AnErrorIsSaidInTheEmulatorsWords) {
  connect([](Peer& peer) {
    peer.greet();
    peer.hear();
    peer.say(R"({"error": {"class": "GenericError", "desc": "no such device"}, "id": "libvirt-2"})");
    peer.serve();
  });
  const Error error = error_of([&] { execute("device_del"); });
  EXPECT_EQ(error.code(), ErrorCode::internal_error);
  EXPECT_EQ(error.detail(), "unable to execute QEMU command 'device_del': no such device");
  EXPECT_EQ(execute("stop"), "stop");
}

TEST_F(MonitorTest, AnswersWithoutAnIdAreTaken) {
  connect([](Peer& peer) {
    peer.say(greeting);
    for (int i = 0; i < 2; ++i) {
      peer.hear();
      peer.say(R"({"return": {"number": )" + std::to_string(i) + "}}\n");
    }
    peer.stay_silent();
  });
  EXPECT_EQ(execute("query-status"), (Json{{"number", 1}}));
}

TEST_F(MonitorTest, AnswersToWhatWasNotAskedAreNotTaken) {
  connect([](Peer& peer) {
    peer.greet();
    peer.hear();
    for (const char* id : {"", "2", "libvirt-1", "libvirt-3", "libvirt-02", "libvirt-2 "}) {
      peer.say(std::string(R"({"return": "a lie", "id": ")") + id + "\"}\n");
    }
    peer.say(R"({"return": "the truth", "id": "libvirt-2"})");
    peer.serve();
  });
  EXPECT_EQ(execute("query-status"), "the truth");
  EXPECT_EQ(execute("stop"), "stop");
}

TEST_F(MonitorTest, ALateAnswerIsNotTakenForTheNextCommand) {
  for (const bool with_id : {true, false}) {
    monitor.reset();
    peer.reset();
    std::filesystem::remove(folder.path + "/monitor.sock");
    connect([with_id](Peer& peer) {
      peer.greet();
      peer.hear();
      const Json second = peer.hear();  // comes when the first was given up
      Json late = {{"return", "late"}}, true_one = {{"return", "in time"}};
      if (with_id) {
        late["id"] = "libvirt-2";
        true_one["id"] = second["id"];
      }
      peer.say(late.dump() + "\n" + true_one.dump() + "\n");
      peer.serve();
    });
    const Error error = error_of([&] { execute("query-block", soon); });
    EXPECT_EQ(error.code(), ErrorCode::operation_timeout);
    EXPECT_EQ(error.detail(), "the emulator did not answer 'query-block' in time");
    EXPECT_FALSE(monitor->broken());
    EXPECT_EQ(execute("query-status"), "in time");
    EXPECT_EQ(execute("stop"), "stop");
    monitor->close();
  }
}

TEST_F(MonitorTest, EventsBetweenAreDeliveredInOrder) {
  connect([](Peer& peer) {
    peer.greet();
    const std::string event = R"(, "timestamp": {"seconds": 1, "microseconds": 2}})";
    peer.say(R"({"event": "STOP")" + event + "\n");
    peer.hear();
    peer.say(R"({"event": "RESUME")" + event + R"({"return": 5, "id": "libvirt-2"}{"event": "RESET")" + event);
    peer.stay_silent();
  });
  EXPECT_EQ(execute("query-status"), 5);
  run_until(loop, [&] { return events.size() == 3; });
  EXPECT_EQ(events, (std::vector<std::string>{"STOP", "RESUME", "RESET"}));
}

TEST_F(MonitorTest, AnEventThatCannotBeUnderstoodBreaksTheMonitor) {
  on_event = [](const qmp::Event& event) { emulator::read_event(event.name, event.data); };
  connect([](Peer& peer) {
    peer.greet();
    peer.say(R"({"event": "BALLOON_CHANGE", "data": {}, "timestamp": {"seconds": 1, "microseconds": 2}})");
    peer.stay_silent();
  });
  run_until(loop, [&] { return monitor->broken(); });
  EXPECT_THAT(error_of([&] { execute("stop"); }).detail(),
              AllOf(StartsWith("the emulator does not speak QMP"), HasSubstr("actual")));
}

TEST_F(MonitorTest, AnEventMayCloseTheMonitor) {
  on_event = [this](const qmp::Event&) { monitor->close(); };
  connect([](Peer& peer) {
    peer.greet();
    peer.hear();
    peer.say(R"({"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}})");
    peer.stay_silent();
  });
  EXPECT_EQ(error_of([&] { execute("stop"); }).detail(), "the monitor was closed");
  EXPECT_TRUE(monitor->broken());
  EXPECT_EQ(events.size(), 1U);
}

TEST_F(MonitorTest, OneWhoHangsUpFailsWhatIsUnderWayAndWhatWaits) {
  connect([](Peer& peer) {
    peer.greet();
    peer.hear();
    std::this_thread::sleep_for(milliseconds(50));
    peer.hang_up();
  });
  std::vector<std::string> ends;
  for (const char* command : {"first", "second", "third"}) {
    loop.spawn([](MonitorTest* self, std::string name, std::vector<std::string>* list) -> core::Task<void> {
      try {
        co_await self->monitor->execute({name, nullptr});
      } catch (const Error& error) {
        list->push_back(name + ": " + error.detail());
      }
    }(this, command, &ends));
  }
  run_until(loop, [&] { return ends.size() == 3; });
  EXPECT_THAT(ends, testing::UnorderedElementsAre("first: the emulator closed its monitor",
                                                  "second: the emulator closed its monitor",
                                                  "third: the emulator closed its monitor"));
}

TEST_F(MonitorTest, CommandsAreUnderWayOneByOneInTheOrderTheyCame) {
  std::atomic<int> heard = 0;
  std::atomic<bool> go_on = false;
  connect([&](Peer& peer) {
    peer.greet();
    const Json first = peer.hear();
    heard = 1;
    while (!go_on) std::this_thread::sleep_for(milliseconds(1));
    peer.say(Json{{"return", 0}, {"id", first["id"]}}.dump());
    peer.serve();
  });
  std::vector<std::string> answers;
  for (const char* command : {"one", "two", "three", "four"}) {
    loop.spawn([](MonitorTest* self, std::string name, std::vector<std::string>* list) -> core::Task<void> {
      co_await self->monitor->execute({name, nullptr});
      list->push_back(name);
    }(this, command, &answers));
  }
  run_until(loop, [&] { return heard == 1; });
  go_on = true;
  run_until(loop, [&] { return answers.size() == 4; });
  EXPECT_EQ(answers, (std::vector<std::string>{"one", "two", "three", "four"}));
}

TEST_F(MonitorTest, OneThatGivesUpItsTurnPassesItOn) {
  connect([](Peer& peer) {
    peer.greet();
    peer.hear();  // and does not answer
    peer.serve();
  });
  std::vector<std::string> ends;
  const auto start = [&](const char* command, milliseconds limit) {
    loop.spawn(
        [](MonitorTest* self, std::string name, milliseconds most, std::vector<std::string>* list) -> core::Task<void> {
          try {
            list->push_back((co_await self->monitor->execute({name, nullptr}, most)).get<std::string>());
          } catch (const Error&) {
            list->push_back("no " + name);
          }
        }(this, command, limit, &ends));
  };
  start("one", soon);
  start("two", soon);  // gives up at the moment its turn comes
  start("three", test::patience);
  run_until(loop, [&] { return ends.size() == 3; });
  EXPECT_EQ(ends, (std::vector<std::string>{"no one", "no two", "three"}));
}

TEST_F(MonitorTest, ACommandThatNobodyReadsIsGivenUp) {
  connect([](Peer& peer) {
    peer.greet();
    peer.sleep_until_over();
  });
  const Error error = error_of([&] { execute("big", soon, Json{{"text", std::string(8 << 20, 'x')}}); });
  EXPECT_EQ(error.detail(), "the emulator does not read its monitor");
  EXPECT_TRUE(monitor->broken());
}

TEST_F(MonitorTest, AClientsOwnCommandIsAnsweredWhole) {
  connect([](Peer& peer) {
    peer.greet();
    const Json first = peer.hear();
    EXPECT_EQ(first["arguments"], (Json{{"a", 1}}));
    peer.say(R"({"return": {"z": 2, "a": 1}, "id": )" + first["id"].dump() + "}");
    const Json second = peer.hear();
    peer.say(R"({"id": )" + second["id"].dump() + R"(, "error": {"desc": "no", "class": "CommandNotFound"}})");
    peer.stay_silent();
  });
  EXPECT_EQ(run(loop, monitor->pass_through(R"({"execute": "x", "arguments": {"a": 1}, "id": "mine"})")),
            R"({"return":{"z":2,"a":1},"id":"mine"})");
  EXPECT_EQ(run(loop, monitor->pass_through(R"({"execute": "y"})")),
            R"({"id":"libvirt-3","error":{"desc":"no","class":"CommandNotFound"}})");
  for (const char* bad :
       {"", "no json", "[]", R"({"arguments": {}})", R"({"execute": 5})", "{\"execute\": \"\xff\"}"}) {
    EXPECT_EQ(error_of([&] { run(loop, monitor->pass_through(bad)); }).code(), ErrorCode::invalid_arg) << bad;
  }
}

}  // namespace
}  // namespace instance
