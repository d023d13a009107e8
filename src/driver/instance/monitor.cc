#include "driver/instance/monitor.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/write.hpp>
#include <cstring>
#include <utility>

#include "base/file.h"

namespace instance {
namespace {

using core::Error;
using core::ErrorCode;
using core::Task;
using core::asio::redirect_error;
using core::asio::use_awaitable;
using namespace core::asio::experimental::awaitable_operators;

constexpr std::chrono::milliseconds first_pause{2}, longest_pause{100}, throttle_pause{100};

Task<void> until(Monitor::Clock::time_point deadline) {
  core::asio::steady_timer timer(co_await core::asio::this_coro::executor, deadline);
  co_await timer.async_wait(use_awaitable);
}

ssize_t send_with(int socket, const std::string& bytes, int fd) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  return ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/// What a command that failed tells a client: the emulator's own words.
emulator::Json value_of(const std::string& command, std::variant<std::monostate, qmp::Reply, qmp::ErrorReply> answer) {
  if (const auto* refusal = std::get_if<qmp::ErrorReply>(&answer)) {
    throw Error(ErrorCode::internal_error, "unable to execute QEMU command '" + command + "': " + refusal->description);
  }
  return std::move(std::get<qmp::Reply>(answer).value);
}

}  // namespace

/// The right to have the one command under way.
struct Monitor::Turn {
  explicit Turn(Monitor& owner) : monitor(owner) { monitor.busy_ = true; }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    monitor.busy_ = false;
    monitor.wake_next();
  }
  Monitor& monitor;
};

Monitor::Monitor(Socket socket, OnEvent on_event)
    : socket_(std::move(socket)),
      on_event_(std::move(on_event)),
      changed_(static_cast<core::asio::io_context&>(socket_.get_executor().context())),
      over_(static_cast<core::asio::io_context&>(socket_.get_executor().context())) {}

Task<std::shared_ptr<Monitor>> Monitor::connect(core::Loop& loop, std::string folder, std::string name,
                                                Clock::time_point deadline, std::function<bool()> gone,
                                                OnEvent on_event) {
  auto executor = co_await core::asio::this_coro::executor;
  // A socket's address holds 107 bytes: long paths are reached through the folder's descriptor.
  const base::UniqueFd at = base::open_file(folder, O_PATH | O_DIRECTORY);
  const std::string path = "/proc/self/fd/" + std::to_string(at.get()) + "/" + name;
  Socket socket(executor);
  for (auto pause = first_pause;; pause = std::min(2 * pause, longest_pause)) {
    boost::system::error_code error;
    socket.open();
    co_await socket.async_connect(boost::asio::local::stream_protocol::endpoint(path),
                                  redirect_error(use_awaitable, error));
    if (!error) break;
    socket.close();
    if (gone()) throw Error(ErrorCode::internal_error, "process exited while connecting to monitor");
    if (Clock::now() >= deadline) {
      throw Error(ErrorCode::operation_timeout, "cannot connect to monitor: " + error.message());
    }
    co_await core::sleep(pause);
  }
  std::shared_ptr<Monitor> monitor(new Monitor(std::move(socket), std::move(on_event)));
  loop.spawn(read_forever(monitor), "the monitor in '" + folder + "'");
  try {
    co_await monitor->shake_hands(deadline);
  } catch (...) {
    monitor->close();  // its reader would keep it
    throw;
  }
  co_return monitor;
}

Task<void> Monitor::shake_hands(Clock::time_point deadline) {
  while (!greeted_ && !broken_ && Clock::now() < deadline) co_await (changed_.wait() || until(deadline));
  if (broken_) throw Error(ErrorCode::internal_error, *broken_);
  if (!greeted_) throw Error(ErrorCode::operation_timeout, "the emulator did not greet on its monitor");
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
  co_await execute({"qmp_capabilities", nullptr}, std::max(left, std::chrono::milliseconds(1)));
}

Task<void> Monitor::read_forever(std::shared_ptr<Monitor> self) {
  // One buffer for all monitors: what is read is decoded before anyone else runs.
  static thread_local std::array<char, 65536> buffer;
  while (!self->broken_) {
    boost::system::error_code error;
    co_await self->socket_.async_wait(Socket::wait_read, redirect_error(use_awaitable, error));
    if (error) co_return self->fail("the monitor was closed");
    const ssize_t got = ::recv(self->socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got <= 0) co_return self->fail("the emulator closed its monitor");
    try {
      self->decoder_.feed({buffer.data(), static_cast<std::size_t>(got)});
      while (auto message = self->decoder_.next()) self->take(std::move(*message));
    } catch (const std::exception& wrong) {  // no message, or an event that lacks what it must say
      co_return self->fail(std::string("the emulator does not speak QMP: ") + wrong.what());
    }
  }
}

void Monitor::take(qmp::Message message) {
  // A reply without an id answers the command under way, unless a command given up before is still to be answered.
  const auto ours = [this](const auto& reply) {
    const bool current = busy_ && (reply.id ? *reply.id == last_id_ : given_up_ == 0);
    if (!current && given_up_ > 0) --given_up_;
    return current;
  };
  if (auto* event = std::get_if<qmp::Event>(&message)) {
    const OnEvent handler = on_event_;  // it may close the monitor
    if (handler) handler(*event);
  } else if (std::holds_alternative<qmp::Greeting>(message)) {
    greeted_ = true;
    changed_.notify();
  } else if (auto* reply = std::get_if<qmp::Reply>(&message); reply && ours(*reply)) {
    answer_ = std::move(*reply);
    changed_.notify();
  } else if (auto* refusal = std::get_if<qmp::ErrorReply>(&message); refusal && ours(*refusal)) {
    answer_ = std::move(*refusal);
    changed_.notify();
  }
  // What is left answers a command that was given up.
}

