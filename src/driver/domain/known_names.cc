#include "driver/domain/known_names.h"

#include <map>
#include <string>

#include "driver/core/error.h"
#include "driver/domain/element.h"

namespace domain {
namespace {

/// What libvirt's schema (domaincommon.rng) has in each element that this driver reads, less what it honours;
/// attributes with '@'. A row without names is walked through to the rows below it.
const std::map<std::string_view, std::string_view, std::less<>> refused{
    {"domain",
     "blkiotune bootloader bootloader_args datacenterpath defaultiothread idmap iothreadids keywrap launchSecurity "
     "maxMemory "
     "memtune numatune on_lockfailure perf vcpus"},
    {"domain/memory", "@dumpCore"},
    {"domain/memoryBacking", ""},
    {"domain/memoryBacking/hugepages", ""},
    {"domain/memoryBacking/hugepages/page", "@nodeset"},
    {"domain/memoryBacking/allocation", "@threads"},
    {"domain/cputune",
     "cachetune emulator_period emulator_quota emulatorsched global_period global_quota iothread_period iothread_quota "
     "iothreadsched memorytune period quota vcpusched"},
    {"domain/resource", "fibrechannel"},
    {"domain/os", "acpi bios bootmenu dtb init initarg initdir initenv initgroup inituser root"},
    {"domain/os/loader", "@stateless"},
    {"domain/os/nvram", "@type source"},
    {"domain/features",
     "capabilities ccf-assist cfpc hap hpt htm hyperv ibs ioapic kvm msrs nested-hv privnet pvspinlock sbbc tcg "
     "viridian "
     "xen"},
    {"domain/features/apic", "@eoi"},
    {"domain/features/smm", "tseg"},
    {"domain/cpu", "cache feature maxphysaddr numa vendor"},
    {"domain/cpu/model", "@vendor_id"},
    {"domain/clock", "@adjustment @basis @start @timezone"},
    {"domain/clock/timer", "@frequency @mode catchup"},
    {"domain/seclabel", "baselabel imagelabel label"},
    {"domain/devices",
     "audio channel crypto filesystem graphics hub input iommu lease memory nvram panic parallel pstore redirdev "
     "redirfilter "
     "shmem smartcard sound tpm video watchdog"},

    {"domain/devices/disk",
     "@model @rawio @sgio @snapshot acpi auth backenddomain blockio encryption geometry mirror product transient "
     "vendor wwn"},
    {"domain/devices/disk/backingStore", "@index @type backingStore format source"},
    {"domain/devices/disk/driver",
     "@ats @copy_on_read @error_policy @event_idx @ioeventfd @iommu @packed @page_per_vq @queue_size @rerror_policy "
     "metadata_cache"},
    {"domain/devices/disk/source",
     "@dir @fdgroup @managed @mode @name @namespace @path @pool @protocol @query @startupPolicy @tls @tlsHostname "
     "@type @volume "
     "address auth config cookies encryption host identity initiator readahead reconnect reservations seclabel slices "
     "snapshot "
     "ssl timeout"},
    {"domain/devices/disk/target", "@removable @rotation_rate @tray"},
    {"domain/devices/disk/iotune",
     "group_name read_bytes_sec_max_length read_iops_sec_max_length total_bytes_sec_max_length "
     "total_iops_sec_max_length "
     "write_bytes_sec_max_length write_iops_sec_max_length"},
    {"domain/devices/disk/boot", "@loadparm"},
    {"domain/devices/disk/address", "zpci"},

    {"domain/devices/interface",
     "@managed @trustGuestRxFilters acpi backend backenddomain bandwidth coalesce downscript filterref guest ip "
     "portForward rom "
     "route script teaming tune virtualport vlan"},
    {"domain/devices/interface/driver",
     "@ats @event_idx @ioeventfd @iommu @packed @page_per_vq @rss @rss_hash_report @txmode guest host"},
    {"domain/devices/interface/source",
     "@address @connectionid @dev @macTableManager @missing @mode @name @network @path @port @portgroup @portgroupid "
     "@portid "
     "@switchid @type address ip local product reconnect route vendor"},
    {"domain/devices/interface/mac", "@check @type"},
    {"domain/devices/interface/port", "@isolated"},
    {"domain/devices/interface/boot", "@loadparm"},
    {"domain/devices/interface/address", "zpci"},

    {"domain/devices/controller", "@maxEventChannels @maxGrantFrames acpi driver master pcihole64"},
    {"domain/devices/controller/target", "@busNr @chassisNr @hotplug @index node"},
    {"domain/devices/controller/address", "zpci"},

    {"domain/devices/console", "acpi protocol"},
    {"domain/devices/console/source", "@channel @host @master @service @slave @tls clipboard mouse reconnect seclabel"},
    {"domain/devices/serial", "acpi protocol"},
    {"domain/devices/serial/source", "@channel @host @master @service @slave @tls clipboard mouse reconnect seclabel"},

    {"domain/devices/memballoon", "acpi driver"},
    {"domain/devices/memballoon/address", "zpci"},
    {"domain/devices/rng", "acpi driver"},
    {"domain/devices/rng/backend", "@type log protocol source"},
    {"domain/devices/rng/address", "zpci"},
    {"domain/devices/vsock", "acpi driver"},
    {"domain/devices/vsock/address", "zpci"},

    {"domain/devices/hostdev", "@display @model @ramfb @rawio @sgio acpi ip readonly rom route shareable teaming"},
    {"domain/devices/hostdev/source",
     "@guestReset @name @protocol @startupPolicy @writeFiltering @wwpn adapter auth block char host initiator "
     "interface product "
     "vendor"},
    {"domain/devices/hostdev/boot", "@loadparm"},
    {"domain/devices/hostdev/address", "zpci"},
};

constexpr std::string_view devices = "domain/devices";

/// The namespaces of other drivers' own elements ("commandline" and the like) under <domain>.
constexpr std::string_view driver_namespaces = "http://libvirt.org/schemas/domain/";

[[noreturn]] void refuse(const core::XmlNode& node, std::string_view what) {
  throw core::Error(core::ErrorCode::config_unsupported,
                    std::string(what) + " is not supported (line " + std::to_string(node.line()) + ")");
}

}  // namespace

void refuse_known_names(const core::XmlNode& node, std::string_view path) {
  const auto row = refused.find(path);
  if (row == refused.end()) return;
  const std::string element = "element '" + std::string(node.name()) + "'";
  for (const std::string_view name : node.attributes())
    if (has_word(row->second, "@" + std::string(name)))
      refuse(node, "attribute '" + std::string(name) + "' in " + element);
  for (const core::XmlNode& child : node.children()) {
    const std::string name(child.name());
    if (!child.namespace_uri().empty()) {
      if (path == "domain" && child.namespace_uri().starts_with(driver_namespaces))
        refuse(child, "element '" + name + "' of " + std::string(child.namespace_uri()));
      continue;
    }
    if (has_word(row->second, name)) refuse(child, "element '" + name + "' in " + element);
    refuse_known_names(child, std::string(path) + "/" + name);
  }
}

bool is_refused_device(std::string_view name) {
  return has_word(refused.at(devices), name);
}

void refuse_known_device(const core::XmlNode& device) {
  const std::string name(device.name());
  if (is_refused_device(name)) refuse(device, "element '" + name + "'");
  refuse_known_names(device, std::string(devices) + "/" + name);
}

}  // namespace domain
