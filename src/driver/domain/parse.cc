#include <algorithm>
#include <cctype>

#include "driver/core/error.h"
#include "driver/domain/domain.h"
#include "driver/domain/element.h"
#include "driver/domain/known_names.h"

namespace domain {
namespace {

using core::Error;
using core::ErrorCode;
using core::XmlNode;

constexpr Name<Type> types[] = {{Type::kvm, "kvm"}, {Type::qemu, "qemu"}};
constexpr Name<Arch> arches[] = {{Arch::x86_64, "x86_64"}, {Arch::aarch64, "aarch64"}};
constexpr Name<LifecycleAction> actions[] = {
    {LifecycleAction::destroy, "destroy"},
    {LifecycleAction::restart, "restart"},
    {LifecycleAction::preserve, "preserve"},
    {LifecycleAction::rename_restart, "rename-restart"},
    {LifecycleAction::coredump_destroy, "coredump-destroy"},
    {LifecycleAction::coredump_restart, "coredump-restart"},
};
constexpr Name<Cpu::Mode> cpu_modes[] = {{Cpu::Mode::host_passthrough, "host-passthrough"},
                                         {Cpu::Mode::host_model, "host-model"},
                                         {Cpu::Mode::maximum, "maximum"},
                                         {Cpu::Mode::custom, "custom"}};

std::string child_text(const XmlNode& node, std::string_view name) {
  const auto child = node.child(name);
  return child ? child->text() : std::string();
}

std::uint64_t read_memory(const XmlNode& node) {
  const auto number = to_number(trimmed(node.text()));
  if (!number) refuse_value(node, nullptr, node.text(), "a number");
  return scale_to_kib(*number, node.attribute("unit").value_or("KiB"));
}

void read_name(const XmlNode& root, Domain& domain) {
  constexpr std::size_t longest = 255;
  const auto node = root.child("name");
  domain.name = node ? node->text() : "";
  if (domain.name.empty()) throw Error(ErrorCode::xml_error, "missing domain name information", core::ErrorDomain::domain);
  if (domain.name.size() > longest) refuse_value(*node, nullptr, domain.name, "at most 255 bytes");
  if (domain.name.find_first_of("/\n") != std::string::npos) refuse_value(*node, nullptr, domain.name, "a name without '/' and line end");
  if (domain.name == "." || domain.name == "..") refuse_value(*node, nullptr, domain.name, "a name of a file");
}

void read_identity(const XmlNode& root, Domain& domain) {
  domain.type = *read_choice(root, "type", types, "xen hvm lxc uml openvz test vmware hyperv vbox phyp parallels bhyve vz hvf nvmm",
                             ErrorCode::config_unsupported);
  read_name(root, domain);
  if (const auto node = root.child("uuid")) {
    const auto uuid = core::parse_uuid(trimmed(node->text()));
    if (!uuid) throw Error(ErrorCode::internal_error, "malformed uuid element");
    domain.uuid = *uuid;
  } else {
    domain.uuid = core::make_uuid();
  }
  domain.title = child_text(root, "title");
  if (domain.title.find('\n') != std::string::npos) throw Error(ErrorCode::xml_error, "Domain title can't contain newlines");
  domain.description = child_text(root, "description");
  if (const auto node = root.child("genid")) domain.genid = node->text();
  if (const auto node = root.child("metadata")) {
    for (const XmlNode& child : node->children()) (domain.metadata += domain.metadata.empty() ? "" : "\n") += child.raw(0);
  }
}

void read_resources(const XmlNode& root, Domain& domain) {
  const auto memory = root.child("memory");
  if (!memory) throw Error(ErrorCode::xml_error, "missing element or attribute '/domain/memory'");
  domain.memory_kib = read_memory(*memory);
  const auto current = root.child("currentMemory");
  domain.current_memory_kib = current ? read_memory(*current) : domain.memory_kib;
  if (current && domain.current_memory_kib > domain.memory_kib) {
    refuse_value(*current, nullptr, std::to_string(domain.current_memory_kib) + " KiB", "at most the memory, " + std::to_string(domain.memory_kib) + " KiB");
  }
  if (const auto node = root.child("memoryBacking")) {
    MemoryBacking& backing = domain.memory_backing;
    if (const auto pages = node->child("hugepages")) {
      backing.hugepages = true;
      if (const auto page = pages->child("page")) {
        const auto size = read_number(*page, "size", 1);
        if (!size) refuse_lack(*page, "attribute 'size'");
        backing.hugepage_size = scale_to_kib(*size, page->attribute("unit").value_or("KiB"));
      }
    }
    if (const auto access = node->child("access")) {
      const auto mode = read_word(*access, "mode", "shared private");
      backing.shared = mode == "shared";
      backing.access_private = mode == "private";
    }
    if (const auto allocation = node->child("allocation")) {
      const auto mode = read_word(*allocation, "mode", "immediate ondemand");
      backing.immediate = mode == "immediate";
      backing.ondemand = mode == "ondemand";
    }
    if (const auto source = node->child("source")) backing.source = read_word(*source, "type", "file anonymous memfd").value_or("");
    backing.locked = node->child("locked").has_value();
    backing.nosharepages = node->child("nosharepages").has_value();
    backing.discard = node->child("discard").has_value();
  }
  if (const auto node = root.child("vcpu")) {
    constexpr unsigned most_vcpus = 16384;
    domain.vcpus = static_cast<unsigned>(text_number(*node, 1, most_vcpus));
    domain.current_vcpus = read_unsigned(*node, "current", 1, domain.vcpus).value_or(domain.vcpus);
    domain.vcpu_placement = read_word(*node, "placement", "static auto");
    if (const auto cpus = node->attribute("cpuset")) domain.cpuset = parse_cpus(*cpus);
  }
  if (!domain.vcpu_placement) domain.vcpu_placement = "static";
  if (const auto node = root.child("iothreads")) domain.iothreads = static_cast<unsigned>(text_number(*node, 0, 16384));
  if (const auto node = root.child("cputune")) {
    CpuTune& tune = domain.cputune;
    for (const XmlNode& pin : node->children("vcpupin")) {
      const auto vcpu = read_unsigned(pin, "vcpu", 0, domain.vcpus - 1);
      if (!vcpu) refuse_lack(pin, "attribute 'vcpu'");
      if (!tune.vcpupin.emplace(*vcpu, parse_cpus(required(pin, "cpuset"))).second) {
        throw Error(ErrorCode::internal_error, "duplicate vcpupin for vcpu '" + std::to_string(*vcpu) + "'");
      }
    }
    for (const XmlNode& pin : node->children("iothreadpin")) {
      const auto thread = read_unsigned(pin, "iothread", 1, domain.iothreads);
      if (!thread) refuse_lack(pin, "attribute 'iothread'");
      tune.iothreadpin[*thread] = parse_cpus(required(pin, "cpuset"));
    }
    if (const auto pin = node->child("emulatorpin")) tune.emulatorpin = parse_cpus(required(*pin, "cpuset"));
    if (const auto shares = node->child("shares")) tune.shares = text_number(*shares);
  }
  if (const auto node = root.child("resource")) domain.resource_partition = child_text(*node, "partition");
}

void read_os(const XmlNode& root, Domain& domain) {
  const auto node = root.child("os");
  const auto type = node ? node->child("type") : std::nullopt;
  if (!type) throw Error(ErrorCode::xml_error, "an os <type> must be specified");
  if (trimmed(type->text()) != "hvm") throw Error(ErrorCode::config_unsupported, "os type '" + type->text() + "' is not supported, 'hvm' is");
  Os& os = domain.os;
  os.arch = read_choice(*type, "arch", arches, {}, ErrorCode::config_unsupported).value_or(Arch::x86_64);
  os.machine = type->attribute("machine").value_or(os.arch == Arch::x86_64 ? "q35" : "virt");
  std::ranges::transform(os.machine, os.machine.begin(), [](unsigned char c) { return std::tolower(c); });
  const bool fits = os.arch == Arch::x86_64 ? os.machine == "q35" || os.machine.starts_with("pc-q35-")
                                            : os.machine == "virt" || os.machine.starts_with("virt-");
  if (!fits) refuse_value(*type, "machine", os.machine, os.arch == Arch::x86_64 ? "q35" : "virt", ErrorCode::config_unsupported);
  os.kernel = child_text(*node, "kernel");
  os.initrd = child_text(*node, "initrd");
  os.cmdline = child_text(*node, "cmdline");
  if (os.kernel.empty() && !(os.initrd.empty() && os.cmdline.empty())) {
    throw Error(ErrorCode::config_unsupported, "initrd and cmdline need a kernel");
  }
  if (const auto loader = node->child("loader")) {
    read_word(*loader, "type", "pflash", "rom", ErrorCode::config_unsupported);
    os.loader = Loader{std::string(trimmed(loader->text())), read_yes_no(*loader, "readonly"), read_yes_no(*loader, "secure"), true};
    if (os.loader->path.empty()) refuse_lack(*loader, "path");
  }
  if (const auto nvram = node->child("nvram")) {
    os.nvram = Nvram{std::string(trimmed(nvram->text())), nvram->attribute("template").value_or("")};
    if (!os.loader) throw Error(ErrorCode::config_unsupported, "nvram needs a loader");
  }
  for (const XmlNode& boot : node->children("boot")) {
    const auto device = read_word(boot, "dev", "hd network", "fd cdrom", ErrorCode::config_unsupported);
    if (!device) refuse_lack(boot, "attribute 'dev'");
    os.boot.push_back(*device);
  }
}

void read_features(const XmlNode& root, Domain& domain) {
  if (const auto node = root.child("features")) {
    Features& features = domain.features;
    features.acpi = node->child("acpi").has_value();
    features.apic = node->child("apic").has_value();
    features.pae = node->child("pae").has_value();
    if (const auto gic = node->child("gic")) {
      features.gic_version = 3;
      read_word(*gic, "version", "3", "2 host", ErrorCode::config_unsupported);
      if (domain.os.arch != Arch::aarch64) throw Error(ErrorCode::config_unsupported, "feature 'gic' is for aarch64 only");
    }
    if (const auto vmport = node->child("vmport")) features.vmport = read_on_off(*vmport, "state");
    if (const auto pmu = node->child("pmu")) features.pmu = read_on_off(*pmu, "state");
  }
  if (const auto node = root.child("cpu")) {
    Cpu cpu;
    cpu.mode = read_choice(*node, "mode", cpu_modes).value_or(Cpu::Mode::custom);
    cpu.check = node->attribute("check").value_or("");
    cpu.match = node->attribute("match").value_or("");
    cpu.migratable = node->attribute("migratable").value_or("");
    if (const auto model = node->child("model")) {
      cpu.model = model->text();
      cpu.fallback = model->attribute("fallback").value_or("");
    }
    domain.cpu = cpu;
  }
  if (const auto node = root.child("clock")) {
    domain.clock.offset = read_word(*node, "offset", "utc localtime", "timezone variable absolute", ErrorCode::config_unsupported).value_or("utc");
    for (const XmlNode& timer : node->children("timer")) {
      domain.clock.timers.push_back({required(timer, "name"), read_yes_no(timer, "present"), timer.attribute("tickpolicy").value_or(""),
                                     timer.attribute("track").value_or("")});
    }
  }
  const auto action = [&](const char* name, LifecycleAction& into) {
    const auto node = root.child(name);
    if (!node) return;
    for (const auto& row : actions) {
      if (row.text == trimmed(node->text())) {
        into = row.value;
        return;
      }
    }
    refuse_value(*node, nullptr, node->text(), "destroy restart preserve rename-restart coredump-destroy coredump-restart");
  };
  action("on_poweroff", domain.on_poweroff);
  action("on_reboot", domain.on_reboot);
  action("on_crash", domain.on_crash);
  if (const auto node = root.child("pm")) {
    if (const auto sleep = node->child("suspend-to-mem")) domain.suspend_to_mem = read_yes_no(*sleep, "enabled");
    if (const auto sleep = node->child("suspend-to-disk")) domain.suspend_to_disk = read_yes_no(*sleep, "enabled");
  }
  if (const auto node = root.child("seclabel")) {
    read_word(*node, "type", "none", "dynamic static", ErrorCode::config_unsupported);
    domain.seclabel_none = true;
  }
}

/// libvirt's rule: the first console of target serial is the first serial port, whichever of the two is written.
void pair_console_and_serial(Domain& domain) {
  const bool x86 = domain.os.arch == Arch::x86_64;
  if (!domain.consoles.empty() && domain.consoles.front().target == Console::Target::serial && domain.serials.empty()) {
    Serial serial;
    serial.source = domain.consoles.front().source;
    domain.serials.push_back(serial);
  }
  for (Serial& serial : domain.serials) {
    if (serial.target.empty()) serial.target = x86 ? "isa-serial" : "system-serial";
    if (serial.model.empty()) serial.model = x86 ? "isa-serial" : "pl011";
  }
  if (domain.serials.empty()) return;
  const auto same = std::ranges::find(domain.consoles, Console::Target::serial, &Console::target);
  if (same != domain.consoles.end()) {
    same->source = domain.serials.front().source;
  } else if (domain.consoles.empty()) {
    Console console;
    console.source = domain.serials.front().source;
    domain.consoles.push_back(console);
  }
}

void read_devices(const XmlNode& root, Domain& domain, bool live) {
  const auto node = root.child("devices");
  if (!node) return;
  for (const XmlNode& device : node->children()) {
    const std::string_view name = device.name();
    if (name == "emulator") domain.emulator = std::string(trimmed(device.text()));
    else if (name == "controller") domain.controllers.push_back(parse_controller(device, live));
    else if (name == "disk") domain.disks.push_back(parse_disk(device, live));
    else if (name == "interface") domain.interfaces.push_back(parse_interface(device, live));
    else if (name == "serial") domain.serials.push_back(parse_serial(device, live, static_cast<unsigned>(domain.serials.size())));
    else if (name == "console") domain.consoles.push_back(parse_console(device, live, static_cast<unsigned>(domain.consoles.size())));
    else if (name == "memballoon") domain.memballoon = parse_memballoon(device, live);
    else if (name == "rng") domain.rngs.push_back(parse_rng(device, live));
    else if (name == "vsock") domain.vsock = parse_vsock(device, live);
    else if (name == "hostdev") domain.hostdevs.push_back(parse_hostdev(device, live));
  }
  pair_console_and_serial(domain);
}

Domain read(std::string_view xml, bool live) {
  const core::XmlDocument document(xml, "(domain_definition)");
  const XmlNode root = document.root();
  if (root.name() != "domain") {
    throw Error(ErrorCode::xml_error, "unexpected root element <" + std::string(root.name()) + ">, expecting <domain>");
  }
  required(root, "type");
  refuse_known_names(root, "domain");
  Domain domain;
  read_identity(root, domain);
  read_resources(root, domain);
  read_os(root, domain);
  read_features(root, domain);
  read_devices(root, domain, live);
  return domain;
}

}  // namespace

Domain parse(std::string_view xml) {
  Domain domain = read(xml, false);
  assign_addresses(domain);
  return domain;
}

Domain parse_live(std::string_view xml) { return read(xml, true); }

Device parse_device(std::string_view xml) {
  const core::XmlDocument document(xml, "(device_definition)");
  const XmlNode root = document.root();
  refuse_known_names(root, "domain/devices/" + std::string(root.name()));
  const std::string_view name = root.name();
  if (name == "disk") return parse_disk(root, false);
  if (name == "interface") return parse_interface(root, false);
  if (name == "controller") return parse_controller(root, false);
  if (name == "console") return parse_console(root, false);
  if (name == "serial") return parse_serial(root, false);
  if (name == "memballoon") return parse_memballoon(root, false);
  if (name == "rng") return parse_rng(root, false);
  if (name == "vsock") return parse_vsock(root, false);
  if (name == "hostdev") return parse_hostdev(root, false);
  throw Error(ErrorCode::xml_error, "unknown device type '" + std::string(name) + "'");
}

std::string_view to_string(Type type) { return name_of(types, type); }
std::string_view to_string(Arch arch) { return name_of(arches, arch); }
std::string_view to_string(LifecycleAction action) { return name_of(actions, action); }

const DeviceInfo& info(const Device& device) {
  return std::visit([](const auto& one) -> const DeviceInfo& { return one.info; }, device);
}

}  // namespace domain
