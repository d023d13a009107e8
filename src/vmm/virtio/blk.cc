#include "vmm/virtio/blk.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace virtio {

using namespace blk_layout;

namespace {

/// Bytes [offset, offset + size) of buffers.
std::vector<iovec> parts_of(std::span<const Chain::Buffer> buffers, std::size_t offset, std::size_t size) {
  std::vector<iovec> parts;
  for (const Chain::Buffer buffer : buffers) {
    if (offset >= buffer.size()) {
      offset -= buffer.size();
      continue;
    }
    const std::size_t length = std::min(buffer.size() - offset, size);
    if (length == 0) break;
    parts.push_back({buffer.data() + offset, length});
    size -= length;
    offset = 0;
  }
  return parts;
}

}  // namespace

Blk::Blk(const BlkConfig& config, block::Disk& disk) : disk_(disk), serial_(config.serial.substr(0, id_size)) {
  const unsigned queues = std::clamp(config.queues, 1U, 64U);
  traits_ = {
      .type = 2,
      .features = offer::seg_max | offer::flush | feature::indirect_desc | feature::event_idx | feature::version_1,
      .queue_sizes = std::vector<std::uint16_t>(queues, config.queue_size),
      .config_size = config_size,
      .class_code = 0x010000};
  if (queues > 1) traits_.features |= offer::multi_queue;
  if (disk.read_only()) traits_.features |= offer::read_only;
  if (disk.can_discard()) traits_.features |= offer::discard;
  if (config.write_zeroes && !disk.read_only()) traits_.features |= offer::write_zeroes;
  under_way_.resize(queues);
  held_up_.resize(queues);
  given_back_.resize(queues);
  disk_.on_batch([this] { tell(); });
}

Blk::~Blk() {
  Blk::reset();
  disk_.on_batch({});
}

void Blk::read_config(std::uint64_t offset, std::span<std::uint8_t> value) {
  const bool discards = traits_.features & offer::discard, zeroes = traits_.features & offer::write_zeroes;
  bus::read_registers(config_registers, offset, value, [&](Config id) -> std::uint64_t {
    switch (id) {
      case Config::capacity: return disk_.size() / sector;
      case Config::seg_max: return traits_.queue_sizes[0] - 2U;  // a header and a status go with them
      case Config::blk_size: return sector;
      case Config::num_queues: return traits_.queue_sizes.size();
      case Config::max_discard_sectors: return discards ? most_sectors : 0;
      case Config::max_discard_seg: return discards;
      case Config::discard_sector_alignment: return discards;
      case Config::max_write_zeroes_sectors: return zeroes ? most_sectors : 0;
      case Config::max_write_zeroes_seg: return zeroes;
      case Config::write_zeroes_may_unmap: return zeroes;
      default: return 0;
    }
  });
}

bool Blk::activate(Active active) {
  active_.emplace(std::move(active));
  broken_ = false;
  return true;
}

void Blk::reset() {
  if (!active_) return;
  resetting_ = true;  // whom an answer would go to is gone
  disk_.drain();
  resetting_ = false;
  active_.reset();
  std::ranges::fill(under_way_, std::uint16_t{0});
  segments_ = bytes_ = 0;
  held_up_.assign(held_up_.size(), false);
  given_back_.assign(given_back_.size(), false);
}

void Blk::queue_ready(unsigned index) {
  if (!active_ || index >= active_->queues.size() || !active_->queues[index]) return;
  Queue& queue = *active_->queues[index];
  const std::uint16_t size = queue.config().size;
  for (unsigned served = 0; !broken_; ++served) {
    // A driver has as many under way as its queue is long; one that pretends to more waits.
    if (under_way_[index] >= size || segments_ >= most_segments || bytes_ >= most_bytes) {
      held_up_[index] = true;
      break;
    }
    if (served == size) {
      call_again(*active_, index);
      break;
    }
    auto taken = queue.take();
    if (!taken) {
      broken();
      break;
    }
    if (!*taken) break;
    if (!serve(std::move(**taken), index)) broken();
  }
  disk_.kick();
  tell();
}

/// False for a request that cannot be answered.
bool Blk::serve(Chain chain, unsigned index) {
  if (chain.writable_bytes() == 0) return false;
  std::uint32_t data = 0;
  if (const auto status = start(chain, index, data)) answer(std::move(chain), index, *status, data);
  return true;
}

/// The status of a request that is done, nothing of one that the disk has now, and the chain with it.
std::optional<std::uint8_t> Blk::start(Chain& chain, unsigned index, std::uint32_t& data) {
  std::array<std::uint8_t, sizeof(Header)> bytes{};
  if (chain.copy_out(0, bytes) < bytes.size()) return ioerr;
  const auto header = std::bit_cast<Header>(bytes);
  switch (header.type) {
    case Type::in:
    case Type::out: return start_transfer(header, chain, index);
    case Type::flush: {
      block::Request request;
      request.kind = block::Kind::flush;
      submit(std::move(request), chain, index);
      return {};
    }
    case Type::get_id: return give_id(chain, data);
    case Type::discard:
    case Type::write_zeroes: return start_range(header, chain, index);
    default: return unsupp;
  }
}

