#include "driver/host/acl.h"

#include <endian.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <optional>

// As the kernel has ACLs in an extended attribute (linux/posix_acl_xattr.h): a version, then entries in the order of
// their tags, all little-endian.
namespace host {
namespace {

constexpr char attribute[] = "system.posix_acl_access";
constexpr std::size_t most_entries = 1024;

using Entry = posix_acl_xattr_entry;

Entry entry(unsigned tag, unsigned permissions, std::uint32_t id = static_cast<std::uint32_t>(ACL_UNDEFINED_ID)) {
  return {htole16(static_cast<std::uint16_t>(tag)), htole16(static_cast<std::uint16_t>(permissions)), htole32(id)};
}
bool has_tag(const Entry& one, unsigned tag) {
  return le16toh(one.e_tag) == tag;
}
bool is_user(const Entry& one, uid_t user) {
  return has_tag(one, ACL_USER) && le32toh(one.e_id) == user;
}
bool may_read(const Entry& one) {
  return (le16toh(one.e_perm) & ACL_READ) != 0;
}
/// Whose rights go no further than the mask.
bool is_masked(const Entry& one) {
  return has_tag(one, ACL_USER) || has_tag(one, ACL_GROUP) || has_tag(one, ACL_GROUP_OBJ);
}

struct Acl {
  posix_acl_xattr_header head{htole32(POSIX_ACL_XATTR_VERSION)};
  std::array<Entry, most_entries> entries{};
  std::size_t count = 0;

  Entry* begin() { return entries.data(); }
  Entry* end() { return entries.data() + count; }
  bool insert(Entry* at, const Entry& one) {
    if (count == most_entries) return false;
    std::copy_backward(at, end(), end() + 1);
    *at = one;
    ++count;
    return true;
  }
  std::size_t bytes() const { return sizeof head + count * sizeof(Entry); }
};
static_assert(offsetof(Acl, entries) == sizeof(posix_acl_xattr_header));

/// What it has besides its mode; none: no entries. Nothing with errno where it does not tell.
std::optional<Acl> read(const std::string& path) {
  Acl acl;
  const ssize_t got = ::getxattr(path.c_str(), attribute, &acl, sizeof acl.head + sizeof acl.entries);
  if (got < 0) return errno == ENODATA ? std::optional(Acl()) : std::nullopt;
  if (static_cast<std::size_t>(got) < sizeof acl.head || le32toh(acl.head.a_version) != POSIX_ACL_XATTR_VERSION) {
    errno = EOPNOTSUPP;
    return std::nullopt;
  }
  acl.count = (static_cast<std::size_t>(got) - sizeof acl.head) / sizeof(Entry);
  return acl;
}

bool write(const std::string& path, const Acl& acl) {
  return ::setxattr(path.c_str(), attribute, &acl, acl.bytes(), 0) == 0;
}

}  // namespace

bool find_acl_user(const std::string& path, uid_t user) noexcept {
  auto acl = read(path);
  return acl && std::ranges::any_of(*acl, [&](const Entry& one) { return is_user(one, user); });
}

bool allow_acl_user(const std::string& path, uid_t user) noexcept {
  struct stat status{};
  auto acl = read(path);
  if (!acl || ::stat(path.c_str(), &status) < 0) return false;
  if (std::ranges::any_of(*acl, [&](const Entry& one) { return is_user(one, user); })) return true;
  if (acl->count == 0) {
    const unsigned group = status.st_mode >> 3 & 7;
    for (const Entry& one : {entry(ACL_USER_OBJ, status.st_mode >> 6 & 7), entry(ACL_GROUP_OBJ, group),
                             entry(ACL_MASK, group), entry(ACL_OTHER, status.st_mode & 7)})
      acl->insert(acl->end(), one);
  }
  const auto mask = std::ranges::find_if(*acl, [](const Entry& one) { return has_tag(one, ACL_MASK); });
  const bool masked = mask != acl->end() && !may_read(*mask);
  if (masked && std::ranges::any_of(*acl, [](const Entry& one) { return is_masked(one) && may_read(one); })) {
    errno = EOPNOTSUPP;  // the mask, once it lets the user read, would let others too
    return false;
  }
  if (masked) mask->e_perm = htole16(le16toh(mask->e_perm) | ACL_READ);
  const auto after = std::ranges::find_if(*acl, [](const Entry& one) { return has_tag(one, ACL_GROUP_OBJ); });
  if (!acl->insert(after, entry(ACL_USER, ACL_READ, user))) {
    errno = ENOSPC;
    return false;
  }
  return write(path, *acl);
}

void forbid_acl_user(const std::string& path, uid_t user, mode_t mode) noexcept {
  auto acl = read(path);
  if (!acl) return;
  const auto own = std::ranges::find_if(*acl, [&](const Entry& one) { return is_user(one, user); });
  if (own == acl->end()) return;
  std::copy(own + 1, acl->end(), own);
  --acl->count;
  const bool others =
      std::ranges::any_of(*acl, [](const Entry& one) { return has_tag(one, ACL_USER) || has_tag(one, ACL_GROUP); });
  struct stat now{};
  if (::stat(path.c_str(), &now) < 0 || !(others ? write(path, *acl) : ::removexattr(path.c_str(), attribute) == 0))
    return;
  constexpr mode_t group = 070, everyone = 07777;  // the group bits are the mask
  if ((now.st_mode & everyone & ~group) == (mode & ~group)) {
    static_cast<void>(!::chmod(path.c_str(), mode));
  } else if (!others) {  // somebody has changed it since: it goes no further than the group's own
    const auto obj = std::ranges::find_if(*acl, [](const Entry& one) { return has_tag(one, ACL_GROUP_OBJ); });
    const mode_t most = obj == acl->end() ? 0 : mode_t{le16toh(obj->e_perm)} << 3;
    static_cast<void>(!::chmod(path.c_str(), now.st_mode & ((everyone & ~group) | most)));
  }
}

}  // namespace host
