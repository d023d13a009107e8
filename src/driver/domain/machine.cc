#include <algorithm>
#include <set>

#include "driver/domain/element.h"
#include "driver/domain/general.h"

namespace domain {
namespace {

using core::Error;
using core::ErrorCode;
using core::XmlNode;

constexpr Name<Arch> arches[] = {{Arch::x86_64, "x86_64"}, {Arch::aarch64, "aarch64"}};
constexpr std::string_view other_arches =
    "alpha armv6l armv7b armv7l cris i686 ia64 itanium lm32 loongarch64 m68k microblaze microblazeel mips mipsel "
    "mips64 "
    "mips64el or32 parisc parisc64 ppc ppcle ppc64 ppc64le ppcemb riscv32 riscv64 s390 s390x sh4 sh4eb sparc sparc64 "
    "unicore32 "
    "xtensa xtensaeb";
constexpr std::string_view timers = "platform pit rtc hpet tsc kvmclock hypervclock armvtimer";
constexpr Name<Cpu::Mode> modes[] = {{Cpu::Mode::host_passthrough, "host-passthrough"},
                                     {Cpu::Mode::host_model, "host-model"},
                                     {Cpu::Mode::maximum, "maximum"},
                                     {Cpu::Mode::custom, "custom"}};
constexpr Name<LifecycleAction> actions[] = {{LifecycleAction::destroy, "destroy"},
                                             {LifecycleAction::restart, "restart"},
                                             {LifecycleAction::preserve, "preserve"},
                                             {LifecycleAction::rename_restart, "rename-restart"},
                                             {LifecycleAction::coredump_destroy, "coredump-destroy"},
                                             {LifecycleAction::coredump_restart, "coredump-restart"}};

constexpr Arch host_arch =
#if defined(__aarch64__)
    Arch::aarch64;
#else
    Arch::x86_64;
#endif

struct Event {
  const char* name;
  LifecycleAction Domain::* action;
  /// What can be done; libvirt has no poweroff=preserve for QEMU.
  std::string_view allowed;
};
constexpr Event events[] = {
    {"on_poweroff", &Domain::on_poweroff, "destroy restart preserve"},
    {"on_reboot", &Domain::on_reboot, "destroy restart"},
    {"on_crash", &Domain::on_crash, "destroy restart preserve coredump-destroy coredump-restart"}};

void parse_type(Os& os, const XmlNode& type) {
  os.arch = host_arch;
  if (type.attribute("arch") != "")
    os.arch = read_choice(type, "arch", arches, other_arches, ErrorCode::config_unsupported).value_or(host_arch);
  const std::string kind(trimmed(type.text()));
  if (kind.empty()) throw Error(ErrorCode::xml_error, "an os <type> must be specified");
  if (kind != "hvm") refuse_value(type, nullptr, kind, "'hvm'", ErrorCode::config_unsupported);
  os.machine = type.attribute("machine").value_or("");
  if (os.machine.empty()) os.machine = os.arch == Arch::x86_64 ? "q35" : "virt";
  std::ranges::transform(os.machine, os.machine.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  const bool x86 = os.arch == Arch::x86_64;
  const std::string_view plain = x86 ? "q35" : "virt", versioned = x86 ? "pc-q35-" : "virt-";
  const std::string_view version = std::string_view(os.machine).substr(std::min(versioned.size(), os.machine.size()));
  const bool good =
      os.machine == plain || (os.machine.starts_with(versioned) && !version.empty() &&
                              version.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-") == version.npos);
  if (!good)
    refuse_value(type, "machine", os.machine, quoted(plain) + " or '" + std::string(versioned) + "VERSION'",
                 ErrorCode::config_unsupported);
}

/// A path of the host in an element's text.
std::string parse_path(const XmlNode& node, std::string_view text) {
  const std::string path(trimmed(text));
  if (!path.empty() && path[0] != '/') refuse_value(node, nullptr, path, "an absolute path");
  return path;
}

[[noreturn]] void refuse_beside_choice(const char* what) {
  throw Error(ErrorCode::xml_detail, std::string(what) + " cannot be specified when firmware autoselection is enabled");
}

/// What a firmware is to be chosen by; the errors are libvirt's.
std::optional<AutoFirmware> parse_auto_firmware(const XmlNode& node) {
  AutoFirmware result{node.attribute("firmware").value_or(""), {}, {}};
  const bool chosen = !result.kind.empty();
  if (chosen && result.kind != "efi" && result.kind != "bios")
    throw Error(ErrorCode::xml_error,
                "unknown firmware value " + result.kind + " (line " + std::to_string(node.line()) + ")");
  const auto element = node.child("firmware");
  const auto features = element ? element->children("feature") : std::vector<XmlNode>{};
  if (!features.empty() && !chosen)
    throw Error(ErrorCode::xml_detail,
                "cannot use feature-based firmware autoselection when firmware autoselection is disabled");
  for (const XmlNode& feature : features) {
    if (!feature.attribute("name")) refuse_lack(feature, "attribute 'name'");
    if (!feature.attribute("enabled")) refuse_lack(feature, "attribute 'enabled'");
    const bool keys = read_word(feature, "name", "secure-boot enrolled-keys") == "enrolled-keys";
    (keys ? result.enrolled_keys : result.secure_boot) = read_yes_no(feature, "enabled");
  }
  if (result.enrolled_keys.value_or(false) && !result.secure_boot.value_or(true))
    throw Error(ErrorCode::xml_detail,
                "firmware feature 'enrolled-keys' cannot be enabled when firmware feature 'secure-boot' is disabled");
  if (result.enrolled_keys.value_or(false)) result.secure_boot = true;
  return chosen ? std::optional(result) : std::nullopt;
}

/// Beside a firmware that is chosen there may be what it must be able to, and where its variables are.
void parse_choice(Os& os, const XmlNode& node) {
  if (const auto element = node.child("loader")) {
    if (element->attribute("readonly")) refuse_beside_choice("loader attribute 'readonly'");
    if (element->attribute("type") || !trimmed(element->text()).empty())
      refuse_beside_choice("loader attribute 'type'");
    const auto secure = read_yes_no(*element, "secure");
    if (secure && !*secure) refuse_beside_choice("loader attribute 'secure'");
    if (secure) os.loader = Loader{{}, {}, secure};
  }
  if (const auto element = node.child("nvram")) {
    if (element->attribute("template")) refuse_beside_choice("nvram attribute 'template'");
    if (auto path = parse_path(*element, element->text()); !path.empty()) os.nvram = Nvram{std::move(path), {}};
  }
}

void parse_firmware(Os& os, const XmlNode& node) {
  os.firmware = parse_auto_firmware(node);
  if (os.firmware) return parse_choice(os, node);
  if (const auto element = node.child("loader")) {
    Loader loader;
    if (element->text().empty()) refuse_lack(*element, "a path", ErrorCode::xml_detail);
    if (!read_word(*element, "type", "pflash", "rom"))  // then libvirt's is rom
      throw Error(ErrorCode::config_unsupported,
                  "element 'loader' needs type='pflash' (line " + std::to_string(element->line()) + ")");
    loader.path = parse_path(*element, element->text());
    if (loader.path.empty()) refuse_lack(*element, "a path", ErrorCode::xml_detail);
    loader.readonly = read_yes_no(*element, "readonly");
    loader.secure = read_yes_no(*element, "secure");
    os.loader = loader;
  }
  if (const auto element = node.child("nvram")) {
    if (!os.loader)
      throw Error(ErrorCode::xml_detail,
                  "element 'nvram' needs a <loader> (line " + std::to_string(element->line()) + ")");
    os.nvram = Nvram{parse_path(*element, element->text()), element->attribute("template").value_or("")};
  }
}

void parse_os(Os& os, const XmlNode& root) {
  const auto node = root.child("os");
  const auto type = node ? node->child("type") : std::nullopt;
  if (!type) throw Error(ErrorCode::xml_error, "an os <type> must be specified");
  parse_type(os, *type);
  parse_firmware(os, *node);
  for (const auto& [name, member] : {std::pair{"kernel", &Os::kernel}, std::pair{"initrd", &Os::initrd}})
    if (const auto element = node->child(name)) os.*member = parse_path(*element, element->text());
  if (const auto cmdline = node->child("cmdline")) os.cmdline = cmdline->text();
  if (os.kernel.empty() && !(os.initrd.empty() && os.cmdline.empty()))
    throw Error(ErrorCode::config_unsupported,
                "elements 'initrd' and 'cmdline' need a <kernel> (line " + std::to_string(node->line()) + ")");
  for (const XmlNode& boot : node->children("boot")) {
    const auto device = read_word(boot, "dev", "hd network", "fd cdrom");
    if (!device) refuse_lack(boot, "attribute 'dev'");
    if (std::ranges::find(os.boot, *device) == os.boot.end()) os.boot.push_back(*device);
  }
  if (const auto smbios = child_with(*node, "smbios", "mode"))
    os.smbios = read_word(*smbios, "mode", "emulate sysinfo", "host", ErrorCode::config_unsupported).value_or("");
}

void format_firmware_features(core::XmlWriter& writer, const AutoFirmware& firmware) {
  writer.start("firmware");
  const auto feature = [&](const char* name, const std::optional<bool>& enabled) {
    if (enabled) writer.start("feature").attribute("enabled", yes_no(enabled)).attribute("name", name).end();
  };
  feature("enrolled-keys", firmware.enrolled_keys);
  feature("secure-boot", firmware.secure_boot);
  writer.end_unless_empty();
}

void format_os(core::XmlWriter& writer, const Os& os) {
  writer.start("os").attribute("firmware", unless_empty(os.firmware ? os.firmware->kind : ""));
  writer.start("type").attribute("arch", name_of(arches, os.arch)).attribute("machine", os.machine).text("hvm").end();
  if (os.firmware) format_firmware_features(writer, *os.firmware);
  if (os.loader) {
    writer.start("loader")
        .attribute("readonly", yes_no(os.loader->readonly))
        .attribute("secure", yes_no(os.loader->secure));
    if (!os.loader->path.empty()) writer.attribute("type", "pflash").text(os.loader->path);
    writer.end();
  }
  if (os.nvram) {
    writer.start("nvram").attribute("template", unless_empty(os.nvram->template_path));
    if (!os.nvram->path.empty()) writer.text(os.nvram->path);
    writer.end();
  }
  if (!os.kernel.empty()) writer.element("kernel", os.kernel);
  if (!os.initrd.empty()) writer.element("initrd", os.initrd);
  if (!os.cmdline.empty()) writer.element("cmdline", os.cmdline);
  for (const std::string& device : os.boot) writer.start("boot").attribute("dev", device).end();
  writer.start("smbios").attribute("mode", unless_empty(os.smbios)).end_unless_empty();
  writer.end();
}

void parse_features(Features& features, const XmlNode& node, Arch arch) {
  constexpr std::string_view known = "acpi apic pae pmu smm vmport vmcoreinfo gic";
  for (const XmlNode& feature : node.children())
    if (feature.namespace_uri().empty() && !has_word(known, feature.name()))
      throw Error(ErrorCode::config_unsupported, "unexpected feature '" + std::string(feature.name().substr(0, 64)) +
                                                     "' (line " + std::to_string(feature.line()) + ")");
  features.acpi = node.child("acpi").has_value();
  features.apic = node.child("apic").has_value();
  features.pae = node.child("pae").has_value();
  // As libvirt: written without a state it is on, and the last one counts.
  for (const auto& [name, state] : {std::pair{"vmport", &Features::vmport}, std::pair{"pmu", &Features::pmu},
                                    std::pair{"smm", &Features::smm}, std::pair{"vmcoreinfo", &Features::vmcoreinfo}})
    for (const XmlNode& feature : node.children(name)) features.*state = read_on_off(feature, "state").value_or(true);
  const auto gic = node.child("gic");
  if (!gic) return;
  if (arch != Arch::aarch64)
    throw Error(ErrorCode::config_unsupported, "The 'gic' feature is not supported for architecture '" +
                                                   std::string(to_string(arch)) + "' (line " +
                                                   std::to_string(gic->line()) + ")");
  for (const XmlNode& one : node.children("gic")) read_word(one, "version", "3", "2 host");
  features.gic_version = 3;
}

void format_features(core::XmlWriter& writer, const Features& features) {
  writer.start("features");
  if (features.acpi) writer.element("acpi");
  if (features.apic) writer.element("apic");
  if (features.pae) writer.element("pae");
  if (features.smm) writer.start("smm").attribute("state", on_off(features.smm)).end();
  if (features.pmu) writer.start("pmu").attribute("state", on_off(features.pmu)).end();
  if (features.vmport) writer.start("vmport").attribute("state", on_off(features.vmport)).end();
  if (features.vmcoreinfo) writer.start("vmcoreinfo").attribute("state", on_off(features.vmcoreinfo)).end();
  if (features.gic_version) writer.start("gic").attribute("version", *features.gic_version).end();
  writer.end_unless_empty();
}

unsigned read_topology(const XmlNode& node, const char* attribute) {
  required(node, attribute);
  return *read_unsigned(node, attribute, 1);
}

Topology parse_topology(const XmlNode& node) {
  Topology topology;
  topology.sockets = read_topology(node, "sockets");
  topology.dies = read_unsigned(node, "dies", 1).value_or(1);
  topology.cores = read_topology(node, "cores");
  topology.threads = read_topology(node, "threads");
  return topology;
}

std::optional<Cpu> parse_cpu(const XmlNode& node) {
  Cpu cpu;
  const auto mode = read_choice(node, "mode", modes, {}, ErrorCode::config_unsupported);
  cpu.mode = mode.value_or(Cpu::Mode::custom);
  cpu.check = read_word(node, "check", "none partial full").value_or("");
  cpu.match = read_word(node, "match", "minimum exact strict").value_or("");
  cpu.migratable = read_on_off(node, "migratable") ? *node.attribute("migratable") : "";
  if (const auto model = node.child("model")) {
    cpu.model = trimmed(model->text());
    if (model->attribute("fallback") != "")
      cpu.fallback = read_word(*model, "fallback", "allow forbid", {}, ErrorCode::config_unsupported).value_or("");
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    if (cpu.model.find_first_not_of(allowed) != std::string::npos)
      refuse_value(*model, nullptr, cpu.model, "a CPU model's name");
  }
  if (const auto topology = node.child("topology")) cpu.topology = parse_topology(*topology);
  // As libvirt: without a model there is no custom CPU.
  if (cpu.mode == Cpu::Mode::custom && cpu.model.empty()) {
    if (!cpu.topology) return std::nullopt;
    return Cpu{.mode = Cpu::Mode::custom,
               .model = {},
               .check = {},
               .match = {},
               .migratable = {},
               .fallback = {},
               .topology = cpu.topology};
  }
  if (cpu.mode != Cpu::Mode::custom) cpu.model.clear(), cpu.fallback.clear(), cpu.match.clear();
  return cpu;
}

void format_cpu(core::XmlWriter& writer, const Cpu& cpu) {
  writer.start("cpu").attribute("mode", name_of(modes, cpu.mode)).attribute("match", unless_empty(cpu.match));
  writer.attribute("check", unless_empty(cpu.check)).attribute("migratable", unless_empty(cpu.migratable));
  if (!cpu.model.empty()) writer.start("model").attribute("fallback", unless_empty(cpu.fallback)).text(cpu.model).end();
  if (cpu.topology)
    writer.start("topology")
        .attribute("sockets", cpu.topology->sockets)
        .attribute("dies", cpu.topology->dies)
        .attribute("cores", cpu.topology->cores)
        .attribute("threads", cpu.topology->threads)
        .end();
  writer.end();
}

void parse_clock(Clock& clock, const XmlNode& node) {
  clock.offset = read_word(node, "offset", "utc localtime", "variable timezone absolute", ErrorCode::config_unsupported)
                     .value_or("utc");
  for (const XmlNode& element : node.children("timer")) {
    Timer timer;
    timer.name = required(element, "name");
    read_word(element, "name", timers);
    timer.present = read_yes_no(element, "present");
    timer.tickpolicy = read_word(element, "tickpolicy", "delay catchup merge discard").value_or("");
    timer.track = read_word(element, "track", "boot guest wall realtime").value_or("");
    clock.timers.push_back(timer);
  }
}

void format_clock(core::XmlWriter& writer, const Clock& clock) {
  writer.start("clock").attribute("offset", clock.offset);
  for (const Timer& timer : clock.timers)
    writer.start("timer")
        .attribute("name", timer.name)
        .attribute("present", yes_no(timer.present))
        .attribute("tickpolicy", unless_empty(timer.tickpolicy))
        .attribute("track", unless_empty(timer.track))
        .end();
  writer.end();
}

void parse_event(Domain& domain, const XmlNode& root, const Event& event) {
  const auto node = root.child(event.name);
  const std::string text(node ? trimmed(node->text()) : "");
  if (text.empty()) return;
  const auto row = std::ranges::find(actions, text, &Name<LifecycleAction>::text);
  if (row == std::end(actions) || !has_word(event.allowed, text))
    refuse_value(*node, nullptr, text, quoted(event.allowed), ErrorCode::config_unsupported);
  domain.*event.action = row->value;
}

/// No label is what there can be: one each for the models that are named, or one without a model.
std::vector<std::string> parse_seclabels(const std::vector<XmlNode>& nodes) {
  std::vector<std::string> models;
  std::set<std::string> seen;
  for (const XmlNode& node : nodes) {
    const auto type = read_word(node, "type", "none", "dynamic static");
    const auto model = node.attribute("model");
    if (!type && !model) throw Error(ErrorCode::xml_error, "missing security model in domain seclabel");
    if (read_yes_no(node, "relabel").value_or(false) && type)
      throw Error(ErrorCode::config_unsupported, "resource relabeling is not compatible with 'none' label type");
    if (!seen.insert(model.value_or("")).second)
      throw Error(ErrorCode::xml_detail, "seclabel for model " + model.value_or("(null)") + " is already provided");
    if (type) models.push_back(model.value_or(""));
  }
  if (seen.size() > 1 && seen.contains(""))
    throw Error(ErrorCode::xml_error, "missing security model when using multiple labels");
  return models;
}

struct Suspend {
  const char* name;
  std::optional<bool> Domain::* enabled;
};
constexpr Suspend suspends[] = {{"suspend-to-mem", &Domain::suspend_to_mem},
                                {"suspend-to-disk", &Domain::suspend_to_disk}};

}  // namespace

void parse_machine(Domain& domain, const XmlNode& root) {
  parse_os(domain.os, root);
  if (const auto features = root.child("features")) parse_features(domain.features, *features, domain.os.arch);
  if (const auto cpu = root.child("cpu")) domain.cpu = parse_cpu(*cpu);
  if (const auto clock = root.child("clock")) parse_clock(domain.clock, *clock);
  for (const Event& event : events) parse_event(domain, root, event);
  domain.seclabels = parse_seclabels(root.children("seclabel"));
  const auto pm = root.child("pm");
  for (const Suspend& suspend : suspends)
    if (const auto node = pm ? pm->child(suspend.name) : std::nullopt)
      domain.*suspend.enabled = read_yes_no(*node, "enabled");
}

void format_machine(core::XmlWriter& writer, const Domain& domain) {
  format_os(writer, domain.os);
  format_features(writer, domain.features);
  if (domain.cpu) format_cpu(writer, *domain.cpu);
  format_clock(writer, domain.clock);
  for (const Event& event : events) writer.element(event.name, name_of(actions, domain.*event.action));
  writer.start("pm");
  for (const Suspend& suspend : suspends)
    writer.start(suspend.name).attribute("enabled", yes_no(domain.*suspend.enabled)).end_unless_empty();
  writer.end_unless_empty();
}

std::string_view to_string(Arch arch) {
  return name_of(arches, arch);
}
std::string_view to_string(LifecycleAction action) {
  return name_of(actions, action);
}

}  // namespace domain
