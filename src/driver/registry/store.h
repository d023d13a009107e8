#pragma once

#include <functional>
#include <string>
#include <vector>

#include "driver/core/layout.h"
#include "driver/domain/domain.h"

namespace registry {

/// Definitions on disk: a file a domain, NAME.xml, or UUID.xml where the name is too long for a file, and a link in the
/// autostart folder. What a call has returned from survives a power loss. Calls block: for the pool.
class Store {
 public:
  explicit Store(const core::Layout& layout) : layout_(layout) {}

  /// Throws std::system_error; the old definition is then still there.
  void write(const domain::Domain& domain) const;
  void remove(const domain::Domain& domain) const;
  void set_autostart(const domain::Domain& domain, bool autostart) const;

  struct Loaded {
    domain::Domain domain;
    bool autostart;
  };
  /// Every definition that can be read. One that cannot is kept aside as FILE.broken, and `broken` is told. What a
  /// daemon that was killed did by halves is done or undone. To be called before anything is written.
  std::vector<Loaded> load(const std::function<void(const std::string& path, const std::string& why)>& broken) const;

 private:
  void finish_renames(std::vector<Loaded>& all) const;
  void forget_marks() const;
  std::string path(const std::string& folder, const domain::Domain& domain) const;
  const core::Layout& layout_;
};

}  // namespace registry
