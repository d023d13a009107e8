#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "driver/core/error.h"
#include "driver/rpc/connection.h"

/// Every procedure of libvirt's remote and qemu programs. One without a handler answers NO_SUPPORT under its API's
/// name.
namespace protocol {

inline constexpr std::uint32_t remote_program = 0x20008086;
inline constexpr std::uint32_t qemu_program = 0x20008087;
inline constexpr std::uint32_t version = 1;

// NOLINTBEGIN(bugprone-macro-parentheses): an enumerator cannot be in parentheses
#define PROCEDURE(number, name, api, from, access) name = number,
#define EVENT(number, name) name = number,
// NOLINTEND(bugprone-macro-parentheses)
enum class Procedure : std::int32_t {
#include "driver/protocol/remote_procedures.inc"
};
enum class QemuProcedure : std::int32_t {
#include "driver/protocol/qemu_procedures.inc"
};
#undef PROCEDURE
#undef EVENT

constexpr std::uint32_t program_of(Procedure) {
  return remote_program;
}
constexpr std::uint32_t program_of(QemuProcedure) {
  return qemu_program;
}

/// What a connection must be to call a procedure.
enum class Access {
  authentication,  ///< any, before it is authenticated too
  read,
  write,  ///< not read-only
  event,  ///< nobody calls it: the server sends it
};

struct Row {
  std::int32_t number;
  const char* name;  ///< as the protocol has it, in lower case
  const char* api;   ///< the C function that sends it: what NO_SUPPORT and "read only access prevents" name
  core::ErrorDomain from;
  Access access;
};

/// All rows of a program in the order of their numbers, which begin at 1 and leave no gap; none for an unknown program.
std::span<const Row> rows(std::uint32_t program);

/// The row of a call that this connection may make. Throws core::Error as libvirt words it: RPC for an unknown program,
/// version or procedure and for a client that is not authenticated, OPERATION_DENIED for a read-only one.
const Row& admit(const rpc::Connection& connection, const rpc::Header& call);

/// Calls that a read-only connection may make without some of their flags; throws OPERATION_DENIED for those.
void check_flags(const rpc::Connection& connection, const Row& row, std::uint32_t flags);

/// NO_SUPPORT for a procedure nobody handles.
core::Error no_support(const Row& row);

}  // namespace protocol
