#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/unique_fd.h"
#include "vmm/bus/bus.h"
#include "vmm/hypervisor/hypervisor.h"
#include "vmm/loop/loop.h"
#include "vmm/memory/guest_memory.h"

namespace qtest {

enum class Protocol {
  qtest,     ///< QEMU's (docs/devel/qtest): lines, ports, interrupts told as they happen, messages seen in memory
  mod_test,  ///< the original StratoVirt's device tests: one request a packet, interrupts asked for
};

/// No processor: a test drives ports, memory, interrupts and time over a socket. Devices, loops and memory are the real
/// ones. A malformed request is answered with FAIL and changes nothing.
class Qtest : public hypervisor::Hypervisor {
 public:
  explicit Qtest(Protocol protocol) : protocol_(protocol) {}

  std::unique_ptr<hypervisor::MappedMemory> map(std::uint64_t address, std::span<std::uint8_t> bytes,
                                                bool read_only) override;
  std::unique_ptr<hypervisor::WriteEvent> on_write(std::uint64_t address, unsigned size,
                                                   std::optional<std::uint64_t> value, int eventfd) override;
  void set_line(unsigned gsi, bool high) override;
  std::unique_ptr<irq::Message> make_message() override;

  /// What a test reaches.
  struct Target {
    loop::Loop& loop;
    bus::Bus& memory;
    bus::Bus& ports;
    const memory::GuestMemory& ram;
  };
  /// Connects to the test, which listens at `path`, once the machine is there; `ended` is called when it hangs up.
  /// Throws std::system_error.
  void connect(const std::string& path, Target target, std::function<void()> ended);

  /// The answer to one request, without the line's end; for unit tests as well.
  std::string answer(std::string_view request);
  void attach(Target target) { target_.emplace(target); }

 private:
  class Message;
  using Words = std::vector<std::string_view>;
  struct Command;
  static const std::map<std::string_view, Command>& commands();

  void readable();
  void send_line(const std::string& line);
  void sent(std::uint64_t address, std::uint32_t data);
  std::uint64_t number(std::string_view word) const;
  std::vector<std::uint8_t> data(std::string_view word, std::size_t size) const;
  void access(bool write, std::uint64_t address, std::span<std::uint8_t> bytes);

  std::string in(const Words& words, std::size_t size);
  std::string out(const Words& words, std::size_t size);
  std::string read_value(const Words& words, std::size_t size);
  std::string write_value(const Words& words, std::size_t size);
  std::string read(const Words& words, std::size_t);
  std::string write(const Words& words, std::size_t);
  std::string memset(const Words& words, std::size_t);
  std::string b64read(const Words& words, std::size_t);
  std::string b64write(const Words& words, std::size_t);
  std::string clock_step(const Words& words, std::size_t);
  std::string clock_set(const Words& words, std::size_t);
  std::string endianness(const Words& words, std::size_t);
  std::string intercept(const Words& words, std::size_t);
  std::string query_msix(const Words& words, std::size_t);
  std::string query_intx(const Words& words, std::size_t);
  std::string eoi_intx(const Words& words, std::size_t);

  Protocol protocol_;
  std::optional<Target> target_;
  std::function<void()> ended_;
  base::UniqueFd socket_;
  loop::Watch watch_;
  std::string received_;

  base::Mutex mutex_;
  std::map<unsigned, unsigned> levels_ GUARDED_BY(mutex_);
  std::set<std::pair<std::uint64_t, std::uint32_t>> messages_ GUARDED_BY(mutex_);
  bool intercepting_ GUARDED_BY(mutex_) = false;
};

}  // namespace qtest
