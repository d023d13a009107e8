#pragma once

#include <optional>
#include <span>
#include <string>

#include "driver/core/error.h"
#include "driver/protocol/procedures.h"
#include "driver/protocol/types.h"

/// Calls that no handler carries out, since what they ask for is not here: the objects of libvirt's other drivers, and
/// what no machine of this driver can do. Each is a row that says how its arguments lie on the wire and what it
/// answers, which is what libvirt answers where it can be: first for the arguments, then for the object, then for the
/// domain's state.
namespace protocol {

/// What must be so of a call's domain before the answer of its row is given. Else it is libvirt's error for that.
enum class Need {
  nothing,
  active,      ///< it is running or paused
  affected,    ///< it has the description that the flags mean (virDomainModificationImpact)
  agent,       ///< its guest has an agent: none has
  checkpoint,  ///< as active, in the words that calls for checkpoints have
};

/// One call. `arguments` are words: i4 u4 i8 u8 s o o16 for XDR's types by their sizes, `flags` for a u4 of flags,
/// `value` for a typed parameter's, ?x for a pointer, [x] for an array, and the words of references().
struct Absent {
  Procedure procedure;
  const char* arguments;
  std::uint32_t flags;   ///< those that libvirt knows
  Need need;             ///< of the domain, where the arguments have one
  core::ErrorCode code;  ///< ok: an empty result
  const char* text =
      "";  ///< the error's detail, %s the last text among the arguments, %d the domain's name; or the result
};

/// The row of a procedure; null where it has none.
const Absent* absent(Procedure procedure);

/// What an argument means that names an object. `missing` is the detail of the error where the object is not there, %s
/// its name and %u its uuid.
struct Reference {
  const char* word;
  const char* layout;
  core::ErrorCode code;
  core::ErrorDomain from;
  const char* missing;
};
const Reference* reference(std::string_view word);

/// What was found in the arguments of a call.
struct Named {
  std::optional<Domain> domain;
  const Reference* object = nullptr;  ///< besides the domain
  std::string name = "<null>";        ///< the object's
  Uuid uuid{};                        ///< the object's
  std::string text = "<null>";        ///< the last one
  std::uint32_t flags = 0;
};

/// Reads a call's arguments. Throws Error RPC where they are not what the row says.
Named read_arguments(const Absent& row, std::span<const std::uint8_t> payload);

/// How arguments or results lie on the wire, their references written out: "network [s value]" is "s o16 [s value]".
std::string written_out(std::string_view words);

/// The size of a result in which all numbers are zero, all arrays are empty and all pointers null.
std::size_t empty_size(std::string_view words);

}  // namespace protocol
