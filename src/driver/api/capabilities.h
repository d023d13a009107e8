#pragma once

#include <optional>
#include <string>

#include "driver/domain/domain.h"

/// What this host can run, as clients are told it (libvirt formatcaps and formatdomaincaps).
namespace api {

/// The document of virConnectGetCapabilities.
std::string capabilities_xml();

/// What a client wants to know the capabilities of; absent: what fits the host best.
struct Question {
  std::optional<std::string> program, arch, machine, type;
};
/// The document of virConnectGetDomainCapabilities. May start the program named: for the pool. Throws Error:
/// INVALID_ARG for what there is not, CONFIG_UNSUPPORTED for an architecture nobody serves here.
std::string domain_capabilities_xml(const Question& question);

/// The most vCPUs a domain of this type can have; of the best type where none is named. Throws Error: INVALID_ARG for
/// an unknown type, SYSTEM_ERROR for kvm where the host has none.
unsigned max_vcpus(const std::optional<std::string>& type);

/// Throws Error INVALID_ARG for what libvirt has no architecture of.
void require_architecture(const std::string& name);

}  // namespace api