std::optional<std::uint8_t> Blk::start_transfer(const Header& header, Chain& chain, unsigned index) {
  const bool writes = header.type == Type::out;
  const std::size_t length = writes ? chain.readable_bytes() - sizeof header : chain.writable_bytes() - 1;
  const std::uint64_t capacity = disk_.size() / sector;
  if (length == 0 || length % sector) return ioerr;
  if (header.sector > capacity || length / sector > capacity - header.sector) return ioerr;
  if (writes && disk_.read_only()) return ioerr;
  block::Request request;
  request.kind = writes ? block::Kind::write : block::Kind::read;
  request.offset = header.sector * sector;
  request.length = length;
  request.parts = writes ? parts_of(chain.readable(), sizeof header, length) : parts_of(chain.writable(), 0, length);
  submit(std::move(request), chain, index);
  return {};
}

std::optional<std::uint8_t> Blk::start_range(const Header& header, Chain& chain, unsigned index) {
  const bool discards = header.type == Type::discard;
  if (!(active_->features & (discards ? offer::discard : offer::write_zeroes))) return unsupp;
  if (chain.readable_bytes() != sizeof header + sizeof(Range)) return ioerr;  // one range, as the configuration says
  std::array<std::uint8_t, sizeof(Range)> bytes{};
  chain.copy_out(sizeof header, bytes);
  const auto range = std::bit_cast<Range>(bytes);
  if (range.flags & ~(discards ? 0U : unmap)) return unsupp;
  const std::uint64_t capacity = disk_.size() / sector;
  if (range.sectors > most_sectors || range.sector > capacity || range.sectors > capacity - range.sector) return ioerr;
  block::Request request;
  request.kind = discards ? block::Kind::discard : block::Kind::write_zeroes;
  request.offset = range.sector * sector;
  request.length = std::uint64_t{range.sectors} * sector;
  request.may_unmap = range.flags & unmap;
  submit(std::move(request), chain, index);
  return {};
}

std::optional<std::uint8_t> Blk::give_id(Chain& chain, std::uint32_t& data) {
  std::array<std::uint8_t, id_size> id{};
  std::ranges::copy(serial_, id.begin());
  const std::size_t room = std::min(id.size(), chain.writable_bytes() - 1);
  data = static_cast<std::uint32_t>(chain.copy_in(0, std::span(id).first(room)));
  return ok;
}

void Blk::submit(block::Request request, Chain& chain, unsigned index) {
  std::size_t slot = pending_.size();
  if (free_.empty()) {
    pending_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  const bool changes = request.kind == block::Kind::write || request.kind == block::Kind::write_zeroes;
  const std::uint64_t data =
      request.kind == block::Kind::read ? std::min<std::uint64_t>(request.length, 0xffff'fffe) : 0;
  pending_[slot].emplace(std::move(chain), index, static_cast<std::uint32_t>(data),
                         changes && !(active_->features & offer::flush),
                         request.parts.empty() ? 0 : std::min<std::size_t>(request.length, most_bytes_of_one));
  ++under_way_[index];
  segments_ += pending_[slot]->chain.segments();
  bytes_ += pending_[slot]->bytes;
  request.done = [this, slot](int error) { done(slot, error); };
  disk_.submit(std::move(request));
}

void Blk::done(std::size_t slot, int error) {
  Pending& one = *pending_[slot];
  if (error == 0 && std::exchange(one.then_flush, false)) {
    block::Request request;
    request.kind = block::Kind::flush;
    request.done = [this, slot](int failed) { done(slot, failed); };
    return disk_.submit(std::move(request));
  }
  Pending finished = std::move(one);
  pending_[slot].reset();
  free_.push_back(slot);
  if (resetting_) return;
  --under_way_[finished.queue];
  segments_ -= finished.chain.segments();
  bytes_ -= finished.bytes;
  answer(std::move(finished.chain), finished.queue, error ? ioerr : ok, error ? 0 : finished.data);
}

void Blk::answer(Chain chain, unsigned index, std::uint8_t status, std::uint32_t data) {
  if (broken_) return;
  chain.copy_in(chain.writable_bytes() - 1, {&status, 1});
  active_->queues[index]->give_back(std::move(chain), data + 1);
  given_back_[index] = true;
}

/// The driver of what was handed back, once for several; and goes on with queues that were held up.
void Blk::tell() {
  if (!active_ || broken_ || resetting_) return;
  bool any = false;
  for (unsigned index = 0; index < given_back_.size(); ++index) {
    if (!given_back_[index]) continue;
    given_back_[index] = false;
    any = true;
    if (active_->queues[index]->wants_interrupt()) active_->interrupt.queue(index);
  }
  if (!any) return;
  for (unsigned index = 0; index < held_up_.size(); ++index) {
    if (!held_up_[index]) continue;
    held_up_[index] = false;
    call_again(*active_, index);
  }
}

void Blk::broken() {
  broken_ = true;
  active_->interrupt.needs_reset();
}

}  // namespace virtio
