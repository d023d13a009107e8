#pragma once

#include <sys/types.h>

#include <string>

namespace host {

/// Whether the file's POSIX ACL has an entry of this user's own, whatever it allows.
bool find_acl_user(const std::string& path, uid_t user) noexcept;

/// Lets the user read the file, and nobody else. False with errno; EOPNOTSUPP where the file system has no ACLs,
/// and where the file's ACL could not let one read without letting others.
bool allow_acl_user(const std::string& path, uid_t user) noexcept;

/// Takes that back: the user's entry goes, and with the last entry the ACL; the group bits are as in `mode`, which it
/// had before, unless somebody has changed its mode since. A file without such an entry stays as it is.
void forbid_acl_user(const std::string& path, uid_t user, mode_t mode) noexcept;

}  // namespace host
