#include "driver/protocol/connect.h"

#include <algorithm>

#include "driver/api/capabilities.h"
#include "driver/api/client.h"
#include "driver/api/emulators.h"
#include "driver/core/error.h"
#include "driver/emulator/command.h"
#include "driver/host/facts.h"
#include "driver/instance/firmware.h"

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

Task<ConnectGetVersionRet> get_version(Client* client) {
  co_return ConnectGetVersionRet{co_await hypervisor_version(&client->registry().prober())};
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

Task<ConnectGetCapabilitiesRet> get_capabilities(Client* client) {
  co_return ConnectGetCapabilitiesRet{co_await capabilities_xml(&client->registry().prober())};
}

std::optional<std::string> given(const std::optional<String<>>& text) {
  return text ? std::optional<std::string>(*text) : std::nullopt;
}

Task<ConnectGetDomainCapabilitiesRet> get_domain_capabilities(Client* client, ConnectGetDomainCapabilitiesArgs args) {
  require_flags(args.flags, 0, "virConnectGetDomainCapabilities");
  Question question{given(args.emulatorbin), given(args.arch), given(args.machine), given(args.virt_type)};
  co_return ConnectGetDomainCapabilitiesRet{co_await domain_capabilities_xml(
      &client->driver().loop, &client->registry().prober(), &client->driver().layout, std::move(question))};
}

Task<ConnectGetMaxVcpusRet> get_max_vcpus(Client* client, ConnectGetMaxVcpusArgs args) {
  const unsigned most = co_await max_vcpus(&client->registry().prober(), given(args.type));
  co_return ConnectGetMaxVcpusRet{static_cast<std::int32_t>(most)};
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

Task<ConnectDomainXmlToNativeRet> xml_to_native(Client* client, ConnectDomainXmlToNativeArgs args) {
  require_flags(args.flags, 0, "virConnectDomainXMLToNative");
  domain::Domain domain = domain::parse(args.domain_xml);
  const bool stratovirt = args.native_format == "stratovirt-argv";
  if (!stratovirt && args.native_format != "qemu-argv")
    throw Error(ErrorCode::invalid_arg, "unsupported config type " + args.native_format);
  domain.type = stratovirt ? domain::Type::kvm : domain::Type::qemu;
  if (domain.os.firmware && !stratovirt) {
    const auto found = co_await default_emulator(&client->registry().prober(), domain.type, domain.os.arch);
    const std::string machine = found ? found->capabilities.canonical(domain.os.machine) : domain.os.machine;
    const core::Layout& layout = client->driver().layout;
    const auto all = co_await client->driver().loop.blocking([&] { return instance::read_firmwares(layout); });
    emulator::use_firmware(domain, emulator::choose_firmware(all, domain, machine));
    domain.os.nvram->path = instance::nvram_path(domain, layout);
  }
  domain::assign_aliases(domain);
  co_return ConnectDomainXmlToNativeRet{
      emulator::to_native(domain, stratovirt ? emulator::Kind::stratovirt : emulator::Kind::qemu)};
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
