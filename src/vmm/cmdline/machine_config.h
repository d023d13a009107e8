#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

/// The machine that a command line describes: plain values, each checked alone and against the others. Hot plugging
/// fills the same structs.
namespace cmdline {

/// -machine: none is a monitor without a machine, for those who probe.
enum class MachineType { none, q35, virt };
/// -accel: KVM; or no vCPU, driven over a socket by QEMU's qtest protocol or by the original's device tests'.
enum class Accel { kvm, qtest, mod_test };

struct Smp {
  unsigned cpus = 1, max_cpus = 1;  ///< 1 to 254
  unsigned sockets = 1, dies = 1, clusters = 1, cores = 1, threads = 1;
};

/// -cpu host with what is added or taken away.
struct CpuFeatures {
  std::optional<bool> pmu, sve, kvm_steal_time;  ///< sve: aarch64
};

/// -m, -mem-path, -mem-prealloc, -machine mem-share, dump-guest-core.
struct Memory {
  std::uint64_t size = std::uint64_t{256} << 20;  ///< bytes, 128 MiB to 512 GiB
  std::string path;
  bool prealloc = false, share = false, dump = true;
};

/// -object memory-backend-ram|file|memfd and -numa: guest NUMA nodes.
struct MemoryBackend {
  std::string id;
  std::uint64_t size = 0;
  std::string path;
  bool share = false, prealloc = false, dump = true;
  std::vector<unsigned> host_nodes;
  std::string policy;
};
struct NumaNode {
  unsigned id = 0;
  std::vector<unsigned> cpus;
  std::string memdev;
};
struct NumaDistance {
  unsigned from = 0, to = 0, distance = 10;
};

/// -chardev, and what -serial, -qmp and -mon name or make.
struct Chardev {
  enum class Kind { stdio, pty, file, unix_socket, tcp_socket };
  std::string id;
  Kind kind = Kind::pty;
  std::string path;        ///< of the file or the UNIX socket
  std::string host, port;  ///< of the TCP socket
  int fd = -1;             ///< an open listening socket in place of a path, or -1
  bool server = false, wait = true;
  std::string log_file;
  bool log_append = false;
};

/// -drive if=none, blockdev-add.
struct Drive {
  enum class Aio { automatic, io_uring, native, threads };
  enum class Detect { off, on, unmap };
  std::string id, file;
  int fd = -1;  ///< an open file in place of a path, or -1
  bool read_only = false, direct = true, discard = false;
  bool share = false;     ///< others may write it too: no lock
  bool no_flush = false;  ///< cache=unsafe
  Aio aio = Aio::automatic;
  Detect detect_zeroes = Detect::off;
  std::optional<std::uint64_t> iops_total;  ///< at most 1,000,000 a second
};
/// -drive if=pflash.
struct Pflash {
  unsigned unit = 0;  ///< 0 the code, 1 the variables
  std::string file;
  bool read_only = false;
};

/// -netdev tap.
struct Netdev {
  std::string id, ifname;
  std::vector<int> fds, vhost_fds;
  bool vhost = false;
  unsigned queues = 1;  ///< pairs, at most 16
};

struct RngBackend {
  std::string id, file;
};

struct Iothread {
  std::string id;
};

/// Where a PCI device is.
struct PciPlace {
  std::string bus = "pcie.0";
  unsigned slot = 0, function = 0;
  bool multifunction = false;
};

struct RootPort {
  std::string id;
  PciPlace place;
  std::uint8_t port = 0;
  std::uint16_t chassis = 0;
};
struct VirtioBlk {
  std::string id;
  PciPlace place;
  std::string drive, iothread, serial;
  unsigned queues = 0;  ///< 0: one a vCPU
  unsigned queue_size = 256;
  std::optional<unsigned> bootindex;
};
struct VirtioNet {
  std::string id;
  PciPlace place;
  std::string netdev, mac, iothread;
  bool mq = false;
  unsigned queue_size = 256;
  std::optional<unsigned> bootindex;
};
struct VirtioSerial {
  std::string id;
  PciPlace place;
  unsigned max_ports = 31;
};
/// virtconsole or virtserialport: a port of the one virtio-serial controller, or of the one named.
struct SerialPort {
  std::string id, chardev, bus, name;
  bool console = true;
  std::optional<unsigned> number;
};
struct VirtioBalloon {
  std::string id;
  PciPlace place;
  bool deflate_on_oom = false, free_page_reporting = false;
};
struct VirtioRng {
  std::string id;
  PciPlace place;
  std::string rng;
  std::optional<std::uint64_t> max_bytes;  ///< in each period
  std::uint64_t period_ms = 65536;
};
struct VhostVsock {
  std::string id;
  PciPlace place;
  std::uint64_t guest_cid = 3;
  int vhost_fd = -1;
};
using Device =
    std::variant<RootPort, VirtioBlk, VirtioNet, VirtioSerial, SerialPort, VirtioBalloon, VirtioRng, VhostVsock>;

/// -smbios type=1 and others: (type, key, value).
struct SmbiosValue {
  unsigned type = 0;
  std::string key, value;
};

struct Config {
  std::string name, uuid;
  MachineType machine = MachineType::q35;
  Accel accel = Accel::kvm;
  std::string test_socket;           ///< -qtest unix:PATH or -mod-test unix:PATH
  Accel test_protocol = Accel::kvm;  ///< which of the two it was
  CpuFeatures cpu;
  Smp smp;
  Memory memory;
  std::vector<MemoryBackend> memory_backends;
  std::vector<NumaNode> numa_nodes;
  std::vector<NumaDistance> numa_distances;

  std::string kernel, initrd, append;
  std::vector<Pflash> pflash;

  std::vector<Iothread> iothreads;
  std::vector<Chardev> chardevs;
  std::vector<Drive> drives;
  std::vector<Netdev> netdevs;
  std::vector<RngBackend> rngs;
  std::vector<Device> devices;
  std::vector<SmbiosValue> smbios;
  bool fast_unplug = false;  ///< -global pcie-root-port.fast-unplug

  std::optional<std::string> serial;  ///< the chardev of the first serial port
  std::vector<std::string> monitors;  ///< the chardevs that speak QMP
  bool start_paused = false;          ///< -S
  bool stay_when_off = false;         ///< -no-shutdown
  bool exit_on_reset = false;         ///< -no-reboot
  bool daemonize = false, seccomp = true;
  std::string pid_file, log_file;
};

/// What the rest of the command line was: the program has something else to do than to run a machine.
struct ShowVersion {};
struct ShowHelp {};

/// Reads a command line, without the program's name. Throws std::invalid_argument, whose one line names the option, the
/// key and the value, and what is allowed.
std::variant<Config, ShowVersion, ShowHelp> parse(const std::vector<std::string>& words);

/// Throws std::invalid_argument where parts do not fit each other: an id twice, a drive that is not there, two devices
/// in one place.
void validate(const Config& config);

}  // namespace cmdline
