#pragma once

#include <string>

#include "vmm/cmdline/machine_config.h"

/// The options that say what the machine as a whole is; each gets its argument.
namespace cmdline {

void read_name(Config& config, const std::string& value);
void read_uuid(Config& config, const std::string& value);
void read_machine(Config& config, const std::string& value);
void read_accel(Config& config, const std::string& value);
void read_cpu(Config& config, const std::string& value);
void read_smp(Config& config, const std::string& value);
void read_memory(Config& config, const std::string& value);
void read_numa(Config& config, const std::string& value);
void read_smbios(Config& config, const std::string& value);
void read_global(Config& config, const std::string& value);

/// Options that other monitors have and libvirt writes: accepted as far as they say what is so here anyway.
void read_overcommit(Config& config, const std::string& value);
void read_realtime(Config& config, const std::string& value);
void read_sandbox(Config& config, const std::string& value);
void read_msg(Config& config, const std::string& value);
void read_rtc(Config& config, const std::string& value);
void read_boot(Config& config, const std::string& value);
void read_display(Config& config, const std::string& value);

}  // namespace cmdline
