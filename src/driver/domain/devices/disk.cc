#include "driver/domain/devices/disk.h"

#include "driver/domain/element.h"

namespace domain {
namespace {

using core::ErrorCode;

constexpr Name<Disk::Source> sources[] = {{Disk::Source::file, "file"}, {Disk::Source::block, "block"}};
constexpr Name<Disk::Format> formats[] = {{Disk::Format::raw, "raw"}, {Disk::Format::qcow2, "qcow2"}};
constexpr Name<Disk::Cache> caches[] = {{Disk::Cache::none, "none"},
                                        {Disk::Cache::writeback, "writeback"},
                                        {Disk::Cache::writethrough, "writethrough"},
                                        {Disk::Cache::directsync, "directsync"},
                                        {Disk::Cache::unsafe, "unsafe"}};
constexpr Name<Disk::Io> ios[] = {
    {Disk::Io::native, "native"}, {Disk::Io::threads, "threads"}, {Disk::Io::io_uring, "io_uring"}};
constexpr Name<Disk::Discard> discards[] = {{Disk::Discard::ignore, "ignore"}, {Disk::Discard::unmap, "unmap"}};
constexpr Name<Disk::DetectZeroes> zeroes[] = {
    {Disk::DetectZeroes::off, "off"}, {Disk::DetectZeroes::on, "on"}, {Disk::DetectZeroes::unmap, "unmap"}};

constexpr std::string_view other_sources = "dir network volume nvme vhostuser vdpa";
constexpr std::string_view other_kinds = "cdrom floppy lun";
constexpr std::string_view other_formats = "none dir bochs cloop dmg iso vpc vdi fat vhd ploop cow luks qcow qed vmdk";
constexpr std::string_view other_buses = "ide fdc scsi xen usb uml sata sd";

struct Limit {
  std::string_view name;
  std::uint64_t IoTune::* value;
};
/// In the order libvirt writes them.
constexpr Limit limits[] = {{"total_bytes_sec", &IoTune::total_bytes_sec},
                            {"read_bytes_sec", &IoTune::read_bytes_sec},
                            {"write_bytes_sec", &IoTune::write_bytes_sec},
                            {"total_iops_sec", &IoTune::total_iops_sec},
                            {"read_iops_sec", &IoTune::read_iops_sec},
                            {"write_iops_sec", &IoTune::write_iops_sec},
                            {"total_bytes_sec_max", &IoTune::total_bytes_sec_max},
                            {"read_bytes_sec_max", &IoTune::read_bytes_sec_max},
                            {"write_bytes_sec_max", &IoTune::write_bytes_sec_max},
                            {"total_iops_sec_max", &IoTune::total_iops_sec_max},
                            {"read_iops_sec_max", &IoTune::read_iops_sec_max},
                            {"write_iops_sec_max", &IoTune::write_iops_sec_max},
                            {"size_iops_sec", &IoTune::size_iops_sec}};
constexpr std::uint64_t most_io = 1000000000000000;  // QEMU's THROTTLE_VALUE_MAX, which libvirt holds to

struct Exclusive {
  const char* name;
  std::uint64_t IoTune::* total;
  std::uint64_t IoTune::* read;
  std::uint64_t IoTune::* write;
};
constexpr Exclusive exclusives[] = {
    {"bytes_sec", &IoTune::total_bytes_sec, &IoTune::read_bytes_sec, &IoTune::write_bytes_sec},
    {"iops_sec", &IoTune::total_iops_sec, &IoTune::read_iops_sec, &IoTune::write_iops_sec},
    {"bytes_sec_max", &IoTune::total_bytes_sec_max, &IoTune::read_bytes_sec_max, &IoTune::write_bytes_sec_max},
    {"iops_sec_max", &IoTune::total_iops_sec_max, &IoTune::read_iops_sec_max, &IoTune::write_iops_sec_max}};

IoTune parse_iotune(const core::XmlNode& node) {
  IoTune tune;
  for (const Limit& limit : limits)
    if (const auto child = node.child(limit.name); child && !child->text().empty())
      tune.*limit.value = text_number(*child, 0, most_io, ErrorCode::argument_unsupported);
  return tune;
}

/// A disk's name as libvirt reads it: a bus' prefix, letters, then what could be a partition.
struct TargetName {
  std::string_view letters, rest;
};
TargetName split_target(std::string_view name) {
  for (const std::string_view prefix : {"fd", "hd", "vd", "sd", "xvd", "ubd"}) {
    if (!name.starts_with(prefix)) continue;
    name.remove_prefix(prefix.size());
    const std::size_t letters = std::min(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz"), name.size());
    return {name.substr(0, letters), name.substr(letters)};
  }
  return {{}, name};
}

/// `partition`: with the number of one the name is still a name.
void check_target(const core::XmlNode& target, std::string_view name, bool partition = false) {
  constexpr std::size_t most_letters = 4;
  const auto [letters, rest] = split_target(name);
  const bool is_name = !letters.empty() && letters.size() <= most_letters &&
                       rest.find_first_not_of("0123456789") == std::string_view::npos;
  if (!is_name || !(rest.empty() || partition))
    refuse_value(target, "dev", name, "as 'vda', 'hda', 'sda', without a partition",
                 is_name ? ErrorCode::config_unsupported : ErrorCode::xml_error);
}

void parse_driver(Disk& disk, const core::XmlNode& node) {
  disk.driver_name = node.attribute("name").value_or("");
  if (!disk.driver_name.empty() && disk.driver_name != "qemu")
    refuse_value(node, "name", disk.driver_name, "'qemu'", ErrorCode::config_unsupported);
  disk.format = read_choice(node, "type", formats, other_formats, ErrorCode::config_unsupported).value_or(disk.format);
  if (node.attribute("cache") != "default")
    disk.cache = read_choice(node, "cache", caches).value_or(Disk::Cache::unset);
  disk.io = read_choice(node, "io", ios).value_or(Disk::Io::unset);
  disk.discard = read_choice(node, "discard", discards).value_or(Disk::Discard::unset);
  disk.detect_zeroes = read_choice(node, "detect_zeroes", zeroes).value_or(Disk::DetectZeroes::unset);
  disk.iothread = read_unsigned(node, "iothread", 1);
  disk.queues = read_unsigned(node, "queues", 1, 0xffff);
}

}  // namespace

unsigned target_number(std::string_view target) {
  unsigned number = 0;
  for (const char letter : split_target(target).letters) number = number * 26 + static_cast<unsigned>(letter - 'a') + 1;
  return number - 1;
}

Disk parse_disk(const core::XmlNode& node, bool live) {
  Disk disk;
  disk.source_type = read_choice(node, "type", sources, other_sources).value_or(Disk::Source::file);
  read_word(node, "device", "disk", other_kinds);
  if (const auto driver = node.child("driver")) parse_driver(disk, *driver);
  const char* const attribute = disk.source_type == Disk::Source::file ? "file" : "dev";
  if (const auto source = node.child("source")) disk.source = source->attribute(attribute).value_or("");
  const auto target = node.child("target");
  if (target) disk.target = target->attribute("dev").value_or("");
  const std::string where = " (element 'disk' at line " + std::to_string(node.line()) + ")";
  if (!target || !target->attribute("dev")) throw core::Error(ErrorCode::no_target, disk.source + where);
  if (disk.source.empty())
    throw core::Error(ErrorCode::no_source, disk.target + where + ": <source> needs '" + attribute + "'");
  if (disk.source[0] != '/') refuse_value(*node.child("source"), attribute, disk.source, "an absolute path");
  check_target(*target, disk.target);
  if (!read_word(*target, "bus", "virtio", other_buses) && !disk.target.starts_with("vd"))
    refuse_lack(*target, "attribute 'bus' (allowed: 'virtio')", ErrorCode::config_unsupported);
  node.join("iotune");
  if (const auto iotune = node.child("iotune")) {
    disk.iotune = parse_iotune(*iotune);
    for (const Exclusive& row : exclusives)
      if (disk.iotune.*row.total && (disk.iotune.*row.read || disk.iotune.*row.write))
        throw core::Error(ErrorCode::xml_error, std::string("total and read/write ") + row.name +
                                                    " cannot be set at the same time (element 'iotune' at line " +
                                                    std::to_string(iotune->line()) + ")");
  }
  disk.readonly = node.child("readonly").has_value();
  disk.shareable = node.child("shareable").has_value();
  if (const auto serial = node.child("serial")) {
    disk.serial = serial->text();
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-+.()";
    if (disk.serial.find_first_not_of(allowed) != std::string::npos || disk.serial.size() > 255)
      refuse_value(*serial, nullptr, disk.serial, "up to 255 of A-Z a-z 0-9 space _ - + . ( )",
                   ErrorCode::internal_error);
  }
  disk.info = parse_info(node, AliasRule::user_only, live);
  return disk;
}

Disk parse_disk_pattern(const core::XmlNode& node) {
  require_known(node, "type", words_of(sources) + " " + std::string(other_sources));
  require_known(node, "device", "disk " + std::string(other_kinds));
  const auto target = node.child("target");
  const auto name = target ? target->attribute("dev") : std::nullopt;
  if (!name) throw core::Error(ErrorCode::no_target, " (element 'disk' at line " + std::to_string(node.line()) + ")");
  check_target(*target, *name, true);
  require_known(*target, "bus", "virtio " + std::string(other_buses));
  Disk disk;
  disk.target = *name;
  return disk;
}

void format(core::XmlWriter& writer, const Disk& disk, bool live) {
  writer.start("disk").attribute("type", name_of(sources, disk.source_type)).attribute("device", "disk");
  writer.start("driver")
      .attribute("name", unless_empty(disk.driver_name))
      .attribute("type", name_of(formats, disk.format))
      .attribute("cache", unless_empty(name_of(caches, disk.cache)))
      .attribute("io", unless_empty(name_of(ios, disk.io)))
      .attribute("discard", unless_empty(name_of(discards, disk.discard)))
      .attribute("iothread", disk.iothread)
      .attribute("detect_zeroes", unless_empty(name_of(zeroes, disk.detect_zeroes)))
      .attribute("queues", disk.queues)
      .end();
  writer.start("source").attribute(disk.source_type == Disk::Source::file ? "file" : "dev", disk.source).end();
  writer.start("target").attribute("dev", disk.target).attribute("bus", "virtio").end();
  writer.start("iotune");
  for (const Limit& limit : limits)
    if (disk.iotune.*limit.value) writer.element(limit.name, std::to_string(disk.iotune.*limit.value));
  writer.end_unless_empty();
  if (disk.readonly) writer.element("readonly");
  if (disk.shareable) writer.element("shareable");
  if (!disk.serial.empty()) writer.element("serial", disk.serial);
  format_info(writer, disk.info, AliasRule::user_only, live);
  writer.end();
}

}  // namespace domain
