#include "vmm/cmdline/keys.h"

#include <algorithm>

namespace cmdline {

const Property* Reader::find(std::string_view key) const {
  const auto found = std::ranges::find(properties_.items, key, &Property::key);
  return found == properties_.items.end() ? nullptr : &*found;
}

void Reader::missing(std::string_view key) const {
  refuse("'" + std::string(key) + "=' is missing");
}

void Reader::finish() const {
  for (const Property& item : properties_.items) {
    if (std::ranges::find(known_, item.key) != known_.end()) continue;
    std::string allowed;
    for (const std::string_view name : known_) allowed.append(allowed.empty() ? "" : ", ").append(name);
    Value(label_, item).refuse("the keys " + allowed);
  }
}

}  // namespace cmdline
