#include "driver/instance/settings.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>

#include "driver/core/error.h"

namespace instance {
namespace {

using core::Error;
using core::ErrorCode;

/// Keys that promise protection this driver does not give, and the values that ask for none.
void refuse_unkept_promises(const core::Conf& conf) {
  enum class Unless { zero, none, never };
  static constexpr std::pair<const char*, Unless> keys[] = {{"security_driver", Unless::none},
                                                            {"security_default_confined", Unless::zero},
                                                            {"security_require_confined", Unless::zero},
                                                            {"namespaces", Unless::none},
                                                            {"cgroup_device_acl", Unless::never},
                                                            {"lock_manager", Unless::never},
                                                            {"vnc_tls", Unless::zero},
                                                            {"vnc_sasl", Unless::zero},
                                                            {"spice_tls", Unless::zero},
                                                            {"spice_sasl", Unless::zero},
                                                            {"chardev_tls", Unless::zero},
                                                            {"migrate_tls", Unless::zero},
                                                            {"backup_tls", Unless::zero},
                                                            {"nbd_tls", Unless::zero},
                                                            {"vxhs_tls", Unless::zero},
                                                            {"tls_x509_verify", Unless::zero},
                                                            {"default_tls_x509_verify", Unless::zero}};
  const auto promises = [&](const char* key, Unless unless) {
    if (!conf.has(key) || unless == Unless::never) return conf.has(key);
    if (unless == Unless::zero) return *conf.boolean(key);
    return std::ranges::any_of(*conf.strings(key), [](const std::string& value) { return value != "none"; });
  };
  for (const auto& [key, unless] : keys) {
    if (promises(key, unless))
      throw Error(ErrorCode::config_unsupported, conf.where(key) + ": " + key + " is not implemented");
  }
}

/// Debian's and Fedora's users for emulators.
std::optional<host::Identity> default_identity() {
  for (const char* user : {"libvirt-qemu", "qemu"}) {
    if (const passwd* entry = getpwnam(user)) return host::identity_of(entry->pw_uid, entry->pw_gid);
  }
  return {};
}

}  // namespace

Settings Settings::read(const core::Conf& conf, bool privileged) {
  refuse_unkept_promises(conf);
  Settings settings;
  settings.dynamic_ownership = conf.boolean("dynamic_ownership").value_or(true) && privileged;
  if (const auto sandbox = conf.integer("seccomp_sandbox")) settings.seccomp_sandbox = *sandbox != 0;
  settings.max_queued = conf.unsigned_integer("max_queued").value_or(0);
  if (privileged) {
    const auto user = conf.string("user");
    const auto group = conf.string("group");
    const auto identity = default_identity();
    settings.identity = identity.value_or(host::Identity{});
    settings.root_unasked = !user && !identity;
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
