#include "vmm/hypervisor/qtest/qtest.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <limits>
#include <stdexcept>

#include "base/file.h"

namespace qtest {
namespace {

constexpr std::size_t longest_request = std::size_t{16} << 20, longest_mod_request = 8192;
constexpr std::size_t most_bytes = std::size_t{4} << 20;  ///< of one read, write or memset

struct Wrong : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (end > 0) words.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

std::string hex(std::uint64_t value, int digits) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "0x%0*llx", digits, static_cast<unsigned long long>(value));
  return text.data();
}

std::uint64_t little_endian(std::span<const std::uint8_t> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | bytes[i];
  return value;
}

constexpr char digits64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string to_base64(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t j = 0; j < 3; ++j) group = group << 8 | (j < count ? bytes[i + j] : 0U);
    for (std::size_t j = 0; j < 4; ++j) text += j <= count ? digits64[group >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

std::vector<std::uint8_t> from_base64(std::string_view text) {
  std::vector<std::uint8_t> bytes;
  std::uint32_t group = 0;
  unsigned bits = 0;
  while (text.ends_with('=')) text.remove_suffix(1);
  for (const char one : text) {
    const std::size_t digit = std::string_view(digits64).find(one);
    if (digit == std::string_view::npos) throw Wrong("Invalid base64 data");
    group = group << 6 | static_cast<std::uint32_t>(digit);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push_back(static_cast<std::uint8_t>(group >> bits));
  }
  return bytes;
}

class NoMapping : public hypervisor::MappedMemory {};

}  // namespace

// --- what devices do

class Qtest::Message : public irq::Message {
 public:
  explicit Message(Qtest& owner) : owner_(owner) {}
  void set(std::uint64_t address, std::uint32_t data) override {
    const base::Lock lock(mutex_);
    address_ = address;
    data_ = data;
  }
  void send() override {
    const base::Lock lock(mutex_);
    owner_.sent(address_, data_);
  }
  int eventfd() override { return -1; }

 private:
  Qtest& owner_;
  base::Mutex mutex_;
  std::uint64_t address_ GUARDED_BY(mutex_) = 0;
  std::uint32_t data_ GUARDED_BY(mutex_) = 0;
};

std::unique_ptr<hypervisor::MappedMemory> Qtest::map(std::uint64_t, std::span<std::uint8_t>, bool) {
  return std::make_unique<NoMapping>();
}

std::unique_ptr<hypervisor::WriteEvent> Qtest::on_write(std::uint64_t, unsigned, std::optional<std::uint64_t>, int) {
  return nullptr;
}

std::unique_ptr<irq::Message> Qtest::make_message() {
  return std::make_unique<Message>(*this);
}

void Qtest::sent(std::uint64_t address, std::uint32_t data) {
  if (protocol_ == Protocol::mod_test) {
    const base::Lock lock(mutex_);
    messages_.emplace(address, data);
  } else if (target_) {
    target_->ram.store(address, data);
  }
}

void Qtest::set_line(unsigned gsi, bool high) {
  bool tell = false;
  {
    const base::Lock lock(mutex_);
    unsigned& level = levels_[gsi];
    const bool changed = (level > 0) != high;
    level = high ? 1 : 0;
    tell = changed && intercepting_;
  }
  if (!tell || !target_) return;
  target_->loop.post(
      [this, gsi, high] { send_line(std::string("IRQ ") + (high ? "raise " : "lower ") + std::to_string(gsi)); });
}

// --- the socket

void Qtest::connect(const std::string& path, Target target, std::function<void()> ended) {
  attach(target);
  ended_ = std::move(ended);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path) base::throw_errno(ENAMETOOLONG, "cannot connect to '" + path + "'");
  std::ranges::copy(path, name.sun_path);
  socket_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket_ || ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) < 0) {
    base::throw_errno(errno, "cannot connect to '" + path + "'");
  }
  watch_ = target.loop.watch(socket_.get(), EPOLLIN, [this](std::uint32_t) { readable(); });
}

