#pragma once

#include <string>
#include <utility>
#include <vector>

#include "driver/core/layout.h"
#include "driver/rpc/server.h"
#include "driver/service/config.h"

namespace service {

/// The files of the sockets that were made here; none that systemd handed over. Removed in the end.
class SocketFiles {
 public:
  SocketFiles() = default;
  SocketFiles(SocketFiles&&) = default;
  SocketFiles& operator=(SocketFiles&&) = delete;
  ~SocketFiles();
  void add(std::string path) { paths_.push_back(std::move(path)); }

 private:
  std::vector<std::string> paths_;
};

/// Listens where the configuration says, or on what systemd handed over. Throws Error.
[[nodiscard]] SocketFiles listen(rpc::Server& server, const core::Layout& layout, const Config& config);

/// The right to serve this layout, of one daemon at a time and of this process alone: a child that it forked and that
/// outlives it for a moment does not keep it. Throws Error: OPERATION_FAILED.
base::UniqueFd lock(const core::Layout& layout);

}  // namespace service