void Monitor::fail(const std::string& why) {
  if (!broken_) broken_ = why;
  boost::system::error_code ignored;
  socket_.close(ignored);
  on_event_ = nullptr;
  changed_.notify();
  over_.notify();
  for (core::Signal* waiter : waiting_) waiter->notify();
}

Task<void> Monitor::closed() {
  const auto self = shared_from_this();
  while (!broken_) co_await over_.wait();
}

void Monitor::close() {
  fail("the monitor was closed");
}

void Monitor::wake_next() {
  if (!busy_ && !waiting_.empty()) waiting_.front()->notify();
}

void Monitor::check(const std::string& command, Clock::time_point deadline) const {
  if (broken_) throw Error(ErrorCode::internal_error, *broken_);
  if (Clock::now() >= deadline) {
    throw Error(ErrorCode::operation_timeout, "the emulator did not answer '" + command + "' in time");
  }
}

Task<Monitor::Answer> Monitor::round(std::string command, emulator::Json arguments, std::chrono::milliseconds limit,
                                     int fd) {
  const auto self = shared_from_this();
  const auto deadline = Clock::now() + limit;
  check(command, deadline);
  if (busy_ || !waiting_.empty()) {
    core::Signal signal(static_cast<core::asio::io_context&>(socket_.get_executor().context()));
    waiting_.push_back(&signal);
    struct Leave {
      Monitor& monitor;
      core::Signal* me;
      ~Leave() {
        std::erase(monitor.waiting_, me);
        monitor.wake_next();
      }
    } leave{*this, &signal};
    while (busy_ || waiting_.front() != &signal) {
      co_await (signal.wait() || until(deadline));
      check(command, deadline);
    }
  }
  const Turn turn(*this);
  for (;;) {
    Answer answer = co_await ask(command, arguments, deadline, fd);
    const auto* refusal = std::get_if<qmp::ErrorReply>(&answer);
    if (!refusal || refusal->error_class != "OperationThrottled") co_return answer;
    // StratoVirt does what more than 100 commands a second ask only when it is asked again.
    co_await core::sleep(throttle_pause);
    check(command, deadline);
  }
}

Task<Monitor::Answer> Monitor::ask(std::string command, emulator::Json arguments, Clock::time_point deadline, int fd) {
  last_id_ = "libvirt-" + std::to_string(++asked_);
  std::string bytes;
  try {
    bytes = qmp::encode(command, arguments, last_id_);
  } catch (const qmp::ProtocolError& wrong) {
    throw Error(ErrorCode::invalid_arg, wrong.what());
  }
  answer_ = {};
  boost::system::error_code error;
  std::size_t out = 0;
  while (fd >= 0 && out == 0) {  // the descriptor goes with the first bytes
    const ssize_t sent = send_with(socket_.native_handle(), bytes, fd);
    if (sent > 0) {
      out = static_cast<std::size_t>(sent);
    } else if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      fail(std::string("cannot write to the monitor: ") + std::strerror(errno));
      check(command, deadline);
    } else {
      co_await (socket_.async_wait(Socket::wait_write, redirect_error(use_awaitable, error)) || until(deadline));
      check(command, deadline);
    }
  }
  co_await (core::asio::async_write(socket_, core::asio::buffer(bytes) + out, redirect_error(use_awaitable, error)) ||
            until(deadline));
  if (error == core::asio::error::operation_aborted) {
    fail("the emulator does not read its monitor");  // half a command is out: there is no way back
  } else if (error) {
    fail("cannot write to the monitor: " + error.message());
  }
  while (std::holds_alternative<std::monostate>(answer_)) {
    if (Clock::now() >= deadline) ++given_up_;
    check(command, deadline);
    co_await (changed_.wait() || until(deadline));
  }
  co_return std::exchange(answer_, {});
}

Task<emulator::Json> Monitor::execute(emulator::Request request, std::chrono::milliseconds limit) {
  const std::string command = request.command;
  co_return value_of(command, co_await round(command, std::move(request.arguments), limit));
}

Task<void> Monitor::give(std::string name, base::UniqueFd fd) {
  value_of("getfd", co_await round("getfd", {{"fdname", std::move(name)}}, command_limit, fd.get()));
}

Task<std::string> Monitor::pass_through(std::string text) {
  emulator::Json object;
  try {
    object = qmp::parse_object(text);
  } catch (const qmp::ProtocolError& wrong) {
    throw Error(ErrorCode::invalid_arg, std::string("the command is no JSON object: ") + wrong.what());
  }
  if (!object.contains("execute") || !object["execute"].is_string()) {
    throw Error(ErrorCode::invalid_arg, "the command has no 'execute'");
  }
  const Answer answer = co_await round(object["execute"], object.value("arguments", emulator::Json()), command_limit);
  const auto* refusal = std::get_if<qmp::ErrorReply>(&answer);
  // The members stay in the emulator's order, and the client's own id stands where ours was.
  auto reply = nlohmann::ordered_json::parse(refusal ? refusal->text : std::get<qmp::Reply>(answer).text);
  reply["id"] = object.value("id", emulator::Json(last_id_));
  co_return reply.dump();
}

}  // namespace instance
