#include "driver/domain/general.h"

#include "driver/domain/element.h"
#include "driver/domain/metadata.h"

namespace domain {
namespace {

using core::Error;
using core::ErrorCode;
using core::XmlNode;

constexpr Name<Type> types[] = {{Type::kvm, "kvm"}, {Type::qemu, "qemu"}};
constexpr std::string_view other_types = "xen kqemu lxc uml openvz test vmware hyperv vbox phyp parallels bhyve vz hvf";

std::string text_of(const XmlNode& node, std::string_view name) {
  const auto child = node.child(name);
  return child ? child->text() : "";
}

/// An element <name unit=''>number</name> in KiB; 0 when there is none.
std::uint64_t parse_memory(const XmlNode& root, std::string_view name) {
  const auto node = root.child(name);
  return node && !node->text().empty() ? scale_to_kib(text_number(*node), node->attribute("unit").value_or("")) : 0;
}

void parse_memory_backing(MemoryBacking& backing, const XmlNode& node) {
  node.join("hugepages");
  if (const auto hugepages = node.child("hugepages")) {
    backing.hugepages = true;
    const auto pages = hugepages->children("page");
    if (pages.size() > 1)
      throw Error(ErrorCode::xml_detail,
                  "more than one element 'page' in element 'hugepages' (line " + std::to_string(pages[1].line()) + ")");
    if (!pages.empty()) {
      required(pages[0], "size");
      backing.hugepage_size = scale_to_kib(*read_number(pages[0], "size", 1, any_number, false, ErrorCode::xml_detail),
                                           pages[0].attribute("unit").value_or(""));
    }
  }
  if (const auto access = child_with(node, "access", "mode")) {
    const auto mode = read_word(*access, "mode", "shared private", {}, ErrorCode::config_unsupported);
    backing.shared = mode == "shared";
    backing.access_private = mode == "private";
  }
  if (const auto allocation = child_with(node, "allocation", "mode")) {
    const auto mode = read_word(*allocation, "mode", "immediate ondemand", {}, ErrorCode::config_unsupported);
    backing.immediate = mode == "immediate";
    backing.ondemand = mode == "ondemand";
  }
  if (const auto source = child_with(node, "source", "type"))
    backing.source = read_word(*source, "type", "file anonymous memfd", {}, ErrorCode::config_unsupported).value_or("");
  backing.locked = node.child("locked").has_value();
  backing.nosharepages = node.child("nosharepages").has_value();
  backing.discard = node.child("discard").has_value();
}

void format_memory_backing(core::XmlWriter& writer, const MemoryBacking& backing) {
  writer.start("memoryBacking");
  if (backing.hugepages) {
    writer.start("hugepages");
    if (backing.hugepage_size)
      writer.start("page").attribute("size", *backing.hugepage_size).attribute("unit", "KiB").end();
    writer.end();
  }
  if (backing.nosharepages) writer.element("nosharepages");
  if (backing.locked) writer.element("locked");
  writer.start("source").attribute("type", unless_empty(backing.source)).end_unless_empty();
  const std::string_view access = backing.shared ? "shared" : backing.access_private ? "private" : "";
  writer.start("access").attribute("mode", unless_empty(access)).end_unless_empty();
  const std::string_view allocation = backing.immediate ? "immediate" : backing.ondemand ? "ondemand" : "";
  writer.start("allocation").attribute("mode", unless_empty(allocation)).end_unless_empty();
  if (backing.discard) writer.element("discard");
  writer.end_unless_empty();
}

void parse_vcpu(Domain& domain, const XmlNode& node) {
  constexpr unsigned most = 4096;  // more than any machine's; it bounds what pinning costs
  const std::uint64_t count = text_number(node, 1);
  if (count > most) refuse_value(node, nullptr, std::to_string(count), "1 to 4096", ErrorCode::config_unsupported);
  domain.vcpus = static_cast<unsigned>(count);
  domain.current_vcpus = read_unsigned(node, "current", 1, most).value_or(domain.vcpus);
  if (domain.current_vcpus > domain.vcpus)
    refuse_value(node, "current", std::to_string(domain.current_vcpus),
                 "up to the maximum, " + std::to_string(domain.vcpus), ErrorCode::config_unsupported);
  read_word(node, "placement", "static", "auto");
  if (const auto cpuset = node.attribute("cpuset")) domain.cpuset = parse_cpus(*cpuset);
}

using Pins = std::map<unsigned, std::vector<unsigned>>;

std::vector<unsigned> read_cpuset(const XmlNode& pin) {
  const auto cpuset = pin.attribute("cpuset");
  if (!cpuset) refuse_lack(pin, "attribute 'cpuset'", ErrorCode::internal_error);
  return parse_cpus(*cpuset);
}

/// Pins of ids above `most` are dropped or refused, as libvirt does for the kind.
Pins parse_pins(const XmlNode& cputune, const char* name, const char* id, unsigned most, bool drop) {
  Pins pins;
  for (const XmlNode& pin : cputune.children(name)) {
    required(pin, id);
    const unsigned key = *read_unsigned(pin, id);
    std::vector<unsigned> cpus = read_cpuset(pin);
    if (key > most && drop) continue;
    if (key > most)
      throw Error(ErrorCode::config_unsupported, std::string("Cannot find '") + id + "' : " + std::to_string(key) +
                                                     " (line " + std::to_string(pin.line()) + ")");
    if (!pins.emplace(key, std::move(cpus)).second)
      throw Error(ErrorCode::internal_error, std::string("duplicate ") + name + " for " + id + " '" +
                                                 std::to_string(key) + "' (line " + std::to_string(pin.line()) + ")");
  }
  return pins;
}

void parse_cputune(CpuTune& tune, const XmlNode& node, unsigned vcpus, unsigned iothreads) {
  tune.vcpupin = parse_pins(node, "vcpupin", "vcpu", vcpus - 1, true);
  tune.iothreadpin = parse_pins(node, "iothreadpin", "iothread", iothreads, false);
  const auto pins = node.children("emulatorpin");
  if (pins.size() > 1)
    throw Error(ErrorCode::xml_error,
                "only one emulatorpin is supported (line " + std::to_string(pins[1].line()) + ")");
  if (!pins.empty()) tune.emulatorpin = read_cpuset(pins[0]);
  constexpr std::uint64_t least = 2, most = 262144;  // cpu.shares' own
  if (const auto shares = node.child("shares"); shares && !shares->text().empty())
    tune.shares = text_number(*shares, least, most, ErrorCode::config_unsupported);
}

void format_cputune(core::XmlWriter& writer, const CpuTune& tune) {
  writer.start("cputune");
  if (tune.shares) writer.element("shares", std::to_string(*tune.shares));
  for (const auto& [vcpu, cpus] : tune.vcpupin)
    writer.start("vcpupin").attribute("vcpu", vcpu).attribute("cpuset", format_cpus(cpus)).end();
  if (!tune.emulatorpin.empty()) writer.start("emulatorpin").attribute("cpuset", format_cpus(tune.emulatorpin)).end();
  for (const auto& [iothread, cpus] : tune.iothreadpin)
    writer.start("iothreadpin").attribute("iothread", iothread).attribute("cpuset", format_cpus(cpus)).end();
  writer.end_unless_empty();
}

core::Uuid parse_uuid_element(const XmlNode& node) {
  const std::string text = node.text();
  const auto uuid = core::parse_uuid(text);
  if (!uuid) refuse_value(node, nullptr, text, "32 hexadecimal digits, a uuid", ErrorCode::internal_error);
  return *uuid;
}

constexpr std::size_t most_sysinfos = 16;

/// The uuid that the machine says of itself is its own, as in libvirt.
void parse_sysinfo_uuid(Domain& domain, const std::string& said, bool has_uuid) {
  if (said.empty()) return;
  if (has_uuid && said != core::to_string(domain.uuid))
    throw Error(ErrorCode::xml_detail, "UUID mismatch between <uuid> and <sysinfo>");
  domain.uuid = core::parse_uuid(said).value();
}

}  // namespace

void check_name(const std::string& name) {
  constexpr std::size_t longest = 255;
  if (name.empty()) throw Error(ErrorCode::no_name, "element 'name' must not be empty");
  if (name.find('/') != std::string::npos) throw Error(ErrorCode::xml_error, "name " + name + " cannot contain '/'");
  if (name.find('\n') != std::string::npos) throw Error(ErrorCode::xml_detail, "invalid char in name: \n");
  if (name == "." || name == "..") throw Error(ErrorCode::xml_error, "name '" + name + "' is not allowed");
  if (name.size() > longest)
    throw Error(ErrorCode::xml_error,
                "name of " + std::to_string(name.size()) + " bytes is too long (element 'name'; allowed: 255)");
  if (!core::is_xml_text(name)) throw Error(ErrorCode::invalid_arg, "name holds bytes that XML cannot");
}

void parse_general(Domain& domain, const XmlNode& root) {
  if (root.attribute("type").value_or("").empty())
    throw Error(ErrorCode::internal_error, "missing domain type attribute (element 'domain')");
  domain.type = read_choice(root, "type", types, other_types, ErrorCode::config_unsupported).value();
  domain.name = text_of(root, "name");
  check_name(domain.name);
  const auto uuid = root.child("uuid");
  const bool has_uuid = uuid && !uuid->text().empty();
  domain.uuid = has_uuid ? parse_uuid_element(*uuid) : core::make_uuid();
  for (const XmlNode& node : root.children("sysinfo")) {
    if (domain.sysinfo.size() == most_sysinfos)
      throw Error(ErrorCode::config_unsupported, "more than " + std::to_string(most_sysinfos) + " elements 'sysinfo'");
    domain.sysinfo.push_back(parse_sysinfo(node));
    parse_sysinfo_uuid(domain, uuid_of(domain.sysinfo.back()), has_uuid || domain.sysinfo.size() > 1);
  }
  if (root.children("genid").size() > 1) throw Error(ErrorCode::xml_error, "element 'genid' can only appear once");
  if (const auto genid = root.child("genid"))
    domain.genid = core::to_string(trimmed(genid->text()).empty() ? core::make_uuid() : parse_uuid_element(*genid));
  domain.title = text_of(root, "title");
  if (domain.title.find('\n') != std::string::npos)
    throw Error(ErrorCode::xml_error,
                "Domain title can't contain newlines (line " + std::to_string(root.child("title")->line()) + ")");
  domain.description = text_of(root, "description");
  if (const auto metadata = root.child("metadata")) domain.metadata = parse_metadata(*metadata);

  domain.memory_kib = parse_memory(root, "memory");
  if (domain.memory_kib == 0) throw Error(ErrorCode::xml_error, "Memory size must be specified via <memory>, above 0");
  // As libvirt: none, and more than there is, both mean all of it.
  domain.current_memory_kib = parse_memory(root, "currentMemory");
  if (domain.current_memory_kib == 0 || domain.current_memory_kib > domain.memory_kib)
    domain.current_memory_kib = domain.memory_kib;
  if (const auto backing = root.child("memoryBacking")) parse_memory_backing(domain.memory_backing, *backing);
  if (const auto vcpu = root.child("vcpu")) parse_vcpu(domain, *vcpu);
  domain.vcpu_placement = "static";
  constexpr std::uint64_t most_iothreads = 1024;
  if (const auto iothreads = root.child("iothreads"); iothreads && !iothreads->text().empty())
    domain.iothreads = static_cast<unsigned>(text_number(*iothreads, 0, most_iothreads));
  if (const auto cputune = root.child("cputune"))
    parse_cputune(domain.cputune, *cputune, domain.vcpus, domain.iothreads);
  if (root.children("resource").size() > 1) throw Error(ErrorCode::xml_error, "only one resource element is supported");
  if (const auto resource = root.child("resource")) domain.resource_partition = text_of(*resource, "partition");
}

void format_general(core::XmlWriter& writer, const Domain& domain) {
  const auto memory = [&](std::string_view name, std::uint64_t kib) {
    writer.start(name).attribute("unit", "KiB").text(std::to_string(kib)).end();
  };
  writer.element("name", domain.name).element("uuid", core::to_string(domain.uuid));
  if (domain.genid) writer.element("genid", *domain.genid);
  if (!domain.title.empty()) writer.element("title", domain.title);
  if (!domain.description.empty()) writer.element("description", domain.description);
  if (!domain.metadata.empty()) writer.start("metadata").raw(domain.metadata).end();
  memory("memory", domain.memory_kib);
  memory("currentMemory", domain.current_memory_kib);
  format_memory_backing(writer, domain.memory_backing);
  writer.start("vcpu").attribute("placement", domain.vcpu_placement);
  if (!domain.cpuset.empty()) writer.attribute("cpuset", format_cpus(domain.cpuset));
  if (domain.current_vcpus != domain.vcpus) writer.attribute("current", domain.current_vcpus);
  writer.text(std::to_string(domain.vcpus)).end();
  if (domain.iothreads > 0) writer.element("iothreads", std::to_string(domain.iothreads));
  format_cputune(writer, domain.cputune);
  if (!domain.resource_partition.empty())
    writer.start("resource").element("partition", domain.resource_partition).end();
  for (const Sysinfo& sysinfo : domain.sysinfo) format(writer, sysinfo);
}

std::string_view to_string(Type type) {
  return name_of(types, type);
}

}  // namespace domain