void Qtest::readable() {
  std::array<char, 65536> bytes;
  const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0 || received_.size() > longest_request) {
    watch_.end();
    return ended_();
  }
  received_.append(bytes.data(), static_cast<std::size_t>(got));
  if (protocol_ == Protocol::mod_test) {
    const std::string request = std::exchange(received_, {}).substr(0, longest_mod_request);
    return send_line(answer(request));
  }
  std::size_t begin = 0;
  for (std::size_t end; (end = received_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    send_line(answer(std::string_view(received_).substr(begin, end - begin)));
  }
  received_.erase(0, begin);
}

void Qtest::send_line(const std::string& line) {
  const std::string whole = line + (protocol_ == Protocol::mod_test ? "\r\n" : "\n");
  std::size_t done = 0;
  while (socket_ && done < whole.size()) {
    const ssize_t sent = ::send(socket_.get(), whole.data() + done, whole.size() - done, MSG_NOSIGNAL);
    if (sent <= 0) return;
    done += static_cast<std::size_t>(sent);
  }
}

// --- requests

struct Qtest::Command {
  std::string (Qtest::*run)(const Words&, std::size_t);
  std::size_t size;         ///< bytes of a value
  std::size_t least, most;  ///< words after the command
  enum { both, qtest_only, mod_test_only } of = both;
};

const std::map<std::string_view, Qtest::Command>& Qtest::commands() {
  using C = Command;
  static const std::map<std::string_view, Command> table{
      {"inb", {&Qtest::in, 1, 1, 1, C::qtest_only}},
      {"inw", {&Qtest::in, 2, 1, 1, C::qtest_only}},
      {"inl", {&Qtest::in, 4, 1, 1, C::qtest_only}},
      {"outb", {&Qtest::out, 1, 2, 2, C::qtest_only}},
      {"outw", {&Qtest::out, 2, 2, 2, C::qtest_only}},
      {"outl", {&Qtest::out, 4, 2, 2, C::qtest_only}},
      {"readb", {&Qtest::read_value, 1, 1, 1, C::both}},
      {"readw", {&Qtest::read_value, 2, 1, 1, C::both}},
      {"readl", {&Qtest::read_value, 4, 1, 1, C::both}},
      {"readq", {&Qtest::read_value, 8, 1, 1, C::both}},
      {"writeb", {&Qtest::write_value, 1, 2, 2, C::both}},
      {"writew", {&Qtest::write_value, 2, 2, 2, C::both}},
      {"writel", {&Qtest::write_value, 4, 2, 2, C::both}},
      {"writeq", {&Qtest::write_value, 8, 2, 2, C::both}},
      {"read", {&Qtest::read, 0, 2, 2, C::both}},
      {"write", {&Qtest::write, 0, 3, 3, C::both}},
      {"memset", {&Qtest::memset, 0, 3, 3, C::both}},
      {"b64read", {&Qtest::b64read, 0, 2, 2, C::qtest_only}},
      {"b64write", {&Qtest::b64write, 0, 3, 3, C::qtest_only}},
      {"clock_step", {&Qtest::clock_step, 0, 0, 1, C::both}},
      {"clock_set", {&Qtest::clock_set, 0, 1, 1, C::both}},
      {"endianness", {&Qtest::endianness, 0, 0, 0, C::qtest_only}},
      {"irq_intercept_in", {&Qtest::intercept, 0, 1, 1, C::qtest_only}},
      {"irq_intercept_out", {&Qtest::intercept, 0, 1, 1, C::qtest_only}},
      {"query_msix", {&Qtest::query_msix, 0, 2, 2, C::mod_test_only}},
      {"query_intx", {&Qtest::query_intx, 0, 1, 1, C::mod_test_only}},
      {"eoi_intx", {&Qtest::eoi_intx, 0, 1, 1, C::mod_test_only}},
  };
  return table;
}

