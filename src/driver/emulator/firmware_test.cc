#include "driver/emulator/firmware.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "driver/core/error.h"

namespace emulator {
namespace {

using core::Error;
using core::ErrorCode;

/// Debian's descriptors, in the order of their names; `arch` chooses.
std::vector<Firmware> installed() {
  std::vector<Firmware> result;
  for (const char* name : {"40-edk2-aarch64-secure-enrolled", "40-edk2-x86_64-secure-enrolled",
                           "50-edk2-aarch64-secure", "50-edk2-x86_64-secure", "60-edk2-aarch64", "60-edk2-x86_64"}) {
    std::ifstream file(std::string("/usr/share/qemu/firmware/") + name + ".json");
    const auto one = read_firmware(std::string(std::istreambuf_iterator<char>(file), {}));
    if (one) result.push_back(*one);
  }
  return result;
}

domain::Domain wanting(const std::function<void(domain::Domain&)>& change = [](domain::Domain&) {}) {
  domain::Domain domain;
  domain.os.machine = "q35";
  domain.os.firmware = domain::AutoFirmware{"efi", {}, {}};
  change(domain);
  return domain;
}

std::string chosen(const domain::Domain& domain) {
  const bool x86 = domain.os.arch == domain::Arch::x86_64;
  const auto all = installed();
  return choose_firmware(all, domain, x86 ? "pc-q35-7.2" : "virt-7.2").code;
}

TEST(Firmware, IsTheFirstThatFits) {
  using domain::Domain;
  const std::string ovmf = "/usr/share/OVMF/OVMF_CODE_4M";
  EXPECT_EQ(chosen(wanting()), ovmf + ".ms.fd");
  const struct {
    void (*change)(Domain&);
    std::string code;
  } rows[] = {
      {[](Domain& d) { d.os.firmware->secure_boot = true; }, ovmf + ".ms.fd"},
      {[](Domain& d) { d.os.firmware->secure_boot = false; }, ovmf + ".fd"},
      {[](Domain& d) { d.os.firmware->enrolled_keys = true; }, ovmf + ".ms.fd"},
      {[](Domain& d) { d.os.firmware->enrolled_keys = false; }, ovmf + ".secboot.fd"},
      {[](Domain& d) { d.os.loader = domain::Loader{{}, {}, true}; }, ovmf + ".ms.fd"},
      {[](Domain& d) { d.suspend_to_mem = true; }, ovmf + ".ms.fd"},
      {[](Domain& d) { d.features.smm = true; }, ovmf + ".ms.fd"},
      {[](Domain& d) { d.os.arch = domain::Arch::aarch64; }, "/usr/share/AAVMF/AAVMF_CODE.ms.fd"},
      {[](Domain& d) { d.os.arch = domain::Arch::aarch64, d.os.firmware->secure_boot = false; },
       "/usr/share/AAVMF/AAVMF_CODE.fd"},
  };
  for (const auto& row : rows) EXPECT_EQ(chosen(wanting(row.change)), row.code);
}

TEST(Firmware, ThatDoesNotFitIsRefusedAsLibvirtDoes) {
  const auto code = [](const domain::Domain& domain) {
    try {
      chosen(domain);
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::ok;
  };
  EXPECT_EQ(code(wanting([](auto& d) { d.os.firmware->kind = "bios"; })), ErrorCode::operation_failed);
  EXPECT_EQ(code(wanting([](auto& d) { d.suspend_to_disk = true; })), ErrorCode::operation_failed);
  EXPECT_EQ(code(wanting([](auto& d) { d.features.smm = false; })), ErrorCode::operation_invalid);
  EXPECT_THROW(choose_firmware(installed(), wanting(), "microvm"), Error);
  EXPECT_THROW(choose_firmware({}, wanting(), "pc-q35-7.2"), Error);
}

TEST(Firmware, BecomesTheDomainsOwn) {
  domain::Domain domain = wanting();
  const auto all = installed();
  use_firmware(domain, choose_firmware(all, domain, "pc-q35-7.2"));
  EXPECT_FALSE(domain.os.firmware);
  EXPECT_EQ(domain.os.loader, (domain::Loader{"/usr/share/OVMF/OVMF_CODE_4M.ms.fd", true, true}));
  EXPECT_EQ(domain.os.nvram, (domain::Nvram{"", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"}));
  EXPECT_EQ(domain.features.smm, true);
  domain = wanting([](auto& d) {
    d.os.firmware->secure_boot = false;
    d.os.nvram = domain::Nvram{"/mine", {}};
  });
  use_firmware(domain, choose_firmware(all, domain, "pc-q35-7.2"));
  EXPECT_EQ(domain.os.loader, (domain::Loader{"/usr/share/OVMF/OVMF_CODE_4M.fd", true, std::nullopt}));
  EXPECT_EQ(domain.os.nvram, (domain::Nvram{"/mine", "/usr/share/OVMF/OVMF_VARS_4M.fd"}));
  EXPECT_FALSE(domain.features.smm);
}

TEST(Firmware, OfAnotherKindThanTwoRawFlashImagesIsNone) {
  const auto descriptor = [](const std::string& mapping) {
    return read_firmware(R"({"interface-types": ["uefi"], "targets": [], "features": [], "mapping": )" + mapping + "}");
  };
  const std::string code = R"("executable": {"filename": "/c", "format": "raw"})";
  const std::string vars = R"("nvram-template": {"filename": "/v", "format": "raw"})";
  EXPECT_TRUE(descriptor(R"({"device": "flash", )" + code + "," + vars + "}"));
  EXPECT_TRUE(descriptor(R"({"device": "flash", "mode": "split", )" + code + "," + vars + "}"));
  EXPECT_FALSE(descriptor(R"({"device": "flash", "mode": "stateless", )" + code + "}"));
  EXPECT_FALSE(descriptor(R"({"device": "memory", "filename": "/c"})"));
  EXPECT_FALSE(descriptor(R"({"device": "flash", "executable": {"filename": "/c", "format": "qcow2"}, )" + vars + "}"));
  EXPECT_THROW(descriptor(R"({"device": "flash", )" + code + "}"), Error);
}

}  // namespace
}  // namespace emulator
