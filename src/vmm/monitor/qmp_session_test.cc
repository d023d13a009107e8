#include "vmm/monitor/qmp_session.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <thread>

#include "vmm/monitor/fake_machine_for_test.h"
#include "vmm/monitor/server.h"

namespace monitor {
namespace {

using testing::HasSubstr;

constexpr std::string_view status = R"({"execute":"query-status","id":1})";

class Session : public testing::Test {
 protected:
  Session() {
    machine.told = [this](const Event& event) { session.tell(event); };
    session.connected(true);
    said();
  }
  void say(std::string_view text) {
    session.take({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, {});
  }
  /// What came out since the last call, a line each.
  std::vector<std::string> said() {
    std::vector<std::string> lines;
    for (auto end = output.find("\r\n"); end != std::string::npos; end = output.find("\r\n")) {
      lines.push_back(output.substr(0, end));
      output.erase(0, end + 2);
    }
    EXPECT_EQ(output, "");
    return lines;
  }

  FakeMachine machine;
  std::string output;
  std::size_t can_take = 1 << 24;
  int hung_up = 0;
  QmpSession session{machine,
                     {.write =
                          [this](std::span<const std::uint8_t> bytes) {
                            const std::size_t taken = std::min(bytes.size(), can_take);
                            output.append(reinterpret_cast<const char*>(bytes.data()), taken);
                            can_take -= taken;
                            return taken;
                          },
                      .hang_up =
                          [this] {
                            ++hung_up;
                            session.connected(false);
                          }}};
};

TEST_F(Session, GreetsEachPeer) {
  session.connected(false);
  session.connected(true);
  const auto lines = said();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0], greeting());
}

TEST_F(Session, AnswersHoweverTheBytesAreCut) {
  const std::string stream = std::string(status) + "\r\n" + std::string(status) + std::string(status) + " \n\t ";
  for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
    for (std::size_t at = 0; at < stream.size(); at += piece) say(std::string_view(stream).substr(at, piece));
    EXPECT_EQ(said().size(), 3U) << piece;
  }
  EXPECT_EQ(session.room(), QmpSession::longest_request);
}

TEST_F(Session, TellsOfACommandsEventAfterItsReply) {
  say(R"({"execute":"stop","id":1})");
  const auto lines = said();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_THAT(lines[0], HasSubstr("return"));
  EXPECT_THAT(lines[1], HasSubstr("STOP"));
  session.tell({Event::Kind::powerdown, false, {}, 0});
  EXPECT_THAT(said().at(0), HasSubstr("POWERDOWN"));
}

TEST_F(Session, AnEventWaitsForTheFirstCommand) {
  for (const std::string first : {R"({"execute":"query-name","id":1})", R"({"execute":"qmp_capabilities","id":1})"}) {
    session.connected(false);
    session.tell({Event::Kind::reset, true, {}, 0});  // nobody is there
    session.connected(true);
    said();
    session.tell({Event::Kind::stop, false, {}, 0});
    say("}\n{}\n null [1] {'execute':5} {'execute':'no-such-command'}");  // what names no command
    session.tell({Event::Kind::resume, false, {}, 0});
    for (const auto& line : said()) EXPECT_THAT(line, HasSubstr("\"error\""));
    say(first);
    const auto lines = said();
    ASSERT_EQ(lines.size(), 3U) << first;
    EXPECT_THAT(lines[0], HasSubstr(R"("id":1)"));
    EXPECT_THAT(lines[1], HasSubstr("STOP"));
    EXPECT_THAT(lines[2], HasSubstr("RESUME"));
    session.tell({Event::Kind::powerdown, false, {}, 0});
    EXPECT_THAT(said().at(0), HasSubstr("POWERDOWN"));
  }
}

