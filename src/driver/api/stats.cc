#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <span>

#include "driver/api/client.h"
#include "driver/api/figures.h"
#include "driver/core/error.h"
#include "driver/host/image_size.h"
#include "driver/host/process_stats.h"
#include "driver/host/tap.h"
#include "driver/instance/statistics.h"
#include "driver/protocol/domain_stats.h"

// virConnectGetAllDomainStats. Names, types and order of the figures are libvirt's (libvirt-domain.h).
namespace api {
namespace {

using namespace protocol;
using core::Error;
using core::ErrorCode;
using core::Task;
using registry::InstancePtr;
using rpc::Bytes;

enum Group : std::uint32_t {
  state = 1,
  cpu = 2,
  balloon = 4,
  vcpu = 8,
  interface = 16,
  block = 32,
  perf = 64,
  iothread = 128,
  memory = 256
};
constexpr std::uint32_t known_groups = 0x1ff;
constexpr std::uint32_t filters = 0xff, nowait = 1u << 29, backing = 1u << 30, enforce = 1u << 31;

/// An emulator that does not answer costs its caller this much, all of them together; storage that hangs, as much.
constexpr std::chrono::milliseconds patient{2000}, impatient{100};

/// A disk's image; `size` once it was looked at, and where there is one: libvirt leaves out what is not there as well.
struct Image {
  std::string path;
  bool qcow2;
  std::optional<host::ImageSize> size = {};
};
using Images = std::span<const Image>;

/// A domain's record in the making.
class Record {
 public:
  /// Into `record`, whose memory is used again.
  Record(DomainStatsRecord& record, const instance::Instance& subject) : record_(record) {
    record.dom = wire(subject);
    record.params.clear();
  }

  template <class T>
  void add(std::string_view field, T value) {
    record_.params.add(TypedParamView{field, decltype(TypedParamView::value)(std::in_place_type<T>, value)});
  }
  void text(std::string_view field, std::string_view value) { add<rpc::StringView<>>(field, value); }
  void count(const char* group, std::size_t number) {
    add<std::uint32_t>(name_.assign(group).append(".count"), static_cast<std::uint32_t>(number));
  }
  /// "group.number.field", until the next is asked for.
  std::string_view numbered(const char* group, std::size_t number, const char* field) {
    name_.assign(group).append(1, '.').append(std::to_string(number));
    return name_.append(1, '.').append(field);
  }

