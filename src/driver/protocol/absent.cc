#include "driver/protocol/absent.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "driver/rpc/xdr.h"

namespace protocol {
namespace {

using core::ErrorCode;
using core::ErrorDomain;

constexpr std::uint32_t any = 0xffffffff;

#define ANSWER(procedure, arguments, flags, need, code, text) \
  Absent{Procedure::procedure, arguments, flags, Need::need, ErrorCode::code, text},
#define LIST(procedure, arguments, flags, result) ANSWER(procedure, arguments, flags, nothing, ok, result)
#define NOTHING(procedure, arguments, flags) ANSWER(procedure, arguments, flags, nothing, no_support, "")
#define OBJECT(procedure, arguments, flags) NOTHING(procedure, arguments, flags)
constexpr auto table = std::to_array<Absent>({
#include "driver/protocol/absent_procedures.inc"
});
#undef OBJECT
#undef NOTHING
#undef LIST
#undef ANSWER
static_assert(std::ranges::is_sorted(table, std::ranges::less_equal{}, &Absent::procedure) &&
              std::ranges::adjacent_find(table, {}, &Absent::procedure) == table.end());

constexpr const char* no_network = "no network with matching uuid '%u' (%s)";
constexpr const char* no_pool = "no storage pool with matching uuid '%u' (%s)";
constexpr const char* no_pool_of_name = "no storage pool with matching name '%s'";
constexpr const char* no_secret = "no secret with matching uuid '%u'";
constexpr const char* no_filter = "no nwfilter with matching uuid '%u'";
constexpr const char* no_interface = "couldn't find interface named '%s'";
constexpr const char* no_port = "no nwfilter binding for port dev '%s'";

constexpr auto references_table = std::to_array<Reference>({
    {"network", "s o16", ErrorCode::no_network, ErrorDomain::network, no_network},
    {"network.name", "s", ErrorCode::no_network, ErrorDomain::network, "no network with matching name '%s'"},
    {"network.uuid", "o16", ErrorCode::no_network, ErrorDomain::network, "no network with matching uuid '%u'"},
    {"port", "s o16 o16", ErrorCode::no_network, ErrorDomain::network, no_network},
    {"pool", "s o16", ErrorCode::no_storage_pool, ErrorDomain::storage, no_pool},
    {"pool.name", "s", ErrorCode::no_storage_pool, ErrorDomain::storage, no_pool_of_name},
    {"pool.uuid", "o16", ErrorCode::no_storage_pool, ErrorDomain::storage, "no storage pool with matching uuid '%u'"},
    {"pool.path", "s", ErrorCode::no_storage_pool, ErrorDomain::storage,
     "no storage pool with matching target path '%s'"},
    {"volume", "s s s", ErrorCode::no_storage_pool, ErrorDomain::storage, no_pool_of_name},
    {"volume.key", "s", ErrorCode::no_storage_volume, ErrorDomain::storage, "no storage vol with matching key %s"},
    {"volume.path", "s", ErrorCode::no_storage_volume, ErrorDomain::storage, "no storage vol with matching path '%s'"},
    {"interface", "s s", ErrorCode::no_interface, ErrorDomain::interface, no_interface},
    {"interface.name", "s", ErrorCode::no_interface, ErrorDomain::interface, no_interface},
    {"interface.mac", "s", ErrorCode::no_interface, ErrorDomain::interface,
     "couldn't find interface with MAC address '%s'"},
    {"device", "s", ErrorCode::no_node_device, ErrorDomain::nodedev, "no node device with matching name '%s'"},
    {"device.wwn", "s", ErrorCode::no_node_device, ErrorDomain::nodedev, "no node device with matching wwnn '%s'"},
    {"secret", "o16 i4 s", ErrorCode::no_secret, ErrorDomain::secret, no_secret},
    {"secret.uuid", "o16", ErrorCode::no_secret, ErrorDomain::secret, no_secret},
    {"secret.usage", "s", ErrorCode::no_secret, ErrorDomain::secret, "no secret with matching usage '%s'"},
    {"filter", "s o16", ErrorCode::no_nwfilter, ErrorDomain::nwfilter, no_filter},
    {"filter.name", "s", ErrorCode::no_nwfilter, ErrorDomain::nwfilter, "no nwfilter with matching name '%s'"},
    {"filter.uuid", "o16", ErrorCode::no_nwfilter, ErrorDomain::nwfilter, no_filter},
    {"binding", "s s", ErrorCode::no_nwfilter_binding, ErrorDomain::nwfilter, no_port},
    {"binding.port", "s", ErrorCode::no_nwfilter_binding, ErrorDomain::nwfilter, no_port},
    {"snapshot", "s domain", ErrorCode::no_domain_snapshot, ErrorDomain::qemu,
     "no domain snapshot with matching name '%s'"},
    {"checkpoint", "s domain", ErrorCode::no_domain_checkpoint, ErrorDomain::qemu,
     "no domain checkpoint with matching name '%s'"},
    // A disk of the domain, by its target or its source; libvirt's words differ.
    {"disk", "s", ErrorCode::invalid_arg, ErrorDomain::qemu, "disk '%s' not found in domain"},
    {"disk.resized", "s", ErrorCode::invalid_arg, ErrorDomain::qemu, "disk '%s' was not found in the domain config"},
    {"disk.watched", "s", ErrorCode::invalid_arg, ErrorDomain::qemu, "failed to find disk '%s'"},
});

/// Takes the first word, or the first bracket with what is in it, off the words.
std::string_view next_word(std::string_view& words) {
  words.remove_prefix(std::min(words.find_first_not_of(' '), words.size()));
  const std::size_t end = words.starts_with('[') ? words.find(']') + 1 : std::min(words.find(' '), words.size());
  const std::string_view word = words.substr(0, end);
  words.remove_prefix(end);
  return word;
}

/// Reads values by the words for them. What is found is kept in `named`.
class Reader {
 public:
  Reader(std::span<const std::uint8_t> payload, Named& named) : decoder_(payload), named_(named) {}

