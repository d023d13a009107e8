#include <algorithm>
#include <array>
#include <charconv>

#include "vmm/cmdline/keys.h"
#include "vmm/cmdline/parts.h"

// -device and device_add: a table of keys a device, and the table of devices.
namespace cmdline {
namespace {

constexpr std::uint64_t most = ~std::uint64_t{0};

/// "0x1f.0x7", "4.0" or "4": hexadecimal either way.
void place(PciPlace& into, const Value& value) {
  const std::string_view text = value.text();
  const auto dot = text.find('.');
  const auto read = [&value](std::string_view part, unsigned last) {
    if (part.starts_with("0x") || part.starts_with("0X")) part.remove_prefix(2);
    unsigned number = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number, 16);
    if (error != std::errc{} || end != part.data() + part.size() || number > last) {
      value.refuse("SLOT or SLOT.FUNCTION, hexadecimal, up to 1f.7");
    }
    return number;
  };
  into.slot = read(text.substr(0, dot), 31);
  into.function = dot == std::string_view::npos ? 0 : read(text.substr(dot + 1), 7);
}

constexpr Key<PciPlace> pci_place[] = {
    {"bus", identifier<&PciPlace::bus>, mandatory},
    {"addr", place, mandatory},
    {"multifunction", boolean<&PciPlace::multifunction>},
};

/// virtio 1.0 and nothing older.
template <class T>
constexpr Key<T> modern[] = {
    {"disable-legacy",
     [](T&, const Value& value) {
       if (value.choice<bool>({{"on", true}, {"auto", true}, {"true", true}, {"off", false}, {"false", false}})) return;
       value.refuse("on, auto");
     }},
    {"disable-modern", only<T, false>},
    {"vectors", no_effect<T>},
};

constexpr Key<RootPort> root_port[] = {
    {"id", identifier<&RootPort::id>, mandatory},
    {"port", number<&RootPort::port, 0, 255>, mandatory},
    {"chassis", number<&RootPort::chassis, 0, 65535>},
};

constexpr Key<VirtioBlk> virtio_blk[] = {
    {"id", identifier<&VirtioBlk::id>, mandatory},
    {"drive", identifier<&VirtioBlk::drive>, mandatory},
    {"iothread", identifier<&VirtioBlk::iothread>},
    {"serial", [](VirtioBlk& into, const Value& value) { into.serial = value.text(20); }},
    {"num-queues", number<&VirtioBlk::queues, 1, 32>},
    {"queue-size", power_of_two<&VirtioBlk::queue_size, 4, 1024>},
    {"bootindex", number<&VirtioBlk::bootindex, 0, 255>},
    {"write-cache", only<VirtioBlk, true>},
};

/// "52:54:00:12:34:56", of one card and not of many.
void mac(VirtioNet& into, const Value& value) {
  const std::string& text = value.text();
  std::array<unsigned, 6> bytes{};
  bool good = text.size() == 17;
  for (std::size_t i = 0; good && i < bytes.size(); ++i) {
    const char* const at = text.data() + 3 * i;
    good = std::from_chars(at, at + 2, bytes[i], 16).ptr == at + 2 && (i == 5 || at[2] == ':');
  }
  if (!good || bytes[0] % 2 != 0) value.refuse("six bytes, hexadecimal, ':' between them, of one card");
  into.mac = text;
}

constexpr Key<VirtioNet> virtio_net[] = {
    {"id", identifier<&VirtioNet::id>, mandatory},
    {"netdev", identifier<&VirtioNet::netdev>, mandatory},
    {"mac", mac},
    {"mq", boolean<&VirtioNet::mq>},
    {"iothread", identifier<&VirtioNet::iothread>},
    {"queue-size", power_of_two<&VirtioNet::queue_size, 256, 4096>},
    {"bootindex", number<&VirtioNet::bootindex, 0, 255>},
};

constexpr Key<VirtioSerial> virtio_serial[] = {
    {"id", identifier<&VirtioSerial::id>, mandatory},
    {"max_ports", number<&VirtioSerial::max_ports, 1, 31>},
};

constexpr Key<SerialPort> serial_port[] = {
    {"id", identifier<&SerialPort::id>, mandatory},
    {"chardev", identifier<&SerialPort::chardev>, mandatory},
    {"bus", identifier<&SerialPort::bus>},
    {"nr", number<&SerialPort::number, 0, 30>},
    {"name", text<&SerialPort::name>},
};

constexpr Key<VirtioBalloon> virtio_balloon[] = {
    {"id", identifier<&VirtioBalloon::id>, mandatory},
    {"deflate-on-oom", boolean<&VirtioBalloon::deflate_on_oom>},
    {"free-page-reporting", boolean<&VirtioBalloon::free_page_reporting>},
    {"auto-balloon", only<VirtioBalloon, false>},
    {"membuf-percent", no_effect<VirtioBalloon>},
    {"monitor-interval", no_effect<VirtioBalloon>},
};

constexpr Key<VirtioRng> virtio_rng[] = {
    {"id", identifier<&VirtioRng::id>, mandatory},
    {"rng", identifier<&VirtioRng::rng>, mandatory},
    {"max-bytes", number<&VirtioRng::max_bytes, 1, most>},
    {"period", number<&VirtioRng::period_ms, 1, 4'294'967'295>},
};

constexpr Key<VhostVsock> vhost_vsock[] = {
    {"id", identifier<&VhostVsock::id>, mandatory},
    {"guest-cid", number<&VhostVsock::guest_cid, 3, 4'294'967'294>, mandatory},
    {"vhostfd", [](VhostVsock& into, const Value& value) { into.vhost_fd = value.descriptor(); }},
};

/// Reads a device at a place; those of virtio have keys in common.
template <class T, auto& Keys>
Device pci(Reader& reader) {
  T device;
  reader.take(Keys, device);
  reader.take(pci_place, device.place);
  if constexpr (!std::is_same_v<T, RootPort>) reader.take(modern<T>, device);
  return device;
}

template <bool Console>
Device port(Reader& reader) {
  SerialPort device;
  device.console = Console;
  reader.take(serial_port, device);
  return device;
}

struct Kind {
  std::string_view name;
  Device (*read)(Reader& reader);
};
constexpr Kind kinds[] = {
    {"pcie-root-port", pci<RootPort, root_port>},
    {"virtio-blk-pci", pci<VirtioBlk, virtio_blk>},
    {"virtio-net-pci", pci<VirtioNet, virtio_net>},
    {"virtio-serial-pci", pci<VirtioSerial, virtio_serial>},
    {"virtconsole", port<true>},
    {"virtserialport", port<false>},
    {"virtio-balloon-pci", pci<VirtioBalloon, virtio_balloon>},
    {"virtio-rng-pci", pci<VirtioRng, virtio_rng>},
    {"vhost-vsock-pci", pci<VhostVsock, vhost_vsock>},
};

}  // namespace

Device read_device(const Properties& properties) {
  constexpr std::string_view head = "driver";
  const std::string* const driver = properties.find(head);
  if (!driver) refuse(properties.option, "'driver=' is missing");
  const auto* const kind = std::ranges::find(kinds, *driver, &Kind::name);
  if (kind == std::end(kinds)) {
    std::string names;
    for (const Kind& one : kinds) names.append(names.empty() ? "" : ", ").append(one.name);
    Value(properties.option, {std::string(head), *driver}).refuse(names);
  }
  Reader reader(properties, properties.option + ' ' + *driver);
  reader.skip(head);
  Device device = kind->read(reader);
  reader.finish();
  return device;
}

std::vector<std::string_view> device_names() {
  std::vector<std::string_view> names;
  for (const Kind& kind : kinds) names.push_back(kind.name);
  return names;
}

std::vector<std::string_view> device_keys(std::string_view driver) {
  const auto* const kind = std::ranges::find(kinds, driver, &Kind::name);
  if (kind == std::end(kinds)) return {};
  const Properties none;
  Reader reader(none);
  reader.list();
  kind->read(reader);
  return reader.known();
}

const std::string& id_of(const Device& device) {
  return std::visit([](const auto& one) -> const std::string& { return one.id; }, device);
}

const PciPlace* place_of(const Device& device) {
  return std::visit(
      [](const auto& one) -> const PciPlace* {
        if constexpr (requires { one.place; }) {
          return &one.place;
        } else {
          return nullptr;
        }
      },
      device);
}

}  // namespace cmdline
