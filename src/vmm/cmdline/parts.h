#pragma once

#include <variant>

#include "vmm/cmdline/machine_config.h"
#include "vmm/cmdline/properties.h"

/// The parts of a machine that come and go, each from its properties: of a command line, or of QMP's hot plugging.
/// All throw std::invalid_argument, as Properties do.
namespace cmdline {

Device read_device(const Properties& properties);    ///< "driver"
Chardev read_chardev(const Properties& properties);  ///< "backend"
Netdev read_netdev(const Properties& properties);    ///< "type"

std::variant<Drive, Pflash> read_drive(const Properties& properties);

using Object = std::variant<Iothread, RngBackend, MemoryBackend>;
Object read_object(const Properties& properties);  ///< "qom-type"

/// What read_device() knows, in the order of the table.
std::vector<std::string_view> device_names();
/// The keys of a device; empty for one that is not there.
std::vector<std::string_view> device_keys(std::string_view driver);

/// The id that a device has, whatever it is.
const std::string& id_of(const Device& device);
/// Where a device is; none for a port of a virtio-serial controller.
const PciPlace* place_of(const Device& device);

}  // namespace cmdline
