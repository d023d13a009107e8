#include "driver/emulator/capabilities.h"

#include "driver/api/client.h"
#include "driver/core/xml.h"
#include "driver/host/facts.h"
#include "driver/host/spawn.h"

namespace api {
namespace {

constexpr struct {
  domain::Arch arch;
  const char* machine;
} guests[] = {{domain::Arch::x86_64, "q35"}, {domain::Arch::aarch64, "virt"}};

std::optional<std::string> program(domain::Type type, domain::Arch arch) {
  return host::find_program(emulator::default_program(type, arch));
}

/// kvm where the host is of that architecture and both KVM and a StratoVirt are there; qemu where a QEMU is.
void write_guest(core::XmlWriter& xml, domain::Arch arch, const char* machine, const std::string& host_arch) {
  const auto qemu = program(domain::Type::qemu, arch);
  auto stratovirt = program(domain::Type::kvm, arch);
  if (host_arch != domain::to_string(arch) || !host::kvm().available) stratovirt.reset();
  if (!qemu && !stratovirt) return;
  xml.start("guest").element("os_type", "hvm").start("arch").attribute("name", domain::to_string(arch));
  xml.element("wordsize", "64").element("emulator", stratovirt ? *stratovirt : *qemu);
  xml.start("machine").attribute("maxCpus", stratovirt ? 254 : 255).text(machine).end();
  if (qemu) xml.start("domain").attribute("type", "qemu").element("emulator", *qemu).end();
  if (stratovirt) xml.start("domain").attribute("type", "kvm").element("emulator", *stratovirt).end();
  xml.end();
  xml.start("features").start("acpi").attribute("default", "on").attribute("toggle", "no").end().end();
  xml.end();
}

}  // namespace

std::string capabilities_xml() {
  const host::CpuModel cpu = host::cpu_model();
  core::XmlWriter xml;
  xml.start("capabilities").start("host");
  if (const auto uuid = host::host_uuid()) xml.element("uuid", *uuid);
  xml.start("cpu").element("arch", cpu.arch);
  if (!cpu.name.empty()) xml.element("model", cpu.name);
  if (!cpu.vendor.empty()) xml.element("vendor", cpu.vendor);
  for (const std::string& feature : cpu.features) xml.start("feature").attribute("name", feature).end();
  xml.end();
  const auto cells = host::cells();
  xml.start("topology").start("cells").attribute("num", cells.size());
  for (const host::Cell& cell : cells) {
    xml.start("cell")
        .attribute("id", cell.id)
        .start("memory")
        .attribute("unit", "KiB")
        .text(std::to_string(cell.memory_kib))
        .end();
    for (const auto& pages : cell.pages) {
      xml.start("pages")
          .attribute("unit", "KiB")
          .attribute("size", pages.size_kib)
          .text(std::to_string(pages.count))
          .end();
    }
    xml.start("cpus").attribute("num", cell.cpus.size());
    for (const auto& one : cell.cpus) {
      xml.start("cpu").attribute("id", one.id).attribute("socket_id", one.socket).attribute("die_id", one.die);
      xml.attribute("core_id", one.core).attribute("siblings", one.siblings).end();
    }
    xml.end().end();
  }
  xml.end().end().end();
  for (const auto& guest : guests) write_guest(xml, guest.arch, guest.machine, cpu.arch);
  xml.end();
  return xml.take();
}

}  // namespace api
