#include "driver/api/impact.h"

#include "driver/core/error.h"

namespace api {

using core::Error;
using core::ErrorCode;

Impact impact(const instance::Instance& subject, std::uint32_t flags) {
  Impact meant{(flags & affect_live) != 0, (flags & affect_config) != 0};
  if (!meant.live && !meant.config) (subject.active() ? meant.live : meant.config) = true;
  if (meant.live && !subject.active()) throw Error(ErrorCode::operation_invalid, "domain is not running");
  if (meant.config && !subject.persistent()) {
    throw Error(ErrorCode::operation_invalid, "transient domains do not have any persistent config");
  }
  return meant;
}

const domain::Domain& described(const instance::Instance& subject, std::uint32_t flags) {
  const Impact meant = impact(subject, flags);
  if (meant.live && meant.config) {
    throw Error(ErrorCode::invalid_arg,
                "Flags 'VIR_DOMAIN_AFFECT_LIVE' and 'VIR_DOMAIN_AFFECT_CONFIG' are mutually exclusive");
  }
  return meant.live ? subject.description() : *subject.config();
}

}  // namespace api