TEST_F(Session, NoEventsWithoutCapabilitiesThatWereAskedFor) {
  say(R"({"execute":"qmp_capabilities","arguments":{"enable":["oob"]}})");
  session.tell({Event::Kind::stop, false, {}, 0});
  say(R"({"execute":"query-name"})");
  const auto lines = said();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_THAT(lines[0], HasSubstr("Capability oob not available"));
  EXPECT_THAT(lines[1], HasSubstr(R"("class":"CommandNotFound")"));
  say(R"({"execute":"qmp_capabilities"})");
  EXPECT_THAT(said().at(1), HasSubstr("STOP"));
}

TEST_F(Session, OfTooManyEventsThatWaitTheLastAreKept) {
  constexpr int told = 10'000;
  for (int i = 0; i < told; ++i) session.tell({Event::Kind::balloon_changed, false, {}, static_cast<std::uint64_t>(i)});
  EXPECT_EQ(hung_up, 0);
  say(status);
  const auto lines = said();
  EXPECT_GT(lines.size(), 100U);
  EXPECT_LT(lines.size(), 1000U);
  EXPECT_THAT(lines.back(), HasSubstr(R"("actual":9999)"));
  EXPECT_THAT(lines[1], HasSubstr("\"actual\":" + std::to_string(told + 1 - static_cast<int>(lines.size()))));
}

TEST_F(Session, NothingStopsIt) {
  const std::pair<std::string, std::size_t> rows[] = {
      {"hello\n", 1},
      {"hello", 1},
      {"]}\n", 1},
      {"[1,2]\n", 1},
      {"{]", 1},
      {"{\"execute\":\"\xff\"}", 1},
      {std::string("\0\0\0\n", 4), 1},
      {"{\"a\":" + std::string(200, '[') + "\xff\n", 1},
      {"{\"a\":" + std::string(200, '{') + "}}}{}{\x01\n", 1},
      {"{\"execute\":\"" + std::string(2 * QmpSession::longest_request, 'x') + "\n", 1},
      {"{}{}{}", 3},
      {"", 0},
      {"{\x01", 1},
      {"{\xff", 1},
      {"{'bad \xff", 1},
      {"{'execute': 'nonexistent', 'id':'\n", 1},
      {"%p", 1},
      {"{@\n", 1},
      {"{\"a\":01\n", 1},
      {"{\"a\":-\n", 1},
      {"{\"a\":[}\n", 1},
      {"null\n5\n'x'\n", 3},
      {"[1,{\"execute\":\"stop\"}]\n", 1},
      {"'{\"execute\":\"stop\"}'\n", 1},
      {"\x01{\"a\":\x02{'b':\x03", 3},
      {"{\"a\":" + std::string(200, '[') + std::string(200, ']') + "}", 1},
      {"{\"execute\":\"" + std::string(2 * QmpSession::longest_request, 'x') + "\"}", 1},
      {std::string(2 * QmpSession::longest_request, '{') + "\x01\n", 1},
      {std::string(QmpSession::longest_request, ' ') + std::string(300, '\xff') + "\n", 1},
  };
  for (int round = 0; round < 20; ++round) {
    for (const auto& [text, refusals] : rows) {
      std::string_view rest = text;
      while (!rest.empty()) {
        ASSERT_GT(session.room(), 0U);
        const auto part = rest.substr(0, std::min<std::size_t>(session.room(), 4096));
        say(part);
        rest.remove_prefix(part.size());
      }
      const auto lines = said();
      EXPECT_EQ(lines.size(), refusals) << text.substr(0, 40);
      for (const auto& line : lines) EXPECT_THAT(line, HasSubstr("GenericError"));
      say(status);
      const auto after = said();
      ASSERT_EQ(after.size(), 1U) << text.substr(0, 40);
      EXPECT_THAT(after[0], HasSubstr("\"return\""));
    }
  }
  EXPECT_EQ(hung_up, 0);
}