std::string Qtest::answer(std::string_view request) {
  while (!request.empty() && (request.back() == '\r' || request.back() == '\n' || request.back() == ' '))
    request.remove_suffix(1);
  while (!request.empty() && request.front() == ' ') request.remove_prefix(1);
  const Words words = split(request);
  const bool mod = protocol_ == Protocol::mod_test;
  const std::string name(words.empty() ? std::string_view() : words[0]);
  const auto found = commands().find(name);
  if (found == commands().end() || found->second.of == (mod ? Command::qtest_only : Command::mod_test_only)) {
    return mod ? "Unsupported command: " + name : "FAIL Unknown command '" + name + "'";
  }
  const Command& command = found->second;
  const std::size_t arguments = words.size() - 1;
  if (arguments < command.least || arguments > command.most) return "FAIL Wrong number of arguments of '" + name + "'";
  try {
    const std::string value = (this->*command.run)(Words(words.begin() + 1, words.end()), command.size);
    return value.empty() ? "OK" : "OK " + value;
  } catch (const Wrong& wrong) {
    return std::string("FAIL ") + wrong.what();
  }
}

/// In QEMU's protocol as in C, in the original's always hexadecimal.
std::uint64_t Qtest::number(std::string_view word) const {
  int base = protocol_ == Protocol::mod_test ? 16 : 10;
  std::string_view rest = word;
  if (rest.starts_with("0x") || rest.starts_with("0X")) {
    rest.remove_prefix(2);
    base = 16;
  }
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value, base);
  if (error != std::errc() || end != rest.data() + rest.size()) throw Wrong("Bad number '" + std::string(word) + "'");
  return value;
}

std::vector<std::uint8_t> Qtest::data(std::string_view word, std::size_t size) const {
  if (word.starts_with("0x")) word.remove_prefix(2);
  if (word.size() != 2 * size) throw Wrong("Data is not of the size announced");
  std::vector<std::uint8_t> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    const auto [end, error] = std::from_chars(&word[2 * i], &word[2 * i] + 2, bytes[i], 16);
    if (error != std::errc() || end != &word[2 * i] + 2) throw Wrong("Bad data");
  }
  return bytes;
}

/// Memory as a processor sees it. What nobody answers reads as zero and is not written.
void Qtest::access(bool write, std::uint64_t address, std::span<std::uint8_t> bytes) {
  if (write ? target_->ram.write(address, bytes) : target_->ram.read(address, bytes)) return;
  if (protocol_ == Protocol::mod_test || bytes.size() <= 8) {
    const bool answered = write ? target_->memory.write(address, bytes) : target_->memory.read(address, bytes);
    if (!answered && !write) std::ranges::fill(bytes, std::uint8_t{0});
    return;
  }
  for (std::size_t at = 0; at < bytes.size();) {  // as a bus does with what is longer than its width
    std::size_t size = 8;
    while (size > bytes.size() - at || (address + at) % size) size /= 2;
    access(write, address + at, bytes.subspan(at, size));
    at += size;
  }
}

namespace {

std::size_t checked_size(std::uint64_t size) {
  if (size == 0 || size > most_bytes)
    throw Wrong("Size " + std::to_string(size) + " is not between 1 and " + std::to_string(most_bytes));
  return size;
}

}  // namespace

std::string Qtest::in(const Words& words, std::size_t size) {
  std::array<std::uint8_t, 4> bytes{};
  const auto value = std::span(bytes).first(size);
  target_->ports.read(number(words[0]) & 0xffff, value);
  return hex(little_endian(value), 4);
}

std::string Qtest::out(const Words& words, std::size_t size) {
  const std::uint64_t value = number(words[1]);
  std::array<std::uint8_t, 4> bytes{};
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(value >> (8 * i));
  target_->ports.write(number(words[0]) & 0xffff, std::span(bytes).first(size));
  return {};
}

std::string Qtest::read_value(const Words& words, std::size_t size) {
  std::array<std::uint8_t, 8> bytes{};
  access(false, number(words[0]), std::span(bytes).first(size));
  return hex(little_endian(std::span(bytes).first(size)), 16);
}

std::string Qtest::write_value(const Words& words, std::size_t size) {
  const std::uint64_t value = number(words[1]);
  std::array<std::uint8_t, 8> bytes{};
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(value >> (8 * i));
  access(true, number(words[0]), std::span(bytes).first(size));
  return {};
}

