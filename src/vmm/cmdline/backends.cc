#include <algorithm>

#include "vmm/cmdline/keys.h"
#include "vmm/cmdline/parts.h"

// What devices stand on: -chardev, -drive, -netdev, -object and their hot plugging.
namespace cmdline {
namespace {

// --- character devices

template <auto M>
void inverse(detail::Class<M>& into, const Value& value) {
  into.*M = !value.boolean();
}

constexpr Key<Chardev> chardev[] = {
    {"id", identifier<&Chardev::id>, mandatory},
    {"logfile", text<&Chardev::log_file>},
    {"logappend", boolean<&Chardev::log_append>},
};
constexpr Key<Chardev> chardev_stdio[] = {{"signal", only<Chardev, false>}};
constexpr Key<Chardev> chardev_file[] = {
    {"path", text<&Chardev::path>, mandatory},
    {"append", only<Chardev, false>},
};
constexpr Key<Chardev> chardev_socket[] = {
    {"path", [](Chardev& into, const Value& value) { into.path = value.text(107); }},
    {"host", text<&Chardev::host>},
    {"port", [](Chardev& into, const Value& value) { into.port = std::to_string(value.number_in_text(0, 65535)); }},
    {"fd", [](Chardev& into, const Value& value) { into.fd = value.descriptor(); }},
    {"server", boolean<&Chardev::server>},
    {"wait", boolean<&Chardev::wait>},
    {"nowait", inverse<&Chardev::wait>},
};

// --- disks

constexpr Key<Drive> drive[] = {
    {"id", identifier<&Drive::id>, mandatory},
    {"file", text<&Drive::file>, mandatory},
    {"format", [](Drive&, const Value& value) { value.must_say("raw"); }},
    {"readonly", boolean<&Drive::read_only>},
    {"direct", boolean<&Drive::direct>},
    {"no-flush", boolean<&Drive::no_flush>},
    {"cache",
     [](Drive& into, const Value& value) {
       const auto [direct, no_flush] = value.choice<std::pair<bool, bool>>(
           {{"none", {true, false}}, {"writeback", {false, false}}, {"unsafe", {false, true}}});
       into.direct = direct;
       into.no_flush = no_flush;
     }},
    {"share", boolean<&Drive::share>},
    {"aio",
     [](Drive& into, const Value& value) {
       using Aio = Drive::Aio;
       into.aio = value.choice<Aio>(
           {{"io_uring", Aio::io_uring}, {"native", Aio::native}, {"threads", Aio::threads}, {"off", Aio::threads}});
     }},
    {"discard",
     [](Drive& into, const Value& value) {
       into.discard = value.choice<bool>({{"unmap", true}, {"on", true}, {"ignore", false}, {"off", false}});
     }},
    {"detect-zeroes",
     [](Drive& into, const Value& value) {
       using Detect = Drive::Detect;
       into.detect_zeroes = value.choice<Detect>({{"off", Detect::off}, {"on", Detect::on}, {"unmap", Detect::unmap}});
     }},
    {"throttling.iops-total", number<&Drive::iops_total, 0, 1'000'000>},
    {"media", [](Drive&, const Value& value) { value.must_say("disk"); }},
    {"l2-cache-size", no_effect<Drive>},
    {"refcount-cache-size", no_effect<Drive>},
};

constexpr Key<Pflash> pflash[] = {
    {"unit", number<&Pflash::unit, 0, 1>, mandatory},
    {"file", text<&Pflash::file>, mandatory},
    {"format", [](Pflash&, const Value& value) { value.must_say("raw"); }},
    {"readonly", boolean<&Pflash::read_only>},
    {"id", no_effect<Pflash>},
};

// --- network

constexpr Key<Netdev> tap[] = {
    {"id", identifier<&Netdev::id>, mandatory},
    {"ifname", [](Netdev& into, const Value& value) { into.ifname = value.text(15); }},
    {"fd", [](Netdev& into, const Value& value) { into.fds = {value.descriptor()}; }},
    {"fds", [](Netdev& into, const Value& value) { into.fds = value.descriptors(); }},
    {"vhost", boolean<&Netdev::vhost>},
    {"vhostfd", [](Netdev& into, const Value& value) { into.vhost_fds = {value.descriptor()}; }},
    {"vhostfds", [](Netdev& into, const Value& value) { into.vhost_fds = value.descriptors(); }},
    {"queues", number<&Netdev::queues, 1, 16>},
    {"script", [](Netdev&, const Value& value) { value.must_say("no"); }},
    {"downscript", [](Netdev&, const Value& value) { value.must_say("no"); }},
};

// --- objects

constexpr std::uint64_t mib = std::uint64_t{1} << 20;

constexpr Key<Iothread> iothread[] = {{"id", identifier<&Iothread::id>, mandatory}};

constexpr Key<RngBackend> rng_random[] = {
    {"id", identifier<&RngBackend::id>, mandatory},
    {"filename", text<&RngBackend::file>, mandatory},
};

constexpr Key<MemoryBackend> memory_backend[] = {
    {"id", identifier<&MemoryBackend::id>, mandatory},
    {"size", [](MemoryBackend& into, const Value& value) { into.size = value.size(mib); }, mandatory},
    {"share", boolean<&MemoryBackend::share>},
    {"prealloc", boolean<&MemoryBackend::prealloc>},
    {"mem-prealloc", boolean<&MemoryBackend::prealloc>},
    {"dump", boolean<&MemoryBackend::dump>},
    {"dump-guest-core", boolean<&MemoryBackend::dump>},
    {"host-nodes", [](MemoryBackend& into, const Value& value) { into.host_nodes = value.range(127); }},
    {"policy",
     [](MemoryBackend& into, const Value& value) {
       into.policy = value.choice<const char*>(
           {{"default", "default"}, {"preferred", "preferred"}, {"bind", "bind"}, {"interleave", "interleave"}});
     }},
};
constexpr Key<MemoryBackend> memory_backend_file[] = {
    {"mem-path", text<&MemoryBackend::path>, mandatory},
};

const std::string& head(const Properties& properties, std::string_view key) {
  const std::string* const value = properties.find(key);
  if (!value) refuse(properties.option, "'" + std::string(key) + "=' is missing");
  return *value;
}

}  // namespace

Chardev read_chardev(const Properties& properties) {
  using Kind = Chardev::Kind;
  constexpr std::string_view key = "backend";
  const std::string& name = head(properties, key);
  const bool is_socket = name == "socket";
  Chardev result;
  if (!is_socket) {
    result.kind =
        Value(properties.option, {std::string(key), name})
            .choice<Kind>(
                {{"stdio", Kind::stdio}, {"pty", Kind::pty}, {"file", Kind::file}, {"socket", Kind::unix_socket}});
  }
  Reader reader(properties, properties.option + ' ' + name);
  reader.skip(key);
  reader.take(chardev, result);
  if (result.kind == Kind::stdio) reader.take(chardev_stdio, result);
  if (result.kind == Kind::file) reader.take(chardev_file, result);
  if (is_socket) {
    reader.take(chardev_socket, result);
    result.kind = result.port.empty() ? Kind::unix_socket : Kind::tcp_socket;
  }
  reader.finish();
  if (is_socket && !result.path.empty() + !result.port.empty() + (result.fd >= 0) != 1) {
    reader.refuse("one of 'path=', 'port=' and 'fd=' must be there");
  }
  if (result.fd >= 0 && !result.server) reader.refuse("'fd=' is for a server: 'server=on' is missing");
  return result;
}

std::variant<Drive, Pflash> read_drive(const Properties& properties) {
  constexpr std::string_view key = "if";
  const std::string* const interface = properties.find(key);
  Reader reader(properties);
  reader.skip(key);
  if (interface &&
      Value(properties.option, {std::string(key), *interface}).choice<bool>({{"none", false}, {"pflash", true}})) {
    Pflash result;
    reader.take(pflash, result);
    reader.finish();
    return result;
  }
  Drive result;
  reader.take(drive, result);
  reader.finish();
  result.fd = descriptor_of(result.file);
  if (result.iops_total == 0U) result.iops_total.reset();
  return result;
}

Netdev read_netdev(const Properties& properties) {
  constexpr std::string_view key = "type";
  Value(properties.option, {std::string(key), head(properties, key)}).must_say("tap");
  Netdev result;
  Reader reader(properties, properties.option + " tap");
  reader.skip(key);
  reader.take(tap, result);
  reader.finish();
  if (result.ifname.empty() == result.fds.empty()) reader.refuse("one of 'ifname=', 'fd=' and 'fds=' must be there");
  if (!result.fds.empty()) {
    if (properties.find("queues") && result.queues != result.fds.size()) {
      reader.refuse("'queues=' is not the number of descriptors");
    }
    result.queues = static_cast<unsigned>(result.fds.size());
    if (result.queues > 16) reader.refuse("more than 16 queues");
  }
  if (!result.vhost_fds.empty()) {
    if (properties.find("vhost") && !result.vhost) reader.refuse("vhost=off with a descriptor of vhost");
    if (result.vhost_fds.size() != result.queues) reader.refuse("a descriptor of vhost for each queue must be there");
    result.vhost = true;
  }
  return result;
}

Object read_object(const Properties& properties) {
  constexpr std::string_view key = "qom-type";
  enum class Kind { iothread, rng, memory, memory_file };
  const std::string& name = head(properties, key);
  const Kind kind = Value(properties.option, {std::string(key), name})
                        .choice<Kind>({{"iothread", Kind::iothread},
                                       {"rng-random", Kind::rng},
                                       {"memory-backend-ram", Kind::memory},
                                       {"memory-backend-memfd", Kind::memory},
                                       {"memory-backend-file", Kind::memory_file}});
  Reader reader(properties, properties.option + ' ' + name);
  reader.skip(key);
  const auto whole = [&reader](auto result, const auto& keys) {
    reader.take(keys, result);
    return result;
  };
  Object result;
  switch (kind) {
    case Kind::iothread: result = whole(Iothread{}, iothread); break;
    case Kind::rng: result = whole(RngBackend{}, rng_random); break;
    case Kind::memory: result = whole(MemoryBackend{}, memory_backend); break;
    case Kind::memory_file: result = whole(whole(MemoryBackend{}, memory_backend), memory_backend_file); break;
  }
  reader.finish();
  return result;
}

}  // namespace cmdline
