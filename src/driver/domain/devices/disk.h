#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "driver/domain/devices/address.h"

namespace domain {

/// Limits of a disk (libvirt formatdomain "Hard drives", iotune). Bytes or operations a second; 0 is "no limit".
/// An emulator of StratoVirt's kind knows total_iops_sec only.
struct IoTune {
  std::uint64_t total_bytes_sec = 0, read_bytes_sec = 0, write_bytes_sec = 0;
  std::uint64_t total_iops_sec = 0, read_iops_sec = 0, write_iops_sec = 0;
  std::uint64_t total_bytes_sec_max = 0, read_bytes_sec_max = 0, write_bytes_sec_max = 0;
  std::uint64_t total_iops_sec_max = 0, read_iops_sec_max = 0, write_iops_sec_max = 0;
  std::uint64_t size_iops_sec = 0;
  friend bool operator==(const IoTune&, const IoTune&) = default;
};

/// A disk on virtio-blk (libvirt formatdomain "Hard drives, floppy disks, CDROMs").
struct Disk {
  enum class Source { file, block };
  enum class Format { raw, qcow2 };
  enum class Cache { unset, none, writeback, writethrough, directsync, unsafe };
  enum class Io { unset, native, threads, io_uring };
  enum class Discard { unset, ignore, unmap };
  enum class DetectZeroes { unset, off, on, unmap };

  Source source_type = Source::file;
  std::string source;       ///< absolute path on the host
  std::string driver_name;  ///< "qemu" or empty, kept as written
  Format format = Format::raw;
  Cache cache = Cache::unset;
  Io io = Io::unset;
  Discard discard = Discard::unset;
  DetectZeroes detect_zeroes = DetectZeroes::unset;
  std::optional<unsigned> iothread;  ///< 1-based
  std::optional<unsigned> queues;
  std::string target;  ///< "vda", "hda"; unique in the domain
  std::string serial;
  bool readonly = false;
  bool shareable = false;
  IoTune iotune;
  DeviceInfo info;
  friend bool operator==(const Disk&, const Disk&) = default;
};

/// The place in the order of names: "vda" is 0, "vdz" 25, "vdaa" 26. Of a name that was checked.
unsigned target_number(std::string_view target);

/// Reads and checks the element by itself. `live` keeps what only a running domain has.
Disk parse_disk(const core::XmlNode& node, bool live);
/// Reads what a disk is looked up by: its target.
Disk parse_disk_pattern(const core::XmlNode& node);
void format(core::XmlWriter& writer, const Disk& disk, bool live);

}  // namespace domain
