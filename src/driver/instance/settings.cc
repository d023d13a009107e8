#include "driver/instance/settings.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "driver/core/error.h"

namespace instance {
namespace {

using core::Error;
using core::ErrorCode;

/// Keys that promise protection this driver does not give, and the values that ask for none.
void refuse_unkept_promises(const core::Conf& conf) {
  static constexpr const char* keys[] = {
      "security_driver", "namespaces", "vnc_tls",  "spice_tls",       "chardev_tls",
      "migrate_tls",     "nbd_tls",    "vxhs_tls", "tls_x509_verify", "default_tls_x509_verify"};
  for (const char* key : keys) {
    if (!conf.has(key)) continue;
    const std::string name = key;
    if (name == "security_driver" || name == "namespaces") {
      bool none = true;
      const auto values = conf.strings(key);
      for (const std::string& value : *values) none = none && value == "none";
      if (none) continue;
    } else if (!*conf.boolean(key)) {
      continue;
    }
    throw Error(ErrorCode::config_unsupported, conf.where(key) + ": " + name + " is not implemented");
  }
}

/// Debian's and Fedora's users for emulators, root where the host has neither.
host::Identity default_identity() {
  for (const char* user : {"libvirt-qemu", "qemu"}) {
    if (const passwd* entry = getpwnam(user)) return host::identity_of(entry->pw_uid, entry->pw_gid);
  }
  return {0, 0, {}};
}

}  // namespace

Settings Settings::read(const core::Conf& conf, bool privileged) {
  refuse_unkept_promises(conf);
  Settings settings;
  settings.dynamic_ownership = conf.boolean("dynamic_ownership").value_or(true) && privileged;
  if (const auto sandbox = conf.integer("seccomp_sandbox")) settings.seccomp_sandbox = *sandbox != 0;
  settings.max_queued = conf.unsigned_integer("max_queued").value_or(0);
  if (privileged) {
    settings.identity = default_identity();
    const auto user = conf.string("user");
    const auto group = conf.string("group");
    if (user || group) {
      const uid_t uid = user ? host::user_id(*user) : settings.identity.uid;
      const gid_t gid = group ? host::group_id(*group) : settings.identity.gid;
      settings.identity = host::identity_of(uid, gid);
    }
  } else {
    settings.identity = {getuid(), getgid(), {}};
  }
  if (const auto pairs = conf.strings("nvram")) {
    for (const std::string& pair : *pairs) {
      const auto colon = pair.find(':');
      if (colon == std::string::npos) {
        throw Error(ErrorCode::conf_syntax, conf.where("nvram") + ": '" + pair + "' is not LOADER:TEMPLATE");
      }
      settings.nvram.emplace_back(pair.substr(0, colon), pair.substr(colon + 1));
    }
  }
  return settings;
}

}  // namespace instance
