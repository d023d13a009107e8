#include "driver/protocol/absent.h"

#include <gtest/gtest.h>

#include "driver/api/client.h"

namespace api {
namespace {

TEST(Absent, EveryCallHasAHandlerOrARowAndNeverBoth) {
  for (const protocol::Row& row : protocol::rows(protocol::remote_program)) {
    const auto procedure = static_cast<protocol::Procedure>(row.number);
    const bool handled = handlers().has(procedure), absent = protocol::absent(procedure);
    if (row.access == protocol::Access::event || row.access == protocol::Access::authentication) {
      EXPECT_FALSE(absent) << row.name;
    } else {
      EXPECT_NE(handled, absent) << row.name;
    }
  }
}

}  // namespace
}  // namespace api
