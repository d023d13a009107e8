#include "driver/api/capabilities.h"

#include <filesystem>

#include "driver/api/emulators.h"
#include "driver/core/error.h"
#include "driver/core/xml.h"

namespace api {
namespace {

using core::Task;
using core::XmlWriter;
using domain::Arch;
using domain::Type;

void write_cpu(XmlWriter& xml, const std::vector<host::Cell>& cells) {
  const host::CpuModel& cpu = host_cpu();
  xml.start("cpu").element("arch", cpu.arch);
  if (const std::string name = host_cpu_model(); !name.empty()) xml.element("model", name);
  if (!cpu.vendor.empty()) xml.element("vendor", cpu.vendor);
  if (cpu.microcode) xml.start("microcode").attribute("version", *cpu.microcode).end();
  if (cpu.family > 0) {
    xml.start("signature").attribute("family", cpu.family).attribute("model", cpu.model);
    xml.attribute("stepping", cpu.stepping).end();
  }
  const host::NodeInfo info = host::node_info();
  xml.start("topology").attribute("sockets", info.sockets).attribute("dies", 1);
  xml.attribute("cores", info.cores).attribute("threads", info.threads).end();
  for (const std::string& feature : cpu.features) xml.start("feature").attribute("name", feature).end();
  if (!cells.empty()) {
    for (const auto& pages : cells.front().pages) {
      xml.start("pages").attribute("unit", "KiB").attribute("size", pages.size_kib).end();
    }
  }
  xml.end();
}

void write_cell(XmlWriter& xml, const host::Cell& cell) {
  xml.start("cell").attribute("id", cell.id);
  xml.start("memory").attribute("unit", "KiB").text(std::to_string(cell.memory_kib)).end();
  for (const auto& pages : cell.pages) {
    xml.start("pages").attribute("unit", "KiB").attribute("size", pages.size_kib);
    xml.text(std::to_string(pages.count)).end();
  }
  if (!cell.distances.empty()) {
    xml.start("distances");
    for (const auto& [id, distance] : cell.distances) {
      xml.start("sibling").attribute("id", id).attribute("value", distance).end();
    }
    xml.end();
  }
  xml.start("cpus").attribute("num", cell.cpus.size());
  for (const auto& one : cell.cpus) {
    xml.start("cpu").attribute("id", one.id).attribute("socket_id", one.socket).attribute("die_id", one.die);
    xml.attribute("core_id", one.core).attribute("siblings", one.siblings).end();
  }
  xml.end().end();
}

/// The machines that a description may name: by its plain name first, which of a QEMU is an alias of a version's.
void write_machines(XmlWriter& xml, const Guest& guest, Type type, const emulator::Capabilities& capabilities) {
  const auto write = [&](const std::string& name) {
    const std::string canonical = capabilities.canonical(name);
    xml.start("machine");
    if (canonical != name) xml.attribute("canonical", canonical);
    xml.attribute("maxCpus", most_vcpus(guest, type, capabilities, name)).text(name).end();
  };
  write(guest.machine);
  for (const auto& [name, machine] : *capabilities.machines) {
    if (guest.is_machine(name) && name != guest.machine) write(name);
  }
}

/// qemu where a QEMU is; kvm where KVM and a StratoVirt are there.
void write_guest(XmlWriter& xml, const Guest& guest, const std::optional<Emulator>& qemu,
                 const std::optional<Emulator>& kvm) {
  if (!qemu && !kvm) return;
  const Emulator& first = qemu ? *qemu : *kvm;
  xml.start("guest").element("os_type", "hvm").start("arch").attribute("name", domain::to_string(guest.arch));
  xml.element("wordsize", "64").element("emulator", first.path);
  write_machines(xml, guest, qemu ? Type::qemu : Type::kvm, first.capabilities);
  if (qemu) xml.start("domain").attribute("type", "qemu").end();
  if (kvm) {
    xml.start("domain").attribute("type", "kvm").element("emulator", kvm->path);
    write_machines(xml, guest, Type::kvm, kvm->capabilities);
    xml.end();
  }
  xml.end().start("features");
  xml.start("acpi").attribute("default", "on").attribute("toggle", "no").end();
  if (guest.arch == Arch::x86_64) xml.start("apic").attribute("default", "on").attribute("toggle", "no").end();
  if (qemu) xml.element("cpuselection");
  xml.element("deviceboot").end().end();
}

}  // namespace

Task<std::string> capabilities_xml(instance::Prober* prober) {
  static const std::optional<std::string> uuid = host::host_uuid();
  struct Runs {
    std::optional<Emulator> qemu, kvm;
  };
  std::array<Runs, guests.size()> runs;
  for (std::size_t i = 0; i < guests.size(); ++i) {
    runs[i].qemu = co_await default_emulator(prober, Type::qemu, guests[i].arch);
    runs[i].kvm = co_await default_emulator(prober, Type::kvm, guests[i].arch);
  }
  const auto cells = host::cells();
  XmlWriter xml;
  xml.start("capabilities").start("host");
  if (uuid) xml.element("uuid", *uuid);
  write_cpu(xml, cells);
  xml.element("power_management");
  std::error_code unreadable;
  const bool iommu = !std::filesystem::is_empty("/sys/kernel/iommu_groups", unreadable) && !unreadable;
  xml.start("iommu").attribute("support", iommu ? "yes" : "no").end();
  xml.start("topology").start("cells").attribute("num", cells.size());
  for (const host::Cell& cell : cells) write_cell(xml, cell);
  xml.end().end();
  xml.start("secmodel").element("model", "none").element("doi", "0").end();
  xml.end();
  for (std::size_t i = 0; i < guests.size(); ++i) write_guest(xml, guests[i], runs[i].qemu, runs[i].kvm);
  xml.end();
  co_return xml.take();
}

}  // namespace api
