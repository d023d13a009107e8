#pragma once

#include <sys/types.h>
#include <termios.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "base/unique_fd.h"
#include "vmm/loop/loop.h"

namespace chardev {

struct Config {
  enum class Kind { stdio, pty, file, unix_socket, tcp_socket };
  std::string id;
  Kind kind = Kind::pty;
  std::string path;        ///< of the file or the UNIX socket
  std::string host, port;  ///< of the TCP socket
  int fd = -1;             ///< an open listening socket in place of a path, or -1; owned once it is made
  bool server = false;     ///< listens, for one peer at a time
  bool wait = false;       ///< the server is made when its first peer is there
  std::string log_file;    ///< gets a copy of all output
  bool log_append = false;
};

/// A stream of bytes to somewhere outside: a terminal, a socket, a file. While nobody is at the other end the last of
/// the output is kept for who comes next. The program's own terminal hands on every key as it is, those that would end
/// the program too, until this ends. Used with its loop's lock held.
class Chardev {
 public:
  static constexpr std::size_t kept = 65536;  ///< bytes of output, for a peer that is away

  /// The device at this end.
  struct Device {
    std::function<std::size_t()> room;                        ///< how many bytes it takes now
    std::function<void(std::span<const std::uint8_t>)> take;  ///< at most that many
    std::function<void()> writable = {};                      ///< after a write() that was cut short
    /// How long its output waits for a peer that takes none, ns; then that peer counts as away until it has caught up.
    std::optional<std::int64_t> patience = {};
    bool keep = true;                          ///< output while nobody takes it is for who comes next
    std::function<void(bool)> connected = {};  ///< a peer came, or went
    /// How many characters a terminal shows; where that is known.
    std::function<void(std::uint16_t cols, std::uint16_t rows)> resized = {};
  };

  /// Throws std::system_error; std::invalid_argument for an address that is none.
  Chardev(Config config, loop::Loop& loop);
  Chardev(const Chardev&) = delete;
  Chardev& operator=(const Chardev&) = delete;
  ~Chardev();

  const std::string& id() const { return config_.id; }
  /// How QMP's query-chardev names the other end: "pty:/dev/pts/3".
  std::string filename() const;
  bool connected() const { return connected_; }

  /// One device at a time; an empty one leaves.
  void attach(Device device);
  /// How many bytes were taken; fewer than given: the rest after `writable`.
  std::size_t write(std::span<const std::uint8_t> bytes);
  /// The device takes input again.
  void room_again();
  /// Descriptors that came with the last input over a UNIX socket.
  std::vector<base::UniqueFd> take_descriptors() { return std::move(descriptors_); }
  /// Ends the connection with the peer; the next may come.
  void hang_up();

 private:
  void open();
  void open_pty();
  void open_file();
  void open_stdio();
  void open_own_terminal();
  void tell_size();
  void listen();
  void bind_to_name();
  void connect_out();
  void wait_for_peer();
  void accept_peer();
  void watch_peer();
  void peer_came(base::UniqueFd fd);
  void peer_left();
  void peer_takes();
  void ready(std::uint32_t events);
  void ready_for_output(std::uint32_t events);
  void read_input();
  void want();
  bool flush();
  void wait_for_room();
  void lose_patience();
  std::size_t write_now(std::span<const std::uint8_t> bytes);
  void keep(std::span<const std::uint8_t> bytes);
  bool pty_is_open() const;
  bool is_socket() const {
    return config_.kind == Config::Kind::unix_socket || config_.kind == Config::Kind::tcp_socket;
  }
  int output() const { return output_ ? output_.get() : fd_.get(); }

  Config config_;
  loop::Loop& loop_;
  Device device_;
  base::UniqueFd listener_, fd_, output_, log_, opened_;              ///< opened_: tells of who opens the terminal
  loop::Watch listener_watch_, watch_, output_watch_, opened_watch_;  ///< output_watch_: of standard output
  std::string pty_path_, backlog_;
  std::optional<std::pair<dev_t, ino_t>> made_;  ///< the file of the UNIX socket that listens
  std::vector<base::UniqueFd> descriptors_;
  int found_flags_ = -1, found_output_flags_ = -1;  ///< of standard input and output
  std::optional<termios> cooked_;                   ///< how the program's own terminal was
  base::UniqueFd resized_;                          ///< tells of its signal
  loop::Watch resized_watch_;
  bool connected_ = false;
  bool stuck_ = false;  ///< the device waits for `writable`
  bool away_ = false;   ///< the peer is there and has taken nothing for the device's patience
  loop::Timer patience_ends_;
};

}  // namespace chardev