 private:
  DomainStatsRecord& record_;
  std::string name_;
};

void add_cpu(Record& record, const instance::Running& now) {
  const auto used = host::process_statistics(now.process.pid);
  if (!used) return;
  record.add<std::uint64_t>("cpu.time", now.cgroup.usage_ns().value_or(used->user_ns + used->system_ns));
  record.add<std::uint64_t>("cpu.user", used->user_ns);
  record.add<std::uint64_t>("cpu.system", used->system_ns);
}

void add_balloon(Record& record, const instance::Instance& subject, const instance::Running* now,
                 const instance::Figures& figures) {
  const domain::Domain& what = subject.description();
  record.add<std::uint64_t>("balloon.current", what.current_memory_kib);
  record.add<std::uint64_t>("balloon.maximum", what.memory_kib);
  if (!now) return;
  for (const MemoryFigure& figure : memory_figures(*now, figures)) {
    if (figure.name) record.add<std::uint64_t>(std::string("balloon.") + figure.name, figure.value);
  }
}

void add_vcpus(Record& record, const domain::Domain& what, const instance::Running* now,
               const instance::Figures& figures) {
  record.add<std::uint32_t>("vcpu.current", what.current_vcpus);
  record.add<std::uint32_t>("vcpu.maximum", what.vcpus);
  if (!now) return;
  constexpr std::int32_t running = 1;  // virVcpuState
  for (const emulator::Vcpu& one : figures.vcpus) {
    const auto used = host::thread_statistics(now->process.pid, one.thread_id);
    if (!used) continue;
    record.add<std::int32_t>(record.numbered("vcpu", one.index, "state"), running);
    record.add<std::uint64_t>(record.numbered("vcpu", one.index, "time"), used->user_ns + used->system_ns);
    record.add<std::uint64_t>(record.numbered("vcpu", one.index, "delay"), used->wait_ns);
  }
}

void add_interfaces(Record& record, const instance::Running& now) {
  record.count("net", now.live.interfaces.size());
  for (std::size_t i = 0; i < now.live.interfaces.size(); ++i) {
    const std::string& name = now.live.interfaces[i].target;
    record.text(record.numbered("net", i, "name"), name);
    const auto counted = host::tap_statistics(name);
    if (!counted) continue;
    const std::pair<const char*, std::uint64_t> rows[] = {
        {"rx.bytes", counted->rx_bytes},  {"rx.pkts", counted->rx_packets}, {"rx.errs", counted->rx_errors},
        {"rx.drop", counted->rx_dropped}, {"tx.bytes", counted->tx_bytes},  {"tx.pkts", counted->tx_packets},
        {"tx.errs", counted->tx_errors},  {"tx.drop", counted->tx_dropped}};
    for (const auto& [field, value] : rows) record.add<std::uint64_t>(record.numbered("net", i, field), value);
  }
}

void add_blocks(Record& record, const domain::Domain& what, const instance::Figures& figures, Images images) {
  record.count("block", what.disks.size());
  for (std::size_t i = 0; i < what.disks.size(); ++i) {
    const domain::Disk& disk = what.disks[i];
    const auto add = [&](const char* field, std::uint64_t value) {
      record.add<std::uint64_t>(record.numbered("block", i, field), value);
    };
    record.text(record.numbered("block", i, "name"), disk.target);
    record.text(record.numbered("block", i, "path"), disk.source);
    const emulator::BlockStats* counted = find_block_stats(figures, disk);
    if (counted) {
      add("rd.reqs", counted->read_operations);
      add("rd.bytes", counted->read_bytes);
      add("rd.times", counted->read_ns);
      add("wr.reqs", counted->write_operations);
      add("wr.bytes", counted->write_bytes);
      add("wr.times", counted->write_ns);
      add("fl.reqs", counted->flush_operations);
      add("fl.times", counted->flush_ns);
    }
    const auto found = std::ranges::find(images, disk.source, &Image::path);
    if (found == images.end() || !found->size) continue;
    const host::ImageSize& size = *found->size;
    // Of a running machine libvirt tells the highest byte written and what the file takes, else what the file takes
    // where it takes anything and where it ends.
    if (counted && counted->highest_offset) {
      add("allocation", *counted->highest_offset);
      add("capacity", in_sectors(size.capacity));
      add("physical", size.allocation ? size.allocation : size.physical);
    } else {
      if (size.allocation) add("allocation", size.allocation);
      add("capacity", size.capacity);
      add("physical", size.physical);
    }
  }
}

void add_iothreads(Record& record, const instance::Figures& figures) {
  if (!figures.iothreads) return;
  record.count("iothread", figures.iothreads->size());
  for (const emulator::Iothread& one : *figures.iothreads) {
    constexpr std::string_view prefix = "iothread";
    const std::string id = one.id.starts_with(prefix) ? one.id.substr(prefix.size()) : one.id;
    if (one.poll_max_ns) record.add<std::uint64_t>("iothread." + id + ".poll-max-ns", *one.poll_max_ns);
    if (one.poll_grow)
      record.add<std::uint32_t>("iothread." + id + ".poll-grow", static_cast<std::uint32_t>(*one.poll_grow));
    if (one.poll_shrink)
      record.add<std::uint32_t>("iothread." + id + ".poll-shrink", static_cast<std::uint32_t>(*one.poll_shrink));
  }
}

void make(DomainStatsRecord& into, instance::Instance& subject, std::uint32_t groups, const instance::Figures& figures,
          Images images) {
  Record record(into, subject);
  const instance::Running* now = subject.active() ? &subject.running() : nullptr;
  if (groups & state) {
    record.add<std::int32_t>("state.state", static_cast<std::int32_t>(subject.status().state));
    record.add<std::int32_t>("state.reason", subject.status().reason);
  }
  if (now && groups & cpu) add_cpu(record, *now);
  if (groups & balloon) add_balloon(record, subject, now, figures);
  if (groups & vcpu) add_vcpus(record, subject.description(), now, figures);
  if (now && groups & interface) add_interfaces(record, *now);
  if (groups & block) add_blocks(record, subject.description(), figures, images);
  if (groups & iothread) add_iothreads(record, figures);
}

/// What is under way for one call: what emulators have answered, by their domain's place, and how many have not yet;
/// and the images of all domains' disks, of which the first so many were looked at, or given up. Each domain is looked
/// at once, however often the client names it.
struct Round {
  explicit Round(core::asio::io_context& context) : progress(context) {}
  std::vector<InstancePtr> domains;
  std::vector<std::uint32_t> wanted;  // places in `domains`, in the order asked for
  std::map<std::size_t, instance::Figures> figures;
  std::size_t open = 0;
  std::vector<Image> images;
  std::size_t looked_at = 0;
  std::atomic<bool> over = false;     // nobody wants to know any more
  core::asio::steady_timer progress;  // cancelled to tell of it
};

/// Ends the part in a round of whatever is under way for it, however it ends.
template <class F>
struct AtEnd {
  F end;
  ~AtEnd() { end(); }
};

Task<void> ask_one(std::shared_ptr<Round> round, std::size_t slot, InstancePtr subject, instance::Questions questions,
                   std::chrono::milliseconds limit) {
  const AtEnd answered{[&] {
    if (--round->open == 0) round->progress.cancel();
  }};
  round->figures[slot] = co_await instance::ask(std::move(subject), questions, limit);
}

/// By one thread of the pool, since storage may hang; it tells of its progress, so that records are made meanwhile.
Task<void> look_at_images(std::shared_ptr<Round> round, Driver* driver, bool readonly) {
  constexpr std::size_t part = 32;
  core::Loop* const loop = &driver->loop;
  const AtEnd looked{[&] {
    round->looked_at = round->images.size();
    round->progress.cancel();
  }};
  std::optional<core::Gate::Place> place;
  try {
    if (readonly) place.emplace(co_await driver->reader_looks.enter(patient, "storage"));
  } catch (const Error&) {
    co_return;  // what hangs, hangs for others: there are no sizes
  }
  co_await loop->blocking([round, loop] {
    for (std::size_t i = 0; i < round->images.size() && !round->over;) {
      Image& one = round->images[i];
      if (auto size = host::image_size(one.path, one.qcow2)) one.size = *size;
      if (++i % part != 0 && i < round->images.size()) continue;
      core::asio::post(loop->context(), [round, i] {
        round->looked_at = i;
        round->progress.cancel();
      });
    }
  });
}

Task<void> choose(Client* client, const ConnectGetAllDomainStatsArgs* args, Round* round, rpc::Connection::Turn* turn) {
  const auto add = [&](const InstancePtr& one) {
    if (!listed(*one, args->flags & filters)) return false;
    round->domains.push_back(one);
    return true;
  };
  if (args->doms.empty()) {
    for (const InstancePtr& one : client->registry().all()) {
      if (add(one)) round->wanted.push_back(static_cast<std::uint32_t>(round->wanted.size()));
    }
    co_return;
  }
  std::map<core::Uuid, std::optional<std::uint32_t>> places;  // absent: not to be told of
  for (const Domain& named : args->doms) {
    if (turn->over()) co_await turn->next();
    const auto [known, first] = places.try_emplace(named.uuid);
    if (first) {
      try {
        if (add(client->find(named))) known->second = static_cast<std::uint32_t>(round->domains.size() - 1);
      } catch (const Error&) {
        // Gone since the client looked.
      }
    }
    if (known->second) round->wanted.push_back(*known->second);
  }
}

/// Asks the emulators and looks at the images.
void begin(Client& client, const std::shared_ptr<Round>& round, std::vector<std::size_t>& ends, std::uint32_t groups,
           std::uint32_t flags) {
  core::Loop& loop = client.driver().loop;
  for (std::size_t i = 0; i < round->domains.size(); ++i) {
    const InstancePtr& one = round->domains[i];
    const domain::Domain& what = one->description();
    if (groups & block) {
      for (const domain::Disk& disk : what.disks)
        round->images.emplace_back(disk.source, disk.format == domain::Disk::Format::qcow2);
    }
    ends.push_back(round->images.size());
    const bool busy = one->job().held() && flags & nowait;
    const instance::Questions questions{.vcpus = (groups & vcpu) != 0,
                                        .blocks = groups & block && !what.disks.empty(),
                                        .memory = (groups & balloon) != 0,
                                        .iothreads = (groups & iothread) != 0};
    const bool any = questions.vcpus || questions.blocks || questions.memory || questions.iothreads;
    if (!one->active() || busy || !any) continue;
    ++round->open;
    loop.spawn(ask_one(round, i, one, questions, flags & nowait ? impatient : patient));
  }
  if (!round->images.empty()) loop.spawn(look_at_images(round, &client.driver(), client.connection().readonly()));
}

/// Where a domain's record is among the reply's bytes, once it was made; without bytes where there is none to tell.
struct Place {
  bool made = false;
  std::size_t begin = 0, size = 0;
};

Task<ConnectGetAllDomainStatsRet> get_all(Client* client, ConnectGetAllDomainStatsArgs args) {
  require_flags(args.flags, filters | nowait | backing | enforce, "virConnectGetAllDomainStats");
  if (const std::uint32_t unknown = args.stats & ~known_groups; unknown && args.flags & enforce) {
    char text[16];
    std::snprintf(text, sizeof text, "0x%x", unknown);
    throw Error(ErrorCode::argument_unsupported,
                std::string("Stats types bits ") + text + " are not supported by this daemon or QEMU");
  }
  const std::uint32_t groups = args.stats ? args.stats & known_groups : known_groups;
  rpc::Connection& connection = client->connection();
  const auto pass = co_await rpc::Users::pass(&connection.account());
  rpc::Connection::Held held(connection);
  rpc::Connection::Turn turn(connection);
  const auto round = std::make_shared<Round>(client->driver().loop.context());
  co_await choose(client, &args, round.get(), &turn);
  std::vector<std::size_t> ends;  // of each domain's images
  begin(*client, round, ends, groups, args.flags);
  const AtEnd over{[&] { round->over = true; }};
  bool storage_hangs = false;

  const instance::Figures nothing;
  ConnectGetAllDomainStatsRet ret;
  Bytes& bytes = ret.ret_stats.items;
  // All there can be: what is not used is not there. To grow would be to have it twice for a moment.
  constexpr std::size_t many = 64;
  if (round->wanted.size() > many) bytes.reserve(rpc::max_packet + rpc::Connection::calls_wait_above);
  DomainStatsRecord record;
  std::vector<Place> places(round->domains.size());
  for (const std::uint32_t i : round->wanted) {
    if (turn.over()) co_await turn.next();
    Place& place = places[i];
    if (place.made) {
      if (place.size > 0) ret.ret_stats.repeat(place.begin, place.size);
    } else {
      instance::Instance& one = *round->domains[i];
      while ((round->looked_at < ends[i] && !storage_hangs) || (round->open > 0 && one.active())) {
        round->progress.expires_after(patient);
        boost::system::error_code told;
        co_await round->progress.async_wait(core::asio::redirect_error(core::asio::use_awaitable, told));
        if (!told) round->over = storage_hangs = true;  // the others' figures do not wait for it
        turn.restart();
        if (connection.closed()) throw Error(ErrorCode::operation_aborted, "the client is gone");
      }
      place.made = true;
      if (!one.active() && !one.persistent()) continue;  // ended meanwhile
      const std::size_t first = i ? ends[i - 1] : 0;
      const auto asked = round->figures.find(i);
      const auto looked = Images(round->images).first(round->looked_at);  // beyond it the pool may be writing
      make(record, one, groups, asked == round->figures.end() ? nothing : asked->second,
           looked.first(std::min(ends[i], looked.size())).subspan(std::min(first, looked.size())));
      place.begin = bytes.size();
      ret.ret_stats.add(record);
      place.size = bytes.size() - place.begin;
    }
    if (bytes.size() > rpc::max_packet)
      throw Error(ErrorCode::rpc, "Unable to encode message payload", core::ErrorDomain::rpc);
    held.set(bytes.size());
    if (connection.closed()) throw Error(ErrorCode::operation_aborted, "the client is gone");
  }
  co_return ret;
}

}  // namespace

void add_stats(Handlers& handlers) {
  handlers.add<Procedure::connect_get_all_domain_stats>(get_all);
}

}  // namespace api
