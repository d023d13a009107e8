// What the host calls itself: processor, UUID and SMBIOS.
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <set>

#include "driver/core/error.h"
#include "driver/core/uuid.h"
#include "driver/core/xml.h"
#include "driver/host/facts.h"
#include "driver/host/proc.h"

namespace host {
namespace {

struct Vendor {
  std::string_view kernel, libvirt;
};
constexpr std::array vendors{
    Vendor{"GenuineIntel", "Intel"}, Vendor{"AuthenticAMD", "AMD"}, Vendor{"HygonGenuine", "Hygon"},
    Vendor{"0x41", "ARM"},           Vendor{"0x42", "Broadcom"},    Vendor{"0x43", "Cavium"},
    Vendor{"0x46", "FUJITSU"},       Vendor{"0x48", "HiSilicon"},   Vendor{"0x50", "APM"},
    Vendor{"0x51", "Qualcomm"},      Vendor{"0x53", "SAMSUNG"},     Vendor{"0x56", "Marvell"},
};

// libvirt's names of the CPUID features the kernel shows too. They differ from the kernel's in '-', '_' and '.'.
constexpr std::string_view feature_names =
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 pn clflush ds acpi mmx fxsr sse sse2 ss "
    "ht "
    "tm ia64 pbe pni pclmuldq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid fma cx16 xtpr pdcm pcid dca sse4.1 "
    "sse4.2 "
    "x2apic movbe popcnt tsc-deadline aes xsave avx f16c rdrand hypervisor arat fsgsbase tsc_adjust sgx bmi1 hle avx2 "
    "smep bmi2 erms invpcid rtm cmt mpx avx512f avx512dq rdseed adx smap avx512ifma clflushopt clwb intel-pt avx512pf "
    "avx512er avx512cd sha-ni avx512bw avx512vl avx512vbmi umip pku ospke waitpkg avx512vbmi2 gfni vaes vpclmulqdq "
    "avx512vnni avx512bitalg avx512-vpopcntdq la57 rdpid bus-lock-detect cldemote movdiri movdir64b avx512-4vnniw "
    "avx512-4fmaps fsrm avx512-vp2intersect md-clear serialize tsx-ldtrk pconfig arch-lbr amx-bf16 avx512-fp16 "
    "amx-tile "
    "amx-int8 stibp arch-capabilities ssbd avx-vnni avx512-bf16 xsaveopt xsavec xgetbv1 xsaves xfd syscall nx mmxext "
    "fxsr_opt pdpe1gb rdtscp lm 3dnowext 3dnow lahf_lm cmp_legacy svm extapic cr8legacy abm sse4a misalignsse "
    "3dnowprefetch osvw ibs xop skinit wdt lwp fma4 tce nodeid_msr tbm topoext perfctr_core perfctr_nb clzero "
    "xsaveerptr wbnoinvd ibpb ibrs virt-ssbd npt lbrv svm-lock nrip-save tsc-scale vmcb-clean flushbyasid "
    "decodeassists "
    "pause-filter pfthreshold avic v-vmsave-vmload vgif";

std::string plain(std::string_view name) {
  std::string text(name);
  std::erase_if(text, [](char c) { return c == '-' || c == '_' || c == '.'; });
  return text;
}

std::vector<std::string> x86_features(std::string_view flags) {
  std::set<std::string> kernel;
  for (const std::string_view flag : proc::words(flags)) kernel.insert(plain(flag));
  if (kernel.contains("pclmulqdq")) kernel.insert("pclmuldq");
  if (kernel.contains("tscdeadlinetimer")) kernel.insert("tscdeadline");
  std::vector<std::string> features;
  for (const std::string_view name : proc::words(feature_names))
    if (kernel.contains(plain(name))) features.emplace_back(name);
  if (kernel.contains("constanttsc") && kernel.contains("nonstoptsc")) features.emplace_back("invtsc");
  std::sort(features.begin(), features.end());
  return features;
}

/// A field of /sys/class/dmi/id, without what firmware fills its blanks with.
std::string dmi(const std::string& root, const char* name) {
  std::string text = proc::text(root + "/sys/class/dmi/id/" + name).value_or("");
  const auto is_blank = [](unsigned char c) { return std::isspace(c) != 0; };
  text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), is_blank));
  text.erase(std::find_if_not(text.rbegin(), text.rend(), is_blank).base(), text.end());
  return text;
}

