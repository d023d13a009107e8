#pragma once

#include <cstddef>
#include <utility>

#include "driver/protocol/connect.h"
#include "driver/protocol/domain.h"
#include "driver/protocol/domain_device.h"
#include "driver/protocol/domain_find.h"
#include "driver/protocol/domain_resources.h"
#include "driver/protocol/domain_stats.h"
#include "driver/protocol/event.h"
#include "driver/protocol/node.h"
#include "driver/protocol/objects.h"
#include "driver/protocol/qemu.h"

/// For tests: every wire type there is.
namespace protocol::testing {

template <auto P>
concept HasCall = requires { typename Wire<P>::Args; };
template <auto P>
concept HasEvent = requires { typename Wire<P>::Event; };

inline constexpr std::size_t remote_count = 446;
inline constexpr std::size_t qemu_count = 7;

namespace detail {

template <class Number, auto P, class Visit>
void visit_one(Visit& visit) {
  if constexpr (HasCall<P> || HasEvent<P>) visit.template operator()<P>();
}
template <class Number, std::size_t... I, class Visit>
void visit_all(std::index_sequence<I...>, Visit& visit) {
  // Not a fold: there are more than clang nests.
  [[maybe_unused]] const bool all[] = {(visit_one<Number, static_cast<Number>(I + 1)>(visit), true)...};
}

}  // namespace detail

/// Calls visit.operator()<P>() for every procedure P that has a Wire.
template <class Visit>
void for_each_wire(Visit visit) {
  detail::visit_all<Procedure>(std::make_index_sequence<remote_count>(), visit);
  detail::visit_all<QemuProcedure>(std::make_index_sequence<qemu_count>(), visit);
}

}  // namespace protocol::testing
