#include "driver/domain/change.h"

#include "driver/domain/example_for_test.h"

namespace domain {
namespace {

using core::ErrorCode;
using test::at;
using test::disk;
using test::network_card;
using test::refusal;
using test::root_port;
using test::with;

constexpr const char* first_mac = "52:54:00:00:00:01";
constexpr const char* second_mac = "52:54:00:00:00:02";
const std::string balloon = "<memballoon model='virtio'/>";
const std::string rng = "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>";

std::vector<std::string> targets(const Domain& domain) {
  std::vector<std::string> all;
  all.reserve(domain.disks.size());
  for (const Disk& one : domain.disks) all.push_back(one.target);
  return all;
}

TEST(Add, PutsADiskInTheOrderOfNames) {
  Domain domain = with(disk("vdc") + disk("vda"));
  for (const char* target : {"vdb", "vdaa", "hda"}) add_device(domain, parse_device(disk(target)));
  EXPECT_EQ(targets(domain), (std::vector<std::string>{"vda", "hda", "vdb", "vdc", "vdaa"}));
}

TEST(Add, RefusesASecondOfWhatThereIsOne) {
  Domain domain = with(balloon + "<vsock model='virtio'/>");
  refusal(ErrorCode::internal_error, [&] { add_device(domain, parse_device(balloon)); });
  refusal(ErrorCode::xml_error, [&] { add_device(domain, parse_device("<vsock model='virtio'/>")); });
  const Device hostdev =
      parse_device("<hostdev mode='subsystem' type='pci'><source><address bus='6' slot='1'/></source></hostdev>");
  add_device(domain, hostdev);
  refusal(ErrorCode::xml_error, [&] { add_device(domain, hostdev); });
}

TEST(Find, GoesByWhatNamesTheDevice) {
  const Domain domain = with(disk("vda") + network_card(first_mac) + network_card(second_mac) + balloon + rng +
                             "<console type='pty'><target type='virtio'/></console>");
  const auto finds = [&](const std::string& xml) { return find_device(domain, parse_device(xml)).has_value(); };
  EXPECT_TRUE(finds("<disk type='file'><source file='/other'/><target dev='vda' bus='virtio'/></disk>"));
  EXPECT_FALSE(finds(disk("vdb")));
  EXPECT_TRUE(finds(network_card(second_mac)));
  EXPECT_FALSE(finds(network_card(second_mac, at(0, 9))));
  EXPECT_TRUE(finds(balloon));
  EXPECT_FALSE(finds("<memballoon model='none'/>"));
  EXPECT_TRUE(finds(rng));
  EXPECT_FALSE(finds("<rng model='virtio'><backend model='random'>/dev/other</backend></rng>"));
  EXPECT_TRUE(finds("<controller type='virtio-serial' index='0'/>"));
  EXPECT_FALSE(finds("<vsock model='virtio'/>"));
  EXPECT_TRUE(finds("<console type='pty'><target type='virtio' port='0'/></console>"));
}

TEST(Find, RefusesToChooseBetweenTwoCardsOfOneAddress) {
  const Domain domain = with(network_card(first_mac) + network_card(first_mac));
  refusal(ErrorCode::operation_failed, [&] { find_device(domain, parse_device(network_card(first_mac))); });
}

TEST(Find, GoesByAlias) {
  Domain domain = with(disk("vda") + rng);
  assign_aliases(domain);
  EXPECT_TRUE(std::holds_alternative<Rng>(find_device(domain, "rng0").value()));
  EXPECT_FALSE(find_device(domain, "rng1").has_value());
  EXPECT_FALSE(find_device(domain, "").has_value());
}

TEST(Remove, TakesTheOneThatIsMeant) {
  Domain domain = with(disk("vda") + disk("vdb") + network_card(first_mac) + balloon);
  const Device removed = remove_device(domain, parse_device(disk("vda")));
  EXPECT_EQ(std::get<Disk>(removed).target, "vda");
  EXPECT_TRUE(std::get<Disk>(removed).info.address);
  EXPECT_EQ(targets(domain), std::vector<std::string>{"vdb"});
  remove_device(domain, parse_device(balloon));
  EXPECT_FALSE(domain.memballoon);
  EXPECT_EQ(refusal(ErrorCode::device_missing, [&] { remove_device(domain, parse_device(disk("vda"))); }),
            "device not found: no target device vda");
  EXPECT_EQ(refusal(ErrorCode::device_missing, [&] { remove_device(domain, parse_device(network_card(second_mac))); }),
            "device not found: no device matching MAC address 52:54:00:00:00:02 found");
}

TEST(Remove, KeepsAControllerThatIsUsed) {
  Domain domain = with(root_port(1) + root_port(2) + disk("vda", at(1, 0)));
  const auto remove = [&](unsigned index) { remove_device(domain, parse_device(root_port(index))); };
  refusal(ErrorCode::operation_unsupported, [&] { remove(1); });
  remove(2);
  refusal(ErrorCode::device_missing, [&] { remove(2); });
  refusal(ErrorCode::operation_unsupported,
          [&] { remove_device(domain, parse_device("<controller type='pci' index='0' model='pcie-root'/>")); });
}

TEST(Remove, TakesSerialPortAndItsConsoleTogether) {
  Domain domain = with("<serial type='pty'/><console type='pty'><target type='virtio'/></console>");
  ASSERT_EQ(domain.consoles.size(), 2u);
  remove_device(domain, parse_device("<serial type='pty'><target port='0'/></serial>"));
  EXPECT_TRUE(domain.serials.empty());
  ASSERT_EQ(domain.consoles.size(), 1u);
  EXPECT_EQ(domain.consoles[0].target, Console::Target::virtio);
  domain = with("<console type='pty'/>");
  remove_device(domain, parse_device("<console type='pty'/>"));
  EXPECT_TRUE(domain.serials.empty());
}

TEST(Forget, TakesOutWhatIsGoneWhateverStandsOnIt) {
  Domain domain = with(disk("vda") + balloon + "<serial type='pty'/>");
  assign_aliases(domain);
  const std::string bus = "pci." + std::to_string(domain.disks[0].info.address->bus);
  for (const std::string& alias :
       {bus, bus, std::string("balloon0"), std::string("serial0"), std::string("no-such"), std::string()})
    forget_device(domain, alias);
  EXPECT_FALSE(find_device(domain, bus));
  EXPECT_EQ(targets(domain), std::vector<std::string>{"vda"});
  EXPECT_FALSE(domain.memballoon);
  EXPECT_TRUE(domain.serials.empty() && domain.consoles.empty());
}

TEST(Update, KeepsPlaceAliasAndBootOrder) {
  Domain domain = with(disk("vda", "<boot order='2'/><alias name='ua-a'/>" + at(0, 7)));
  update_device(domain, parse_device("<disk type='file'><source file='/new.img'/><target dev='vda' bus='virtio'/>"
                                     "<readonly/></disk>"));
  const Disk& changed = domain.disks[0];
  EXPECT_EQ(changed.source, "/new.img");
  EXPECT_TRUE(changed.readonly);
  EXPECT_EQ(changed.info, (DeviceInfo{"ua-a", PciAddress{.slot = 7}, 2}));
  update_device(domain, parse_device(disk("vda", "<boot order='3'/>" + at(0, 8))));
  EXPECT_EQ(domain.disks[0].info, (DeviceInfo{"ua-a", PciAddress{.slot = 8}, 3}));
  refusal(ErrorCode::device_missing, [&] { update_device(domain, parse_device(disk("vdb"))); });
}

TEST(Update, OfASerialPortIsOfItsConsoleToo) {
  Domain domain = with("<serial type='pty'/>");
  update_device(domain, parse_device("<serial type='file'><source path='/log'/></serial>"));
  EXPECT_EQ(domain.serials[0].source.path, "/log");
  EXPECT_EQ(domain.consoles[0].source, domain.serials[0].source);
}

}  // namespace
}  // namespace domain
