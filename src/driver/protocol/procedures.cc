#include "driver/protocol/procedures.h"

#include <array>
#include <string>

namespace protocol {
namespace {

using enum Access;
using core::ErrorCode;
using core::ErrorDomain;

#define PROCEDURE(number, name, api, from, access) Row{number, #name, api, ErrorDomain::from, access},
#define EVENT(number, name) Row{number, #name, "", ErrorDomain::none, event},
constexpr auto remote_rows = std::to_array<Row>({
#include "driver/protocol/remote_procedures.inc"
});
constexpr auto qemu_rows = std::to_array<Row>({
#include "driver/protocol/qemu_procedures.inc"
});
#undef PROCEDURE
#undef EVENT

constexpr bool in_order(std::span<const Row> table) {
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table[i].number != static_cast<std::int32_t>(i + 1)) return false;
  }
  return true;
}
static_assert(in_order(remote_rows) && in_order(qemu_rows), "rows() is indexed by number");

/// libvirt's texts differ: those that hide secrets name the flag, the others the connection.
struct Guard {
  Procedure procedure;
  std::uint32_t flags;
  const char* detail;
};
constexpr std::uint32_t xml_secure = 1;
constexpr std::uint32_t xml_migratable = 8;
constexpr std::uint32_t vcpu_guest = 8;
constexpr std::uint32_t addresses_from_agent = 1;
constexpr auto guards = std::to_array<Guard>({
    {Procedure::domain_get_xml_desc, xml_secure | xml_migratable, "virDomainGetXMLDesc with secure flag"},
    {Procedure::domain_managed_save_get_xml_desc, xml_secure, "virDomainManagedSaveGetXMLDesc with secure flag"},
    {Procedure::domain_snapshot_get_xml_desc, xml_secure, "virDomainSnapshotGetXMLDesc with secure flag"},
    {Procedure::domain_checkpoint_get_xml_desc, xml_secure, "virDomainCheckpointGetXMLDesc with secure flag"},
    {Procedure::domain_get_vcpus_flags, vcpu_guest, "read only access prevents virDomainGetVcpusFlags"},
    {Procedure::domain_interface_addresses, addresses_from_agent,
     "read only access prevents virDomainInterfaceAddresses"},
});

core::Error rpc_error(std::string detail) {
  return {ErrorCode::rpc, std::move(detail), ErrorDomain::rpc};
}

}  // namespace

std::span<const Row> rows(std::uint32_t program) {
  if (program == remote_program) return remote_rows;
  if (program == qemu_program) return qemu_rows;
  return {};
}

const Row& admit(const rpc::Connection& connection, const rpc::Header& call) {
  const std::span<const Row> table = rows(call.program);
  if (table.empty() || call.version != version) {
    throw rpc_error("Cannot find program " + std::to_string(static_cast<std::int32_t>(call.program)) + " version " +
                    std::to_string(static_cast<std::int32_t>(call.version)));
  }
  const auto index = static_cast<std::size_t>(static_cast<std::uint32_t>(call.procedure)) - 1;
  if (index >= table.size() || table[index].access == event) {
    throw rpc_error("unknown procedure: " + std::to_string(call.procedure));
  }
  const Row& row = table[index];
  if (row.access != authentication && !connection.authenticated()) throw rpc_error("authentication required");
  if (row.access == write && connection.readonly()) {
    throw core::Error(ErrorCode::operation_denied, std::string("read only access prevents ") + row.api, row.from);
  }
  return row;
}

void check_flags(const rpc::Connection& connection, const Row& row, std::uint32_t flags) {
  if (!connection.readonly()) return;
  for (const Guard& guard : guards) {
    const Row& guarded = remote_rows[static_cast<std::size_t>(guard.procedure) - 1];
    if (&guarded == &row && (flags & guard.flags) != 0) {
      throw core::Error(ErrorCode::operation_denied, guard.detail, row.from);
    }
  }
}

core::Error no_support(const Row& row) {
  return {ErrorCode::no_support, row.api, row.from};
}

}  // namespace protocol
