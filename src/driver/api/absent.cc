#include "driver/protocol/absent.h"

#include "driver/api/agent.h"
#include "driver/api/client.h"
#include "driver/api/disk.h"
#include "driver/api/impact.h"
#include "driver/core/error.h"

// Calls for what is not here, each answered by its row of protocol/absent_procedures.inc.
namespace api {
namespace {

using namespace protocol;
using core::Error;
using core::ErrorCode;

std::string filled(std::string_view format, std::string_view text, const core::Uuid& uuid, std::string_view domain) {
  std::string all;
  for (std::size_t at = 0; at < format.size(); ++at) {
    if (format[at] != '%') {
      all += format[at];
    } else {
      const char what = format[++at];
      all += what == 'u' ? core::to_string(uuid) : std::string(what == 'd' ? domain : text);
    }
  }
  return all;
}

void require(const Absent& row, const instance::Instance& subject, std::uint32_t flags) {
  switch (row.need) {
    case Need::nothing: return;
    case Need::active:
      if (!subject.active())
        throw Error(ErrorCode::operation_invalid, "domain is not running", core::ErrorDomain::domain);
      return;
    case Need::affected: impact(subject, flags); return;
    case Need::agent: refuse_agent(subject);
    case Need::checkpoint:
      if (subject.active()) return;
      throw Error(ErrorCode::operation_unsupported,
                  std::string("cannot ") +
                      (row.procedure == Procedure::domain_checkpoint_delete ? "delete" : "create") +
                      " checkpoint for inactive domain");
  }
}

void answer(Client& client, const rpc::Call& call, const Row& procedure) {
  const Absent* row = absent(static_cast<Procedure>(procedure.number));
  if (!row) throw no_support(procedure);
  const Named named = read_arguments(*row, call.payload);
  check_flags(client.connection(), procedure, named.flags);
  require_flags(named.flags, row->flags, procedure.api);

  registry::InstancePtr subject;
  if (named.domain) {
    subject = client.find(*named.domain);
    require(*row, *subject, named.flags);
  }
  if (const Reference* object = named.object) {
    const bool disk = std::string_view(object->word).starts_with("disk");
    if (!disk || !find_disk(subject->description(), named.name))
      throw Error(object->code, filled(object->missing, named.name, named.uuid, ""), object->from);
  }
  if (row->code == ErrorCode::no_support) throw no_support(procedure);
  if (row->code != ErrorCode::ok)
    throw Error(row->code, filled(row->text, named.text, named.uuid, subject ? subject->name() : ""));
  switch (empty_size(row->text)) {
    case 4: return client.connection().reply(call.header, std::uint32_t{0});
    case 8: return client.connection().reply(call.header, std::uint64_t{0});
    default: throw no_support(procedure);
  }
}

}  // namespace

void add_absent(Handlers& handlers) {
  handlers.otherwise(answer);
}

}  // namespace api