TEST_F(Session, NothingOfARefusedRequestIsExecuted) {
  const std::string stop = R"({"execute":"stop"})";
  const std::string nested[] = {R"({"a":)" + std::string(64, '[') + "[]", R"({"a":)" + std::string(200, '[')};
  const std::string spaces(QmpSession::longest_request, ' ');
  const std::string requests[] = {
      nested[0] + ",[]," + stop + std::string(64, ']') + ",\n\"b\":" + stop + "}",
      nested[1] + "\n," + stop + "\n" + std::string(200, ']') + ",\"b\":\n" + stop + "\n}",
      "{\"a\":[1,\n" + spaces + ",\n" + stop + ",\n" + stop + "]\n}",
      "{\"a\":[\n" + spaces + std::string(100, '[') + std::string(100, ']') + ",\n" + stop + "\n]}",
  };
  for (const std::string& request : requests) {
    for (std::size_t at = 0; at < request.size(); at += 1000) say(std::string_view(request).substr(at, 1000));
    const auto lines = said();
    ASSERT_EQ(lines.size(), 1U) << request.substr(0, 10);
    EXPECT_THAT(lines[0], HasSubstr("GenericError"));
    say(status);
    EXPECT_THAT(said().at(0), HasSubstr("running"));
  }
}

TEST_F(Session, APeerThatDoesNotReadIsNotReadFrom) {
  can_take = 0;
  std::string request;
  while (request.size() < 4000) request += R"({"execute":"query-commands"})";
  const std::size_t requests = request.size() / 28;
  std::size_t said_to = 0;
  while (session.room() >= request.size()) {
    say(request);
    ++said_to;
  }
  EXPECT_LT(said_to, 20U);
  EXPECT_EQ(hung_up, 0);
  std::size_t replies = 0;
  for (int turns = 0; turns < 100000 && session.room() < QmpSession::longest_request; ++turns) {
    can_take = 1 << 16;
    session.writable();
  }
  can_take = 1 << 24;
  session.writable();
  replies = said().size();
  EXPECT_EQ(replies, said_to * requests);
  say(status);
  EXPECT_EQ(said().size(), 1U);
}

