#include <algorithm>
#include <map>

#include "driver/domain/example_for_test.h"

namespace domain {
namespace {

using core::ErrorCode;
using test::at;
using test::disk;
using test::refusal;
using test::root_port;
using test::with;

std::string place(const Domain& domain, const std::string& target) {
  return to_string(*std::ranges::find(domain.disks, target, &Disk::target)->info.address);
}
std::size_t root_ports(const Domain& domain) {
  return static_cast<std::size_t>(
      std::ranges::count(domain.controllers, Controller::Model::pcie_root_port, &Controller::model));
}

TEST(Addresses, AreThoseThatAreFree) {
  const Domain domain = with(disk("vda") + disk("vdb") + root_port(5) + disk("vdc", at(0, 2)));
  EXPECT_EQ(place(domain, "vda"), "0000:05:00.0");
  EXPECT_EQ(place(domain, "vdb"), "0000:01:00.0");
  EXPECT_EQ(place(domain, "vdc"), "0000:00:02.0");
  EXPECT_EQ(root_ports(domain), 2u);
  const Controller& added = domain.controllers.back();
  EXPECT_EQ(added.index, 1u);
  EXPECT_EQ(added.chassis, 1u);
  EXPECT_EQ(added.port, added.info.address->slot * 8u);
}

TEST(Addresses, OfAFullBusLeaveNoPlace) {
  std::string ports;
  for (unsigned i = 1; i < 241; ++i) ports += root_port(i);  // 30 slots of 8 functions: slot 31 is the LPC bridge's
  EXPECT_EQ(refusal(ErrorCode::internal_error, [&] { with(ports + root_port(241)); }),
            "internal error: No more available PCI slots");
  const Domain domain = with(ports);
  EXPECT_EQ(root_ports(domain), 240u);
  std::map<unsigned, unsigned> functions;
  for (const Controller& port : domain.controllers)
    if (port.info.address) ++functions[port.info.address->slot];
  EXPECT_EQ(functions.size(), 30u);
  for (const Controller& port : domain.controllers)
    if (port.info.address) EXPECT_EQ(port.info.address->multifunction, port.info.address->function == 0);
}

TEST(Addresses, OfARunningMachineMakeNoPorts) {
  Domain domain = with(root_port(1) + root_port(2) + disk("vda"));
  domain.disks.push_back(std::get<Disk>(parse_device(disk("vdb"))));
  assign_addresses(domain, Ports::as_they_are);
  EXPECT_EQ(place(domain, "vdb"), "0000:02:00.0");
  domain.disks.push_back(std::get<Disk>(parse_device(disk("vdc"))));
  refusal(ErrorCode::internal_error, [&] { assign_addresses(domain, Ports::as_they_are); });
}

TEST(Addresses, AddAVirtioSerialControllerForAConsole) {
  const std::string console = "<console type='pty'><target type='virtio'/></console>";
  const auto count = [](const Domain& domain) {
    return std::ranges::count(domain.controllers, Controller::Type::virtio_serial, &Controller::type);
  };
  EXPECT_EQ(count(with(console)), 1);
  EXPECT_EQ(count(with(console + "<controller type='virtio-serial'/>")), 1);
  EXPECT_EQ(count(with("<console type='pty'/>")), 0);
}

TEST(Addresses, LeftToTheDriverHaveOnePortMore) {
  EXPECT_EQ(root_ports(with("")), 0u);
  EXPECT_EQ(root_ports(with(disk("vda", at(0, 5)))), 0u);
  EXPECT_EQ(root_ports(with(disk("vda") + disk("vdb"))), 3u);
  EXPECT_EQ(root_ports(with("<controller type='pci' index='0' model='pcie-root'/>" + disk("vda"))), 2u);
  EXPECT_EQ(root_ports(with(root_port(1) + disk("vda"))), 1u);
  EXPECT_EQ(root_ports(with(root_port(1) + disk("vda") + disk("vdb"))), 2u);
  std::string disks;
  for (unsigned i = 0; i < 239; ++i)
    disks += disk("vd" + std::string(1, static_cast<char>('a' + i / 26)) + static_cast<char>('a' + i % 26));
  EXPECT_EQ(root_ports(with(disks)), 240u);
  EXPECT_EQ(root_ports(with(disks + disk("vdzz"))), 240u);  // there is no place for another
}

TEST(Addresses, OnceGivenStay) {
  const Domain domain = with(disk("vda") + disk("vdb") + "<memballoon model='virtio'/>");
  Domain again = domain;
  assign_addresses(again);
  EXPECT_EQ(again, domain);
}

TEST(Aliases, AreLibvirts) {
  Domain domain = with(disk("vda") + disk("vdaa") + disk("hdc") + test::network_card("52:54:00:00:00:01") +
                       test::network_card("52:54:00:00:00:02", "<alias name='ua-net'/>") +
                       "<serial type='pty'/><console type='pty'><target type='virtio'/></console>"
                       "<memballoon model='virtio'><alias name='b'/></memballoon><rng model='virtio'><backend "
                       "model='random'/></rng><vsock model='virtio'/>");
  assign_aliases(domain);
  std::vector<std::string> aliases;
  for_each_device(domain, [&](const auto& device) { aliases.push_back(device.info.alias); });
  EXPECT_EQ(aliases,
            (std::vector<std::string>{
                "pcie.0", "pci.1", "pci.2",  "pci.3",          "pci.4",        "pci.5",        "pci.6",         "pci.7",
                "pci.8",  "pci.9", "pci.10", "virtio-serial0", "virtio-disk0", "virtio-disk2", "virtio-disk26", "net0",
                "ua-net", "b",     "rng0",   "vsock0",         "serial0",      "serial0",      "console1"}));
  validate(domain);
  Domain again = domain;
  assign_aliases(again);
  EXPECT_EQ(again, domain);
}

TEST(Aliases, AvoidThoseThatAreTaken) {
  Domain domain = with(disk("vda") + disk("hda"));
  assign_aliases(domain);
  EXPECT_EQ(domain.disks[0].info.alias, "virtio-disk0");
  EXPECT_EQ(domain.disks[1].info.alias, "virtio-disk1");
}

}  // namespace
}  // namespace domain