std::string Qtest::read(const Words& words, std::size_t) {
  std::vector<std::uint8_t> bytes(checked_size(number(words[1])));
  access(false, number(words[0]), bytes);
  std::string text = "0x";
  constexpr char hex_digits[] = "0123456789abcdef";
  for (const std::uint8_t byte : bytes) {
    text += hex_digits[byte >> 4];
    text += hex_digits[byte & 15];
  }
  return text;
}

std::string Qtest::write(const Words& words, std::size_t) {
  std::vector<std::uint8_t> bytes = data(words[2], checked_size(number(words[1])));
  access(true, number(words[0]), bytes);
  return {};
}

std::string Qtest::memset(const Words& words, std::size_t) {
  const std::size_t size = checked_size(number(words[1]));
  std::string_view pattern = words[2];
  std::vector<std::uint8_t> unit;
  if (protocol_ == Protocol::mod_test) {
    if (pattern.starts_with("0x")) pattern.remove_prefix(2);
    unit = data(pattern, pattern.size() / 2);
    if (unit.empty()) throw Wrong("Bad data");
  } else {
    unit = {static_cast<std::uint8_t>(number(pattern))};
  }
  std::vector<std::uint8_t> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = unit[i % unit.size()];
  access(true, number(words[0]), bytes);
  return {};
}

std::string Qtest::b64read(const Words& words, std::size_t) {
  std::vector<std::uint8_t> bytes(checked_size(number(words[1])));
  access(false, number(words[0]), bytes);
  return to_base64(bytes);
}

std::string Qtest::b64write(const Words& words, std::size_t) {
  std::vector<std::uint8_t> bytes = from_base64(words[2]);
  if (bytes.size() != checked_size(number(words[1]))) throw Wrong("Data is not of the size announced");
  access(true, number(words[0]), bytes);
  return {};
}

std::string Qtest::clock_step(const Words& words, std::size_t) {
  loop::Clock& clock = target_->loop.clock();
  if (words.empty()) return std::to_string(clock.step_to({}));
  std::int64_t by = 0;
  const auto [end, error] = std::from_chars(words[0].data(), words[0].data() + words[0].size(), by);
  if (error != std::errc() || end != words[0].data() + words[0].size()) throw Wrong("Bad number of nanoseconds");
  const std::int64_t now = clock.now();
  by = std::clamp<std::int64_t>(by, 0, std::numeric_limits<std::int64_t>::max() - now);
  return std::to_string(clock.step_to(now + by));
}

std::string Qtest::clock_set(const Words& words, std::size_t) {
  std::int64_t to = 0;
  const auto [end, error] = std::from_chars(words[0].data(), words[0].data() + words[0].size(), to);
  if (error != std::errc() || end != words[0].data() + words[0].size()) throw Wrong("Bad number of nanoseconds");
  loop::Clock& clock = target_->loop.clock();
  return std::to_string(to > clock.now() ? clock.step_to(to) : clock.now());
}

std::string Qtest::endianness(const Words&, std::size_t) {
  return "little";
}

std::string Qtest::intercept(const Words&, std::size_t) {
  const base::Lock lock(mutex_);
  intercepting_ = true;
  return {};
}

namespace {

std::uint64_t decimal(std::string_view word) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) throw Wrong("Bad number '" + std::string(word) + "'");
  return value;
}

std::string truth(bool yes) {
  return yes ? "TRUE" : "FALSE";
}

}  // namespace

std::string Qtest::query_msix(const Words& words, std::size_t) {
  const base::Lock lock(mutex_);
  return truth(messages_.erase({decimal(words[0]), static_cast<std::uint32_t>(decimal(words[1]))}) > 0);
}

std::string Qtest::query_intx(const Words& words, std::size_t) {
  const base::Lock lock(mutex_);
  const auto found = levels_.find(static_cast<unsigned>(decimal(words[0])));
  return truth(found != levels_.end() && found->second > 0);
}

std::string Qtest::eoi_intx(const Words& words, std::size_t) {
  const base::Lock lock(mutex_);
  unsigned& level = levels_[static_cast<unsigned>(decimal(words[0]))];
  return truth(std::exchange(level, 0) > 0);
}

}  // namespace qtest
