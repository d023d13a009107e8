#pragma once

#include <unistd.h>

#include <string>
#include <vector>

#include "driver/core/layout.h"
#include "driver/core/loop.h"
#include "driver/instance/prober.h"
#include "driver/instance/run_for_test.h"
#include "driver/instance/settings.h"

namespace instance::test {

/// A daemon's surroundings in a folder of the test's own, run as the user who runs the test.
struct Surroundings {
  Surroundings() {
    layout.session = true;
    layout.make();
  }

  /// A machine that the emulator without a machine runs; `words` say what it does besides.
  domain::Domain machine(const std::string& words = "", const std::string& elements = "",
                         const std::string& name = "test-" + std::to_string(getpid())) const {
    return domain::parse("<domain type='qemu'><name>" + name +
                         "</name><memory unit='MiB'>128</memory><vcpu>1</vcpu><os><type arch='x86_64' "
                         "machine='q35'>hvm</type><kernel>" TEST_DATA_DIR "/instance/emulator</kernel><cmdline>" +
                         words + "</cmdline></os><features><acpi/></features>" + elements +
                         "<devices><emulator>" TEST_DATA_DIR
                         "/instance/emulator</emulator><console type='pty'><target type='virtio'/></console>"
                         "</devices></domain>");
  }

  TemporaryFolder root;
  core::Layout layout = core::Layout::system(root.path);
  Settings settings = Settings::read({}, false);
  core::Loop loop;
  Prober prober{loop, layout, settings, [](const std::string& problem) { ADD_FAILURE() << problem; }};
};

}  // namespace instance::test
