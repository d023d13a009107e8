#pragma once

#include <optional>
#include <utility>

#include "driver/api/client.h"
#include "driver/api/impact.h"

namespace api {

/// A call that changes a domain: which one, and the right to do so, held as long as this lives.
struct Claim {
  registry::InstancePtr subject;
  instance::Job::Guard job;
};
inline core::Task<Claim> claim(Client* client, protocol::Domain dom, const char* name) {
  registry::InstancePtr subject = client->find(dom);
  instance::Job::Guard job = co_await subject->job().acquire(name);
  co_return Claim{std::move(subject), std::move(job)};
}

/// Keeps a changed definition, checked and durable. Throws Error as domain::validate().
inline core::Task<void> keep_config(Client* client, registry::InstancePtr subject, domain::Domain config) {
  domain::validate(config);
  co_await client->registry().redefine(std::move(subject), std::move(config));
}

/// Changes the description of what runs by `edit`, at once: the emulator's own news may have changed it meanwhile. A
/// machine that has ended has none.
template <class Edit>
void edit_live(instance::Instance& subject, const Edit& edit) {
  if (!subject.active()) return;
  domain::Domain live = subject.running().live;
  edit(live);
  subject.set_live(std::move(live));
}

}  // namespace api