  void all(std::string_view words) {
    for (std::string_view word = next_word(words); !word.empty(); word = next_word(words)) one(word);
  }

 private:
  template <class T>
  T take() {
    T value{};
    decoder_.get(value);
    return value;
  }

  void one(std::string_view word) {
    if (word == "s") {
      named_.text = take<String<>>();
    } else if (word == "flags") {
      named_.flags = take<std::uint32_t>();
    } else if (word == "i4" || word == "u4") {
      take<std::uint32_t>();
    } else if (word == "i8" || word == "u8") {
      take<std::uint64_t>();
    } else if (word == "o") {
      take<rpc::Opaque<rpc::max_string>>();
    } else if (word == "o16") {
      uuid_ = take<Uuid>();
    } else if (word == "value") {
      take<TypedParamValue>();
    } else if (word == "domain") {
      named_.domain = take<Domain>();
    } else if (word.starts_with('?')) {
      if (take<std::optional<Void>>()) one(word.substr(1));
    } else if (word.starts_with('[')) {
      // An item takes four bytes at least, so that what was sent bounds the loop.
      for (auto left = take<std::uint32_t>(); left > 0; --left) all(word.substr(1, word.size() - 2));
    } else {
      refer(*reference(word));
    }
  }

  /// An object: its first text is its name, its first uuid its uuid. The first object of a call is what it is about.
  void refer(const Reference& object) {
    const bool first = !std::exchange(named_.object, named_.object ? named_.object : &object);
    bool name = false, uuid = false;
    std::string_view words = object.layout;
    for (std::string_view word = next_word(words); !word.empty(); word = next_word(words)) {
      one(word);
      if (word == "s" && !std::exchange(name, true) && first) named_.name = named_.text;
      if (word == "o16" && !std::exchange(uuid, true) && first) named_.uuid = uuid_;
    }
  }

  rpc::Decoder decoder_;
  Named& named_;
  Uuid uuid_{};
};

}  // namespace

const Absent* absent(Procedure procedure) {
  const auto found = std::ranges::lower_bound(table, procedure, {}, &Absent::procedure);
  return found != table.end() && found->procedure == procedure ? &*found : nullptr;
}

const Reference* reference(std::string_view word) {
  const auto found = std::ranges::find(references_table, word, &Reference::word);
  return found == references_table.end() ? nullptr : &*found;
}

Named read_arguments(const Absent& row, std::span<const std::uint8_t> payload) {
  Named named;
  Reader(payload, named).all(row.arguments);
  return named;
}

std::string written_out(std::string_view words) {
  std::string all;
  for (std::string_view word = next_word(words); !word.empty(); word = next_word(words)) {
    if (!all.empty()) all += ' ';
    if (word == "flags") {
      all += "u4";
    } else if (word == "domain") {
      all += "s o16 i4";
    } else if (word.starts_with('?')) {
      all += '?' + written_out(word.substr(1));
    } else if (word.starts_with('[')) {
      all += '[' + written_out(word.substr(1, word.size() - 2)) + ']';
    } else if (const Reference* object = reference(word)) {
      all += written_out(object->layout);
    } else {
      all += word;
    }
  }
  return all;
}

std::size_t empty_size(std::string_view words) {
  std::size_t size = 0;
  for (std::string_view word = next_word(words); !word.empty(); word = next_word(words))
    size += word.ends_with('8') ? 8 : 4;
  return size;
}

}  // namespace protocol
