#include "driver/protocol/connect.h"

#include <algorithm>

#include "driver/api/capabilities.h"
#include "driver/api/client.h"
#include "driver/core/error.h"
#include "driver/emulator/command.h"
#include "driver/host/facts.h"
#include "driver/host/spawn.h"
#include "driver/instance/probe.h"

namespace api {
namespace {

using namespace protocol;
using core::Error;
using core::ErrorCode;
using core::Task;

/// libvirt's release whose protocol this is: 9.0.0.
constexpr std::uint64_t library_version = 9'000'000;

AuthListRet list_auth(Client&) {
  AuthListRet ret;
  ret.types.push_back(AuthType::none);
  return ret;
}

/// A client that names no URI knows none but libvirtd's socket: it gets what it would find there.
void open(Client& client, const ConnectOpenArgs& args) {
  const Driver& driver = client.driver();
  const auto& aliases = driver.uri_aliases;
  if (!args.name || args.name->empty()) {
    if (!aliases.empty()) client.set_uri(aliases.front());
  } else if (std::ranges::find(aliases, *args.name) != aliases.end()) {
    client.set_uri(*args.name);
  } else if (*args.name != driver.uri()) {
    throw Error(ErrorCode::no_connect, "URI '" + *args.name + "', here is '" + driver.uri() + "'");
  }
  client.open();
}

void close(Client& client) {
  client.connection().close_when_sent();
}

/// By an alias, all of which are of libvirt's QEMU driver, the name that its clients look for.
ConnectGetTypeRet get_type(Client& client) {
  return {client.uri() == client.driver().uri() ? "StratoVirt" : "QEMU"};
}
ConnectGetLibVersionRet get_lib_version(Client&) {
  return {library_version};
}
ConnectGetHostnameRet get_hostname(Client&) {
  return {host::hostname()};
}
ConnectGetUriRet get_uri(Client& client) {
  return {client.uri()};
}
ConnectIsSecureRet is_secure(Client& client) {
  return {client.connection().peer().local ? 1 : 0};
}

/// The version of the emulator that serves this host: a StratoVirt where there is one, else QEMU.
Task<ConnectGetVersionRet> get_version(Client* client) {
  const auto version = co_await client->driver().loop.blocking([]() -> std::uint64_t {
    for (const auto type : {domain::Type::kvm, domain::Type::qemu}) {
      const auto program = host::find_program(emulator::default_program(type, domain::Arch::x86_64));
      if (program) return instance::probe(*program).version.number();
    }
    throw Error(ErrorCode::internal_error,
                "Cannot find suitable emulator: neither stratovirt nor qemu-system-x86_64 is installed");
  });
  co_return ConnectGetVersionRet{version};
}

/// virDrvFeature: what of the protocol this server knows.
ConnectSupportsFeatureRet supports_feature(Client& client, const ConnectSupportsFeatureArgs& args) {
  enum {
    fd_passing = 8,
    typed_param_string = 9,
    program_keepalive = 10,
    xml_migratable = 11,
    remote_event_callback = 14,
    remote_close_callback = 15
  };
  switch (args.feature) {
    case program_keepalive: client.connection().start_keepalive(); return {1};
    case fd_passing:
    case typed_param_string:
    case xml_migratable:
    case remote_close_callback:
    case remote_event_callback: return {1};
    default: return {0};
  }
}

/// Whom a proxy speaks for. Nothing here depends on it: access is the socket's.
void set_identity(Client&, const ConnectSetIdentityArgs& args) {
  require_flags(args.flags, 0, "virConnectSetIdentity");
}

void register_close_callback(Client&) {}

ConnectGetCapabilitiesRet get_capabilities(Client&) {
  return {capabilities_xml()};
}

std::optional<std::string> given(const std::optional<String<>>& text) {
  return text ? std::optional<std::string>(*text) : std::nullopt;
}

Task<ConnectGetDomainCapabilitiesRet> get_domain_capabilities(Client* client, ConnectGetDomainCapabilitiesArgs args) {
  require_flags(args.flags, 0, "virConnectGetDomainCapabilities");
  const Question question{given(args.emulatorbin), given(args.arch), given(args.machine), given(args.virt_type)};
  co_return ConnectGetDomainCapabilitiesRet{
      co_await client->driver().loop.blocking([question] { return domain_capabilities_xml(question); })};
}

ConnectGetMaxVcpusRet get_max_vcpus(Client&, const ConnectGetMaxVcpusArgs& args) {
  return {static_cast<std::int32_t>(max_vcpus(given(args.type)))};
}

/// None is libvirt's "all are accepted": what <cpu> names goes to the emulator as it is.
ConnectGetCpuModelNamesRet get_cpu_model_names(Client&, const ConnectGetCpuModelNamesArgs& args) {
  require_flags(args.flags, 0, "virConnectGetCPUModelNames");
  require_architecture(args.arch);
  return {};
}

ConnectGetSysinfoRet get_sysinfo(Client&, const ConnectGetSysinfoArgs& args) {
  require_flags(args.flags, 0, "virConnectGetSysinfo");
  return {host::sysinfo_xml()};
}

ConnectDomainXmlToNativeRet xml_to_native(Client&, const ConnectDomainXmlToNativeArgs& args) {
  require_flags(args.flags, 0, "virConnectDomainXMLToNative");
  domain::Domain domain = domain::parse(args.domain_xml);
  if (args.native_format == "stratovirt-argv") {
    domain.type = domain::Type::kvm;
  } else if (args.native_format == "qemu-argv") {
    domain.type = domain::Type::qemu;
  } else {
    throw Error(ErrorCode::invalid_arg, "unsupported config type " + args.native_format);
  }
  domain::assign_aliases(domain);
  return {emulator::to_native(domain)};
}

}  // namespace

void add_connect(Handlers& handlers) {
  using enum Procedure;
  handlers.add<auth_list>(list_auth);
  handlers.add<connect_open>(open);
  handlers.add<connect_close>(close);
  handlers.add<connect_get_type>(get_type);
  handlers.add<connect_get_version>(get_version);
  handlers.add<connect_get_lib_version>(get_lib_version);
  handlers.add<connect_get_hostname>(get_hostname);
  handlers.add<connect_get_uri>(get_uri);
  handlers.add<connect_is_secure>(is_secure);
  handlers.add<connect_supports_feature>(supports_feature);
  handlers.add<connect_register_close_callback>(register_close_callback);
  handlers.add<connect_unregister_close_callback>(register_close_callback);
  handlers.add<connect_get_capabilities>(get_capabilities);
  handlers.add<connect_set_identity>(set_identity);
  handlers.add<connect_get_domain_capabilities>(get_domain_capabilities);
  handlers.add<connect_get_cpu_model_names>(get_cpu_model_names);
  handlers.add<connect_get_max_vcpus>(get_max_vcpus);
  handlers.add<connect_get_sysinfo>(get_sysinfo);
  handlers.add<connect_domain_xml_to_native>(xml_to_native);
}

}  // namespace api
