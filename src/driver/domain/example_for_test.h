#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "driver/core/error.h"
#include "driver/domain/domain.h"

namespace domain::test {

inline std::string description(const std::string& devices = "", const std::string& top = "",
                               const std::string& type = "kvm") {
  return "<domain type='" + type + "'><name>x</name><uuid>12345678-1234-1234-1234-123456789abc</uuid>" +
         (top.find("<memory") == std::string::npos ? "<memory unit='MiB'>512</memory>" : "") + top +
         "<os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features><devices>" + devices +
         "</devices></domain>";
}
inline Domain with(const std::string& devices) {
  return parse(description(devices));
}
inline std::string disk(const std::string& target, const std::string& inner = "") {
  return "<disk type='file' device='disk'><source file='/images/" + target + ".img'/><target dev='" + target +
         "' bus='virtio'/>" + inner + "</disk>";
}
inline std::string at(unsigned bus, unsigned slot, unsigned function = 0) {
  return "<address type='pci' domain='0' bus='" + std::to_string(bus) + "' slot='" + std::to_string(slot) +
         "' function='" + std::to_string(function) + "'/>";
}
inline std::string root_port(unsigned index, const std::string& inner = "") {
  return "<controller type='pci' index='" + std::to_string(index) + "' model='pcie-root-port'>" + inner +
         "</controller>";
}
inline std::string network_card(const std::string& mac, const std::string& inner = "") {
  return "<interface type='bridge'><mac address='" + mac + "'/><source bridge='br0'/><model type='virtio'/>" + inner +
         "</interface>";
}

/// The message of the Error that `act` throws, which must have this code.
inline std::string refusal(core::ErrorCode code, const std::function<void()>& act) {
  try {
    act();
  } catch (const core::Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "not refused";
  return "";
}

}  // namespace domain::test
