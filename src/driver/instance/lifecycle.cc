#include "driver/instance/lifecycle.h"

#include <string>

#include "driver/core/error.h"

namespace instance {
namespace {

using enum State;
using enum Trigger;

struct Row {
  State from;
  Trigger trigger;
  Status to;
  std::optional<Lifecycle> event;
};

//   boot, boot_paused      suspend / resume           guest_off             exit_*
// shutoff ───────► running ◄────────► paused   running, paused ───► shutdown ───────► shutoff
//                     │ panic                                                              ▲
//                     └────► crashed ──────────────────── exit_* (from every active state) ┘
constexpr Row table[] = {
    {shutoff, boot, {running, reason::running_booted}, lifecycle::started_booted},
    {shutoff, boot_paused, {paused, reason::paused_user}, lifecycle::started_booted},
    {shutoff, exit_failed, {shutoff, reason::shutoff_failed}, {}},
    {running, suspend, {paused, reason::paused_user}, lifecycle::suspended_paused},
    {running, io_error, {paused, reason::paused_io_error}, lifecycle::suspended_io_error},
    {running, reset, {running, reason::running_booted}, {}},
    {running, panic, {crashed, reason::crashed_panicked}, lifecycle::crashed_panicked},
    {running, guest_off, {shutdown, reason::shutdown_user}, lifecycle::shutdown_finished},
    {paused, suspend, {paused, reason::paused_user}, {}},
    {paused, resume, {running, reason::running_unpaused}, lifecycle::resumed_unpaused},
    {paused, io_error, {paused, reason::paused_io_error}, {}},
    {paused, panic, {crashed, reason::crashed_panicked}, lifecycle::crashed_panicked},
    {paused, guest_off, {shutdown, reason::shutdown_user}, lifecycle::shutdown_finished},
    {paused, reset, {paused, reason::paused_user}, {}},
    {shutdown, reset, {running, reason::running_booted}, {}},
    {shutdown, guest_off, {shutdown, reason::shutdown_user}, {}},
    {crashed, resume, {running, reason::running_unpaused}, lifecycle::resumed_unpaused},
    {crashed, reset, {paused, reason::paused_crashed}, {}},  // no emulator goes on by itself then
    {crashed, panic, {crashed, reason::crashed_panicked}, {}},
    {crashed, guest_off, {shutdown, reason::shutdown_user}, lifecycle::shutdown_finished},
};

/// The end of the process: the same from every active state.
std::optional<Step> exit_step(State from, Trigger trigger) {
  if (from == shutoff) return {};
  switch (trigger) {
    case exit_shutdown: return Step{{shutoff, reason::shutoff_shutdown}, lifecycle::stopped_shutdown};
    case exit_destroyed: return Step{{shutoff, reason::shutoff_destroyed}, lifecycle::stopped_destroyed};
    case exit_crashed: return Step{{shutoff, reason::shutoff_crashed}, lifecycle::stopped_failed};
    case exit_panicked: return Step{{shutoff, reason::shutoff_crashed}, lifecycle::stopped_crashed};
    case exit_failed: return Step{{shutoff, reason::shutoff_failed}, lifecycle::stopped_failed};
    default: return {};
  }
}

std::string refusal(State from, Trigger trigger) {
  if (from == shutoff) return "domain is not running";
  if (trigger == boot || trigger == boot_paused || (trigger == resume && from == running))
    return "domain is already running";
  if (from == shutdown) return "domain is being shut down";
  return "domain is not in a state that allows this";
}

}  // namespace

Step step(State from, Trigger trigger) {
  for (const Row& row : table) {
    if (row.from == from && row.trigger == trigger) return {row.to, row.event};
  }
  if (auto end = exit_step(from, trigger)) return *end;
  throw core::Error(core::ErrorCode::operation_invalid, refusal(from, trigger));
}

}  // namespace instance