struct DmiEntry {
  const char* name;  ///< libvirt's
  const char* file;
};
struct DmiGroup {
  const char* element;
  std::vector<DmiEntry> entries;
};

}  // namespace

CpuModel cpu_model(const std::string& root) {
  const std::string cpuinfo = proc::required(root + "/proc/cpuinfo");
  const auto field = [&](std::string_view key) { return proc::field(cpuinfo, key).value_or(""); };
  const auto number = [&](std::string_view key) { return static_cast<unsigned>(proc::number(field(key)).value_or(0)); };
  utsname host_name{};
  ::uname(&host_name);

  CpuModel cpu;
  const bool x86 = !field("vendor_id").empty();
  const bool arm = !field("CPU implementer").empty();
  cpu.arch = x86 ? "x86_64" : arm ? "aarch64" : host_name.machine;
  cpu.name = field("model name");
  const std::string_view vendor = x86 ? field("vendor_id") : field("CPU implementer");
  for (const Vendor& candidate : vendors)
    if (candidate.kernel == vendor) cpu.vendor = candidate.libvirt;
  cpu.family = number("cpu family");
  cpu.model = number("model");
  cpu.stepping = number("stepping");
  if (std::string_view text = field("microcode"); text.starts_with("0x")) {
    std::uint64_t microcode = 0;
    if (std::from_chars(text.data() + 2, text.data() + text.size(), microcode, 16).ec == std::errc{})
      cpu.microcode = microcode;
  }
  if (x86) {
    cpu.features = x86_features(field("flags"));
  } else {
    for (const std::string_view feature : proc::words(field("Features"))) cpu.features.emplace_back(feature);
    std::sort(cpu.features.begin(), cpu.features.end());
  }
  return cpu;
}

std::optional<std::string> host_uuid(const std::string& root) {
  for (const std::string& text : {dmi(root, "product_uuid"), proc::text(root + "/etc/machine-id").value_or("")}) {
    const std::optional<core::Uuid> uuid = core::parse_uuid(text);
    // Firmware that has none writes one byte sixteen times.
    if (uuid && std::any_of(uuid->begin(), uuid->end(), [&](auto byte) { return byte != uuid->front(); }))
      return core::to_string(*uuid);
  }
  return std::nullopt;
}

std::string sysinfo_xml(const std::string& root) {
  static const std::vector<DmiGroup> groups{
      {"bios",
       {{"vendor", "bios_vendor"}, {"version", "bios_version"}, {"date", "bios_date"}, {"release", "bios_release"}}},
      {"system",
       {{"manufacturer", "sys_vendor"},
        {"product", "product_name"},
        {"version", "product_version"},
        {"serial", "product_serial"},
        {"uuid", "product_uuid"},
        {"sku", "product_sku"},
        {"family", "product_family"}}},
      {"baseBoard",
       {{"manufacturer", "board_vendor"},
        {"product", "board_name"},
        {"version", "board_version"},
        {"serial", "board_serial"},
        {"asset", "board_asset_tag"}}},
      {"chassis",
       {{"manufacturer", "chassis_vendor"},
        {"version", "chassis_version"},
        {"serial", "chassis_serial"},
        {"asset", "chassis_asset_tag"}}}};
  core::XmlWriter xml;
  xml.start("sysinfo").attribute("type", "smbios");
  bool any = false;
  for (const DmiGroup& group : groups) {
    xml.start(group.element);
    for (const DmiEntry& entry : group.entries) {
      const std::string value = dmi(root, entry.file);
      if (value.empty()) continue;
      any = true;
      xml.start("entry").attribute("name", entry.name).text(value).end();
    }
    xml.end_unless_empty();
  }
  if (!any) throw core::Error(core::ErrorCode::config_unsupported, "Host SMBIOS information is not available");
  return xml.end().take();
}

}  // namespace host
