#pragma once

#include <array>
#include <cstdint>

#include "vmm/bus/register_map.h"

/// The block device's layouts (Virtio 1.2 §5.2), shared with its tests.
namespace virtio::blk_layout {

/// §5.2.3.
namespace offer {
inline constexpr std::uint64_t seg_max = 1 << 2, read_only = 1 << 5, flush = 1 << 9, multi_queue = 1 << 12,
                               discard = 1 << 13, write_zeroes = 1 << 14;
}

/// struct virtio_blk_config (§5.2.4).
enum class Config : std::uint8_t {
  capacity,
  size_max,
  seg_max,
  geometry,
  blk_size,
  topology,
  writeback,
  num_queues,
  max_discard_sectors,
  max_discard_seg,
  discard_sector_alignment,
  max_write_zeroes_sectors,
  max_write_zeroes_seg,
  write_zeroes_may_unmap,
};
inline constexpr std::array<bus::Register<Config>, 14> config_registers{{
    {0, 8, Config::capacity, bus::Access::read_only, "capacity"},
    {8, 4, Config::size_max, bus::Access::reserved, "size_max"},
    {12, 4, Config::seg_max, bus::Access::read_only, "seg_max"},
    {16, 4, Config::geometry, bus::Access::reserved, "geometry"},
    {20, 4, Config::blk_size, bus::Access::read_only, "blk_size"},
    {24, 8, Config::topology, bus::Access::reserved, "topology"},
    {32, 1, Config::writeback, bus::Access::reserved, "writeback"},
    {34, 2, Config::num_queues, bus::Access::read_only, "num_queues"},
    {36, 4, Config::max_discard_sectors, bus::Access::read_only, "max_discard_sectors"},
    {40, 4, Config::max_discard_seg, bus::Access::read_only, "max_discard_seg"},
    {44, 4, Config::discard_sector_alignment, bus::Access::read_only, "discard_sector_alignment"},
    {48, 4, Config::max_write_zeroes_sectors, bus::Access::read_only, "max_write_zeroes_sectors"},
    {52, 4, Config::max_write_zeroes_seg, bus::Access::read_only, "max_write_zeroes_seg"},
    {56, 1, Config::write_zeroes_may_unmap, bus::Access::read_only, "write_zeroes_may_unmap"},
}};
inline constexpr std::size_t config_size = 60;
static_assert(bus::well_formed(config_registers, config_size));

/// Of a discard and of written zeroes, in sectors: what a request's 32 bits of bytes would hold.
inline constexpr std::uint32_t most_sectors = 0xffff'ffffU >> 9;

/// §5.2.6.
enum Type : std::uint32_t { in = 0, out = 1, flush = 4, get_id = 8, discard = 11, write_zeroes = 13 };
enum Status : std::uint8_t { ok = 0, ioerr = 1, unsupp = 2 };
inline constexpr std::size_t sector = 512, id_size = 20;

/// struct virtio_blk_req, before its data and its status.
struct Header {
  std::uint32_t type, reserved;
  std::uint64_t sector;
};
static_assert(sizeof(Header) == 16);
/// struct virtio_blk_discard_write_zeroes.
struct Range {
  std::uint64_t sector;
  std::uint32_t sectors, flags;
};
static_assert(sizeof(Range) == 16);
inline constexpr std::uint32_t unmap = 1;

}  // namespace virtio::blk_layout
