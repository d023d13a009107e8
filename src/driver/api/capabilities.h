#pragma once

#include <optional>
#include <string>

#include "driver/core/layout.h"
#include "driver/domain/domain.h"
#include "driver/instance/prober.h"

/// What this host can run, as clients are told it (libvirt formatcaps and formatdomaincaps).
namespace api {

/// The document of virConnectGetCapabilities.
core::Task<std::string> capabilities_xml(instance::Prober* prober);

/// What a client wants to know the capabilities of; absent: what fits the host best.
struct Question {
  std::optional<std::string> program, arch, machine, type;
};
/// The document of virConnectGetDomainCapabilities. Throws Error: INVALID_ARG for what there is not,
/// CONFIG_UNSUPPORTED for an architecture nobody serves here, as Prober::ask() for the program named.
core::Task<std::string> domain_capabilities_xml(core::Loop* loop, instance::Prober* prober, const core::Layout* layout,
                                                Question question);

/// The most vCPUs a domain of this type can have; of the best type where none is named. Throws Error: INVALID_ARG for
/// an unknown type, SYSTEM_ERROR for kvm where the host has none.
core::Task<unsigned> max_vcpus(instance::Prober* prober, std::optional<std::string> type);

/// Throws Error INVALID_ARG for what libvirt has no architecture of.
void require_architecture(const std::string& name);

}  // namespace api
