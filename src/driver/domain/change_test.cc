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
  const Domain domain =
      with(disk("vda") + network_card(first_mac) + network_card(second_mac) + balloon + test::disk("vdz") +
           "<rng model='virtio'><backend model='random'/></rng><vsock model='virtio'/>"
           "<hostdev mode='subsystem' type='pci'><source><address bus='6' slot='1'/></source></hostdev>"
           "<console type='pty'><target type='virtio'/></console>");
  const auto finds = [&](const std::string& xml) {
    const auto like = parse_pattern(xml, false);
    return like && find_device(domain, *like).has_value();
  };
  for (const char* like :
       {"<disk><target dev='vda'/></disk>",
        "<disk type='file'><source file='/other'/><target dev='vda' bus='virtio'/></disk>",
        "<disk type='network' device='cdrom'><target dev='vda' bus='sata'/><mirror/></disk>",
        "<interface><mac address='52:54:00:00:00:02'/></interface>",
        "<interface type='network'><mac address='52:54:00:00:00:02'/><model type='e1000'/></interface>",
        "<interface type='user'><address type='pci' bus='4' slot='0' multifunction='on'/></interface>",
        "<memballoon model='none'/>", "<rng model='virtio'><backend model='random'/></rng>",
        "<controller type='virtio-serial' index='0'/>", "<controller type='pci' index='1'/>",
        "<console type='pty'><target type='virtio' port='0'/></console>", "<vsock/>",
        "<vsock><cid auto='yes'/></vsock>",
        "<hostdev type='pci'><source><address bus='6' slot='1'/></source></hostdev>"})
    EXPECT_TRUE(finds(like)) << like;
  for (const std::string& like :
       {disk("vdb"), std::string("<disk><target dev='vda1'/></disk>"), network_card(second_mac, at(0, 9)),
        std::string("<rng model='virtio'><backend model='random'>/dev/other</backend></rng>"),
        std::string("<rng model='virtio'><backend model='egd' type='udp'/></rng>"),
        std::string("<controller type='virtio-serial'/>"), std::string("<controller/>"),
        std::string("<console type='pty'><target type='virtio'/></console>"), std::string("<serial type='pty'/>"),
        std::string("<console type='file'><target type='virtio' port='0'/></console>"),
        std::string("<vsock><cid auto='no'/></vsock>"), std::string("<hostdev type='pci'><source/></hostdev>"),
        std::string("<hostdev type='usb'><source/></hostdev>")})
    EXPECT_FALSE(finds(like)) << like;
}

TEST(Find, RefusesWhatLibvirtDoesNotKnow) {
  const auto refuses = [](ErrorCode code, const std::string& xml) { refusal(code, [&] { parse_pattern(xml, true); }); };
  refuses(ErrorCode::no_target, "<disk/>");
  for (const char* like :
       {"<disk><target dev='frob'/></disk>", "<disk type='frob'><target dev='vda'/></disk>",
        "<disk><target dev='vda' bus='frob'/></disk>", "<interface type='bridge'/>", "<interface type='frob'/>",
        "<interface><mac address='frob'/></interface>", "<rng/>", "<rng model='virtio'/>", "<controller type='frob'/>",
        "<memballoon/>", "<hostdev/>", "<hostdev type='pci'/>"})
    refuses(ErrorCode::xml_error, like);
  refuses(ErrorCode::config_unsupported, "<console type='frob'/>");
  refuses(ErrorCode::config_unsupported, "<frob/>");
  refuses(ErrorCode::operation_unsupported, "<graphics type='vnc'/>");
  refuses(ErrorCode::xml_detail, "<disk>");
}

TEST(Find, RefusesToChooseBetweenTwoCards) {
  const Domain domain = with(network_card(first_mac, "<alias name='ua-1'/>") +
                             network_card(first_mac, "<alias name='ua-2'/>") + network_card(second_mac));
  const auto find = [&](const std::string& xml) { return find_device(domain, *parse_pattern(xml, false)); };
  EXPECT_NE(refusal(ErrorCode::operation_failed, [&] { find(network_card(first_mac)); }).find("MAC address 52:54"),
            std::string::npos);
  refusal(ErrorCode::operation_failed, [&] { find("<interface/>"); });
  EXPECT_TRUE(find(network_card(first_mac, "<alias name='ua-1'/>")));
  EXPECT_FALSE(find(network_card(first_mac, "<alias name='ua-3'/>")));
  EXPECT_TRUE(find(network_card(second_mac, "<alias name='ua-3'/>")));  // it has none to be another's
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
  EXPECT_EQ(
      refusal(ErrorCode::device_missing, [&] { remove_device(domain, parse_device(network_card(second_mac))); }),
      "device not found: no device found at address '(<null>)' matching MAC address '52:54:00:00:00:02' and alias "
      "'(<null>)'");
  refusal(ErrorCode::invalid_arg,
          [&] { remove_device(domain, *parse_pattern("<serial><target port='0'/></serial>", false)); });
  refusal(ErrorCode::operation_failed, [&] { remove_device(domain, *parse_pattern("<vsock/>", false)); });
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
  const auto update = [&domain](const std::string& xml) {
    update_device(domain, parse_device(xml), *parse_pattern(xml, false));
  };
  update("<disk type='file'><source file='/new.img'/><target dev='vda' bus='virtio'/><readonly/></disk>");
  const Disk& changed = domain.disks[0];
  EXPECT_EQ(changed.source, "/new.img");
  EXPECT_TRUE(changed.readonly);
  EXPECT_EQ(changed.info, (DeviceInfo{"ua-a", PciAddress{.slot = 7}, 2}));
  update(disk("vda", "<boot order='3'/>" + at(0, 8)));
  EXPECT_EQ(domain.disks[0].info, (DeviceInfo{"ua-a", PciAddress{.slot = 8}, 3}));
  refusal(ErrorCode::device_missing, [&] { update(disk("vdb")); });
}

TEST(Update, OfASerialPortIsOfItsConsoleToo) {
  Domain domain = with("<serial type='pty'/>");
  update_device(domain, parse_device("<serial type='file'><source path='/log'/></serial>"),
                *parse_pattern("<serial type='pty'><target port='0'/></serial>", false));
  EXPECT_EQ(domain.serials[0].source.path, "/log");
  EXPECT_EQ(domain.consoles[0].source, domain.serials[0].source);
}

}  // namespace
}  // namespace domain
