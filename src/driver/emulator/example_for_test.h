#pragma once

#include "driver/domain/domain.h"
#include "driver/emulator/resources.h"

namespace emulator::test {

/// A machine like the seed's x86_64 example, addresses and aliases given, as assign_…() would leave it.
inline domain::Domain example(domain::Type type) {
  domain::Domain domain;
  domain.type = type;
  domain.name = "StratoVirt";
  domain.uuid = {0x12, 0x34, 0x56, 0x78, 0x12, 0x34, 0x12, 0x34, 0x12, 0x34, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc};
  domain.memory_kib = domain.current_memory_kib = 512 * 1024;
  domain.vcpus = domain.current_vcpus = 2;
  domain.iothreads = 1;
  domain.os.machine = "q35";
  domain.os.kernel = "/boot/vmlinuz";
  domain.os.cmdline = "console=hvc0 root=/dev/vda rw";
  domain.features.acpi = true;
  const auto at = [](unsigned bus, unsigned slot, std::string alias) {
    domain::DeviceInfo info;
    info.alias = std::move(alias);
    info.address = domain::PciAddress{0, static_cast<std::uint8_t>(bus), static_cast<std::uint8_t>(slot), 0, false};
    return info;
  };
  domain::Controller root;
  root.model = domain::Controller::Model::pcie_root;
  root.info.alias = "pcie.0";
  domain.controllers.push_back(root);
  for (unsigned i = 1; i <= 6; ++i) {
    domain::Controller port;
    port.model = domain::Controller::Model::pcie_root_port;
    port.index = i;
    port.chassis = i;
    port.port = 7 + i;
    port.info = at(0, i, "pci." + std::to_string(i));
    domain.controllers.push_back(port);
  }
  domain::Controller serial;
  serial.type = domain::Controller::Type::virtio_serial;
  serial.info = at(3, 0, "virt-serial0");
  domain.controllers.push_back(serial);
  domain::Disk disk;
  disk.source = "/images/root.img";
  disk.target = "vda";
  disk.iothread = 1;
  disk.iotune.total_iops_sec = 1000;
  disk.info = at(1, 0, "virtio-disk0");
  domain.disks.push_back(disk);
  domain::Interface card;
  card.mac = {0xde, 0xad, 0xbe, 0xef, 0x00, 0x01};
  card.bridge = "qbr0";
  card.target = "vnet0";
  card.info = at(2, 0, "net0");
  domain.interfaces.push_back(card);
  domain::Console console;
  console.target = domain::Console::Target::virtio;
  console.info.alias = "console0";
  domain.consoles.push_back(console);
  domain.memballoon = domain::Memballoon{};
  domain.memballoon->autodeflate = true;
  domain.memballoon->info = at(4, 0, "balloon0");
  domain::Rng rng;
  rng.bytes = 1234;
  rng.period = 1000;
  rng.info = at(5, 0, "rng0");
  domain.rngs.push_back(rng);
  domain.vsock = domain::Vsock{};
  domain.vsock->cid = 3;
  domain.vsock->info = at(6, 0, "vsock0");
  return domain;
}

/// What a start might have prepared for it.
inline Resources resources() {
  Resources result;
  result.monitor_path = "/run/monitor.sock";
  result.taps["net0"] = {{"27"}, {}};
  result.memory_dir = "/dev/hugepages/domain-1";
  return result;
}

}  // namespace emulator::test
