#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "driver/core/error.h"
#include "driver/emulator/dialect.h"
#include "driver/instance/instance.h"

namespace instance {

/// What to ask a running domain's emulator for.
struct Questions {
  bool vcpus = false, blocks = false, memory = false, iothreads = false;
};

/// What it said. Absent: it was not asked, keeps no such figures, or `failed` tells why.
struct Figures {
  std::vector<emulator::Vcpu> vcpus;
  std::optional<std::vector<emulator::BlockStats>> blocks;
  std::optional<emulator::GuestMemory> memory;
  std::optional<std::vector<emulator::Iothread>> iothreads;
  std::optional<core::Error> failed;
};

/// Asks the questions, in one go and for at most `limit` in all. Takes no job: it changes nothing. vCPUs are asked for
/// once in a machine's life.
core::Task<Figures> ask(std::shared_ptr<Instance> subject, Questions questions, std::chrono::milliseconds limit);

}  // namespace instance
