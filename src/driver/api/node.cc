#include "driver/protocol/node.h"

#include "driver/api/client.h"
#include "driver/host/facts.h"

namespace api {
namespace {

using namespace protocol;

NodeGetInfoRet get_info(Client&) {
  const host::NodeInfo info = host::node_info();
  NodeGetInfoRet ret{};
  for (std::size_t i = 0; i < info.model.size() && i + 1 < ret.model.size(); ++i)
    ret.model[i] = static_cast<std::int8_t>(info.model[i]);
  ret.memory = info.memory_kib;
  ret.cpus = static_cast<std::int32_t>(info.cpus);
  ret.mhz = static_cast<std::int32_t>(info.mhz);
  ret.nodes = static_cast<std::int32_t>(info.nodes);
  ret.sockets = static_cast<std::int32_t>(info.sockets);
  ret.cores = static_cast<std::int32_t>(info.cores);
  ret.threads = static_cast<std::int32_t>(info.threads);
  return ret;
}

}  // namespace

void add_node(Handlers& handlers) {
  handlers.add<Procedure::node_get_info>(get_info);
}

}  // namespace api
