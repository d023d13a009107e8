#include "driver/core/xml.h"
#include "driver/domain/domain.h"
#include "driver/domain/element.h"

namespace domain {
namespace {

using core::XmlWriter;

std::string number(std::uint64_t value) { return std::to_string(value); }

void format_memory(XmlWriter& xml, const Domain& domain) {
  xml.start("memory").attribute("unit", "KiB").text(number(domain.memory_kib)).end();
  xml.start("currentMemory").attribute("unit", "KiB").text(number(domain.current_memory_kib)).end();
  const MemoryBacking& backing = domain.memory_backing;
  if (backing == MemoryBacking{}) return;
  xml.start("memoryBacking");
  if (backing.hugepages) {
    xml.start("hugepages");
    if (backing.hugepage_size) xml.start("page").attribute("size", *backing.hugepage_size).attribute("unit", "KiB").end();
    xml.end();
  }
  if (backing.nosharepages) xml.element("nosharepages");
  if (backing.locked) xml.element("locked");
  if (!backing.source.empty()) xml.start("source").attribute("type", backing.source).end();
  if (backing.shared || backing.access_private) xml.start("access").attribute("mode", backing.shared ? "shared" : "private").end();
  if (backing.immediate || backing.ondemand) xml.start("allocation").attribute("mode", backing.immediate ? "immediate" : "ondemand").end();
  if (backing.discard) xml.element("discard");
  xml.end();
}

void format_cpus_of(XmlWriter& xml, const Domain& domain) {
  xml.start("vcpu").attribute("placement", domain.vcpu_placement.value_or("static"));
  if (!domain.cpuset.empty()) xml.attribute("cpuset", format_cpus(domain.cpuset));
  if (domain.current_vcpus != domain.vcpus) xml.attribute("current", domain.current_vcpus);
  xml.text(number(domain.vcpus)).end();
  if (domain.iothreads) xml.element("iothreads", number(domain.iothreads));
  const CpuTune& tune = domain.cputune;
  if (!(tune == CpuTune{})) {
    xml.start("cputune");
    if (tune.shares) xml.element("shares", number(*tune.shares));
    for (const auto& [vcpu, cpus] : tune.vcpupin) xml.start("vcpupin").attribute("vcpu", vcpu).attribute("cpuset", format_cpus(cpus)).end();
    if (!tune.emulatorpin.empty()) xml.start("emulatorpin").attribute("cpuset", format_cpus(tune.emulatorpin)).end();
    for (const auto& [thread, cpus] : tune.iothreadpin) {
      xml.start("iothreadpin").attribute("iothread", thread).attribute("cpuset", format_cpus(cpus)).end();
    }
    xml.end();
  }
  if (!domain.resource_partition.empty()) xml.start("resource").element("partition", domain.resource_partition).end();
}

void format_os(XmlWriter& xml, const Os& os) {
  xml.start("os");
  xml.start("type").attribute("arch", to_string(os.arch)).attribute("machine", os.machine).text("hvm").end();
  if (os.loader) {
    xml.start("loader").attribute("readonly", yes_no(os.loader->readonly)).attribute("secure", yes_no(os.loader->secure));
    xml.attribute("type", "pflash").text(os.loader->path).end();
  }
  if (os.nvram) xml.start("nvram").attribute("template", unless_empty(os.nvram->template_path)).text(os.nvram->path).end();
  if (!os.kernel.empty()) xml.element("kernel", os.kernel);
  if (!os.initrd.empty()) xml.element("initrd", os.initrd);
  if (!os.cmdline.empty()) xml.element("cmdline", os.cmdline);
  for (const std::string& device : os.boot) xml.start("boot").attribute("dev", device).end();
  xml.end();
}

void format_features(XmlWriter& xml, const Domain& domain) {
  const Features& features = domain.features;
  if (!(features == Features{})) {
    xml.start("features");
    if (features.acpi) xml.element("acpi");
    if (features.apic) xml.element("apic");
    if (features.pae) xml.element("pae");
    if (features.pmu) xml.start("pmu").attribute("state", on_off(features.pmu)).end();
    if (features.vmport) xml.start("vmport").attribute("state", on_off(features.vmport)).end();
    if (features.gic_version) xml.start("gic").attribute("version", *features.gic_version).end();
    xml.end();
  }
  if (domain.cpu) {
    constexpr std::string_view modes[] = {"host-passthrough", "host-model", "maximum", "custom"};
    xml.start("cpu").attribute("mode", modes[static_cast<std::size_t>(domain.cpu->mode)]);
    xml.attribute("match", unless_empty(domain.cpu->match)).attribute("check", unless_empty(domain.cpu->check));
    xml.attribute("migratable", unless_empty(domain.cpu->migratable));
    if (!domain.cpu->model.empty()) {
      xml.start("model").attribute("fallback", unless_empty(domain.cpu->fallback)).text(domain.cpu->model).end();
    }
    xml.end();
  }
  xml.start("clock").attribute("offset", domain.clock.offset);
  for (const Timer& timer : domain.clock.timers) {
    xml.start("timer").attribute("name", timer.name).attribute("present", yes_no(timer.present));
    xml.attribute("tickpolicy", unless_empty(timer.tickpolicy)).attribute("track", unless_empty(timer.track)).end();
  }
  xml.end();
  xml.element("on_poweroff", to_string(domain.on_poweroff));
  xml.element("on_reboot", to_string(domain.on_reboot));
  xml.element("on_crash", to_string(domain.on_crash));
  if (domain.suspend_to_mem || domain.suspend_to_disk) {
    xml.start("pm");
    if (domain.suspend_to_mem) xml.start("suspend-to-mem").attribute("enabled", yes_no(domain.suspend_to_mem)).end();
    if (domain.suspend_to_disk) xml.start("suspend-to-disk").attribute("enabled", yes_no(domain.suspend_to_disk)).end();
    xml.end();
  }
}

}  // namespace

std::string format(const Domain& domain, const FormatOptions& options) {
  XmlWriter xml;
  xml.start("domain").attribute("type", to_string(domain.type));
  if (options.id) xml.attribute("id", *options.id);
  xml.element("name", domain.name).element("uuid", core::to_string(domain.uuid));
  if (domain.genid) xml.element("genid", *domain.genid);
  if (!domain.title.empty()) xml.element("title", domain.title);
  if (!domain.description.empty()) xml.element("description", domain.description);
  if (!domain.metadata.empty()) xml.start("metadata").raw(domain.metadata).end();
  format_memory(xml, domain);
  format_cpus_of(xml, domain);
  format_os(xml, domain.os);
  format_features(xml, domain);
  xml.start("devices");
  if (!domain.emulator.empty()) xml.element("emulator", domain.emulator);
  const bool live = options.live;
  for (const auto& disk : domain.disks) format(xml, disk, live);
  for (const auto& controller : domain.controllers) format(xml, controller, live);
  for (const auto& interface : domain.interfaces) format(xml, interface, live);
  for (const auto& serial : domain.serials) format(xml, serial, live);
  for (const auto& console : domain.consoles) format(xml, console, live);
  for (const auto& hostdev : domain.hostdevs) format(xml, hostdev, live);
  if (domain.memballoon) format(xml, *domain.memballoon, live);
  for (const auto& rng : domain.rngs) format(xml, rng, live);
  if (domain.vsock) format(xml, *domain.vsock, live);
  xml.end();
  if (domain.seclabel_none) xml.start("seclabel").attribute("type", "none").end();
  xml.end();
  return xml.take();
}

}  // namespace domain