TEST_F(Session, APeerThatReadsNoEventsIsHungUp) {
  say(status);
  said();
  can_take = 0;
  std::size_t events = 0;
  for (; hung_up == 0 && events < 1'000'000; ++events) {
    session.tell({events % 2 ? Event::Kind::resume : Event::Kind::stop, false, {}, 0});
  }
  EXPECT_EQ(hung_up, 1);
  EXPECT_LT(events, 50'000U);
  session.tell({Event::Kind::stop, false, {}, 0});  // nobody is there
  can_take = 1 << 24;
  session.connected(true);
  EXPECT_EQ(said(), std::vector<std::string>{greeting()});
}

TEST_F(Session, APeerIsNotHungUpForWhatAGuestRepeats) {
  say(status);
  said();
  can_take = 0;
  const Event reset{Event::Kind::reset, true, "guest-reset", 0};
  for (int i = 0; i < 100'000; ++i) session.tell(reset);
  EXPECT_EQ(hung_up, 0);
  session.tell({Event::Kind::stop, false, {}, 0});
  session.tell(reset);
  can_take = 1 << 24;
  session.writable();
  const auto lines = said();
  EXPECT_LT(lines.size(), 1000U);
  EXPECT_THAT(lines[lines.size() - 2], HasSubstr("STOP"));
  EXPECT_THAT(lines.back(), HasSubstr("RESET"));
  for (int i = 0; i < 10; ++i) session.tell(reset);
  EXPECT_EQ(said().size(), 10U);
}

TEST_F(Session, NothingOfOnePeerReachesTheNext) {
  say(R"({"execute":"qu)");
  session.connected(false);
  say(status);
  session.connected(true);
  said();
  say(status);
  EXPECT_EQ(said().size(), 1U);
}

// --- over a socket, as the program has it

class OverASocket : public testing::Test {
 protected:
  OverASocket() {
    std::string folder = testing::TempDir() + "qmpXXXXXX";
    folder_ = ::mkdtemp(folder.data());
    const base::Lock lock(loop_.mutex());
    chardev::Config config;
    config.id = "mon";
    config.kind = chardev::Config::Kind::unix_socket;
    config.path = folder_ + "/mon";
    config.server = true;
    chardev_ = std::make_unique<chardev::Chardev>(config, loop_);
    server_ = std::make_unique<Server>(machine_);
    server_->add(*chardev_);
    machine_.told = [this](const Event& event) { server_->tell(event); };
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~OverASocket() override {
    loop_.stop();
    thread_.join();
    {
      const base::Lock lock(loop_.mutex());
      server_.reset();
      chardev_.reset();
    }
    std::filesystem::remove_all(folder_);
  }

  base::UniqueFd connect() {
    base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strcpy(name.sun_path, (folder_ + "/mon").c_str());
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    const timeval limit{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    EXPECT_EQ(line(fd.get()), greeting());
    return fd;
  }
  static std::string line(int fd) {
    std::string text;
    char byte;
    while (!text.ends_with("\r\n") && ::recv(fd, &byte, 1, 0) == 1) text += byte;
    if (text.ends_with("\r\n")) text.resize(text.size() - 2);
    return text;
  }
  static void say(int fd, std::string_view text, int handed = -1) {
    iovec part{const_cast<char*>(text.data()), text.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (handed >= 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* const head = CMSG_FIRSTHDR(&message);
      head->cmsg_level = SOL_SOCKET;
      head->cmsg_type = SCM_RIGHTS;
      head->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(head), &handed, sizeof handed);
    }
    ASSERT_EQ(::sendmsg(fd, &message, MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }

  std::string folder_;
  FakeMachine machine_;
  loop::Clock clock_{loop::Clock::Kind::real};
  loop::Loop loop_{clock_};
  std::unique_ptr<chardev::Chardev> chardev_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

TEST_F(OverASocket, OnePeerAfterTheOther) {
  for (int i = 0; i < 3; ++i) {
    const base::UniqueFd peer = connect();
    say(peer.get(), R"({"execute":"qmp_capabilities"})");
    EXPECT_EQ(line(peer.get()), R"({"return":{}})");
    say(peer.get(), R"({"execute":"stop","id":7})");
    EXPECT_EQ(line(peer.get()), R"({"id":7,"return":{}})");
    EXPECT_THAT(line(peer.get()), HasSubstr(R"("event":"STOP")"));
  }
}

TEST_F(OverASocket, APeerThatHalfClosesIsEndedQuietly) {
  const base::UniqueFd peer = connect();
  say(peer.get(), status);
  ::shutdown(peer.get(), SHUT_WR);
  EXPECT_THAT(line(peer.get()), HasSubstr("return"));
  EXPECT_EQ(line(peer.get()), "");
  connect();
}

TEST_F(OverASocket, DescriptorsComeWithTheirCommand) {
  const base::UniqueFd peer = connect();
  const base::UniqueFd handed(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  say(peer.get(), R"({"execute":"getfd","arguments":{"fdname":"tap"}})", handed.get());
  EXPECT_EQ(line(peer.get()), R"({"return":{}})");
  say(peer.get(), R"({"execute":"netdev_add","arguments":{"id":"n","fd":"tap"}})");
  EXPECT_EQ(line(peer.get()), R"({"return":{}})");
  const base::Lock lock(loop_.mutex());
  ASSERT_EQ(machine_.netdevs.size(), 1U);
  ASSERT_EQ(machine_.netdevs[0].fds.size(), 1U);
  EXPECT_NE(machine_.netdevs[0].fds[0], handed.get());
  EXPECT_EQ(::close(machine_.netdevs[0].fds[0]), 0);
}

TEST_F(OverASocket, AFloodOfRubbishIsAnsweredLineByLine) {
  const base::UniqueFd peer = connect();
  constexpr int lines = 2000;
  std::thread writer([&peer] {
    for (int i = 0; i < lines; ++i) say(peer.get(), "rubbish\n");
    say(peer.get(), status);
  });
  for (int i = 0; i < lines; ++i) ASSERT_THAT(line(peer.get()), HasSubstr("GenericError")) << i;
  EXPECT_THAT(line(peer.get()), HasSubstr("running"));
  writer.join();
}

}  // namespace
}  // namespace monitor
