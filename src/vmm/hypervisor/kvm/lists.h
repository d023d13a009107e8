#pragma once

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <cstdint>
#include <cstring>
#include <vector>

/// KVM's requests that end in a list. In C++ an array of no fixed length takes room in its struct, which changes both
/// the size that is part of a request's number and where the list begins; so the heads are written out here.
namespace kvm {

struct ListHead {
  std::uint32_t count = 0, padding = 0;
};
static_assert(sizeof(ListHead) == 8);

inline constexpr unsigned long set_gsi_routing = _IOW(KVMIO, 0x6a, ListHead), set_msrs = _IOW(KVMIO, 0x89, ListHead),
                               set_cpuid2 = _IOW(KVMIO, 0x90, ListHead),
                               get_supported_cpuid = _IOWR(KVMIO, 0x05, ListHead);

/// The head and the list after it.
template <class Entry>
std::vector<std::uint8_t> to_bytes(const std::vector<Entry>& list) {
  std::vector<std::uint8_t> bytes(sizeof(ListHead) + list.size() * sizeof(Entry));
  const ListHead head{static_cast<std::uint32_t>(list.size()), 0};
  std::memcpy(bytes.data(), &head, sizeof head);
  if (!list.empty()) std::memcpy(bytes.data() + sizeof head, list.data(), list.size() * sizeof(Entry));
  return bytes;
}

/// As many entries as the head says, and as there is room for.
template <class Entry>
std::vector<Entry> from_bytes(const std::vector<std::uint8_t>& bytes) {
  ListHead head;
  std::memcpy(&head, bytes.data(), sizeof head);
  const std::size_t room = (bytes.size() - sizeof head) / sizeof(Entry);
  std::vector<Entry> list(head.count < room ? head.count : room);
  if (!list.empty()) std::memcpy(list.data(), bytes.data() + sizeof head, list.size() * sizeof(Entry));
  return list;
}

}  // namespace kvm
