#include "driver/protocol/handlers.h"

#include <gmock/gmock.h>

#include "driver/protocol/connect.h"
#include "driver/protocol/domain.h"
#include "driver/protocol/domain_resources.h"
#include "driver/protocol/event.h"
#include "driver/protocol/qemu.h"
#include "driver/rpc/test_client.h"

namespace protocol {
namespace {

using rpc::testing::TestClient;

struct Client : rpc::Session {
  Client(rpc::Connection& of, const Handlers<Client>& by) : connection(of), handlers(by) {}
  void serve(rpc::Call& call) override { handlers.serve(*this, connection, call); }

  rpc::Connection& connection;
  const Handlers<Client>& handlers;
  std::string opened;
};

void connect_open(Client& client, const ConnectOpenArgs& args) {
  client.opened = args.name.value_or("");
}
ConnectGetUriRet get_uri(Client& client) {
  return {client.opened};
}
ConnectGetHostnameRet get_hostname(Client&) {
  return {std::string(rpc::max_string + 1, 'h')};
}
core::Task<DomainGetInfoRet> get_info(Client*, DomainGetInfoArgs args) {
  co_await core::sleep(std::chrono::milliseconds(1));
  if (args.dom.id < 0) {
    throw core::Error(core::ErrorCode::no_domain, "no domain with matching name '" + args.dom.name + "'");
  }
  co_return DomainGetInfoRet{1, 1024, 512, 2, 99};
}
core::Task<void> domain_create(Client*, DomainCreateArgs) {
  co_await core::sleep(std::chrono::milliseconds(1));
}
DomainGetXmlDescRet get_xml(Client&, const DomainGetXmlDescArgs&) {
  return {"<domain/>"};
}
core::Task<void> open_console(Client* client, DomainOpenConsoleArgs args, StreamPtr stream) {
  if (args.flags != 0) throw core::Error(core::ErrorCode::invalid_arg, "flags");
  client->connection.loop().spawn([](StreamPtr of) -> core::Task<void> {
    try {
      const rpc::Bytes text{'h', 'i'};
      co_await of->write(text);
      co_await of->finish();
    } catch (const core::Error&) {
    }
  }(std::move(stream)));
  co_return;
}
DomainCreateWithFilesRet create_with_files(Client&, const DomainCreateWithFilesArgs& args, Fds fds) {
  return {{args.dom.name, args.dom.uuid, static_cast<std::int32_t>(fds.size())}};
}
QemuDomainMonitorCommandRet monitor(Client&, const QemuDomainMonitorCommandArgs& args) {
  return {args.cmd};
}

class HandlersTest : public ::testing::Test {
 protected:
  HandlersTest() {
    handlers.add<Procedure::connect_open>(connect_open);
    handlers.add<Procedure::connect_get_uri>(get_uri);
    handlers.add<Procedure::connect_get_hostname>(get_hostname);
    handlers.add<Procedure::domain_get_info>(get_info);
    handlers.add<Procedure::domain_create>(domain_create);
    handlers.add<Procedure::domain_get_xml_desc>(get_xml);
    handlers.add<Procedure::domain_open_console>(open_console);
    handlers.add<Procedure::domain_create_with_files>(create_with_files);
    handlers.add<QemuProcedure::domain_monitor_command>(monitor);
  }

  TestClient connect(bool readonly = false) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) throw std::runtime_error("socketpair");
    connection = server.serve(base::UniqueFd(pair[0]), {}, readonly);
    return {loop, base::UniqueFd(pair[1])};
  }
  template <auto P>
  static rpc::Header header(std::uint32_t serial = 1, rpc::Type type = rpc::Type::call) {
    return {program_of(P), version, static_cast<std::int32_t>(P), type, serial, rpc::Status::ok};
  }
  template <auto P>
  typename Wire<P>::Ret call(TestClient& client, const typename Wire<P>::Args& args) {
    client.send(header<P>(), args);
    const auto reply = client.receive();
    if (!reply || reply->header.status != rpc::Status::ok) throw std::runtime_error("the call failed");
    return rpc::decode<typename Wire<P>::Ret>(reply->payload);
  }
  template <class T = Void>
  rpc::RemoteError error(TestClient& client, const rpc::Header& header, const T& args = {}) {
    client.send(header, args);
    const auto reply = client.receive();
    if (!reply || reply->header.status != rpc::Status::error) throw std::runtime_error("the call succeeded");
    EXPECT_EQ(reply->header.serial, header.serial);
    return reply->error();
  }

  core::Loop loop{1};
  Handlers<Client> handlers;
  rpc::Server server{loop, {}, [this](rpc::Connection& of) { return std::make_unique<Client>(of, handlers); }};
  std::shared_ptr<rpc::Connection> connection;
  const Domain domain{"guest", {}, 3};
};

TEST_F(HandlersTest, PlainFunctionsAndCoroutinesOfBothPrograms) {
  TestClient client = connect();
  call<Procedure::connect_open>(client, {String<>("stratovirt:///system"), 0});
  EXPECT_EQ(call<Procedure::connect_get_uri>(client, {}).uri, "stratovirt:///system");
  EXPECT_EQ(call<Procedure::domain_get_info>(client, {domain}).max_mem, 1024u);
  call<Procedure::domain_create>(client, {domain});
  EXPECT_EQ(call<QemuProcedure::domain_monitor_command>(client, {domain, "{}", 0}).result, "{}");
}

TEST_F(HandlersTest, ErrorsOfCoroutinesAreReplies) {
  TestClient client = connect();
  const auto fault = error(client, header<Procedure::domain_get_info>(5), DomainGetInfoArgs{{"gone", {}, -1}});
  EXPECT_EQ(fault.code, 42);
  EXPECT_EQ(fault.domain, 10);
  EXPECT_EQ(fault.message, "Domain not found: no domain with matching name 'gone'");
}

TEST_F(HandlersTest, AResultOverItsBoundIsAnErrorToo) {
  TestClient client = connect();
  EXPECT_EQ(error(client, header<Procedure::connect_get_hostname>()).message, "Unable to encode message payload");
  EXPECT_EQ(call<Procedure::connect_get_uri>(client, {}).uri, "");
}

TEST_F(HandlersTest, ArgumentsThatDoNotDecode) {
  TestClient client = connect();
  const auto fault = error(client, header<Procedure::domain_get_info>());
  EXPECT_EQ(fault.code, 39);
  EXPECT_EQ(fault.domain, 7);
  EXPECT_EQ(fault.message, "Unable to decode message payload");
}

TEST_F(HandlersTest, AKnownProcedureWithoutAHandlerIsNotSupported) {
  TestClient client = connect();
  const auto fault = error(client, header<Procedure::domain_save>());
  EXPECT_EQ(fault.code, 3);
  EXPECT_EQ(fault.domain, 20);
  EXPECT_EQ(fault.message, "this function is not supported by the connection driver: virDomainSave");
  EXPECT_EQ(error(client, header<Procedure::connect_list_all_networks>()).domain, 19);
}

TEST_F(HandlersTest, UnknownProgramsVersionsAndProcedures) {
  TestClient client = connect();
  rpc::Header header{0x12345, 1, 1, rpc::Type::call, 1, rpc::Status::ok};
  EXPECT_EQ(error(client, header).message, "Cannot find program 74565 version 1");
  header = {remote_program, 2, 1, rpc::Type::call, 1, rpc::Status::ok};
  EXPECT_EQ(error(client, header).message, "Cannot find program 536903814 version 2");
  for (const std::int32_t procedure : {0, -1, 447, 100'000, 318, -2147483647}) {
    header = {remote_program, version, procedure, rpc::Type::call, 1, rpc::Status::ok};
    const auto fault = error(client, header);
    EXPECT_EQ(fault.code, 39);
    EXPECT_EQ(fault.message, "unknown procedure: " + std::to_string(procedure));
  }
}

TEST_F(HandlersTest, AReadOnlyClientIsDenied) {
  TestClient client = connect(true);
  const auto fault = error(client, header<Procedure::domain_create>(), DomainCreateArgs{domain});
  EXPECT_EQ(fault.code, 29);
  EXPECT_EQ(fault.domain, 20);
  EXPECT_EQ(fault.message, "operation forbidden: read only access prevents virDomainCreate");
  EXPECT_EQ(call<Procedure::domain_get_xml_desc>(client, {domain, 2}).xml, "<domain/>");
  EXPECT_EQ(error(client, header<Procedure::domain_get_xml_desc>(), DomainGetXmlDescArgs{domain, 1}).message,
            "operation forbidden: virDomainGetXMLDesc with secure flag");
  EXPECT_EQ(error(client, header<QemuProcedure::domain_monitor_command>()).code, 29);
}

TEST_F(HandlersTest, BeforeAuthenticationOnlyItsOwnCalls) {
  TestClient client = connect();
  connection->set_authenticated(false);
  EXPECT_EQ(error(client, header<Procedure::connect_open>()).message, "authentication required");
  EXPECT_EQ(error(client, header<Procedure::auth_list>()).code, 3);
}

TEST_F(HandlersTest, AStreamBelongsToItsCall) {
  TestClient client = connect();
  client.send(header<Procedure::domain_open_console>(9), DomainOpenConsoleArgs{domain, {}, 0});
  EXPECT_EQ(client.receive()->header.type, rpc::Type::reply);
  const auto data = client.receive();
  EXPECT_EQ(data->header.type, rpc::Type::stream);
  EXPECT_EQ(data->header.serial, 9u);
  EXPECT_EQ(data->payload, (rpc::Bytes{'h', 'i'}));
}

TEST_F(HandlersTest, ACallThatFailsLeavesNoStream) {
  TestClient client = connect();
  for (std::uint32_t serial = 0; serial < 2 * rpc::Connection::max_streams; ++serial) {
    EXPECT_EQ(error(client, header<Procedure::domain_open_console>(serial), DomainOpenConsoleArgs{domain, {}, 1}).code,
              8);
  }
  EXPECT_TRUE(client.silent());
}

TEST_F(HandlersTest, DescriptorsReachTheHandler) {
  TestClient client = connect();
  struct Files {
    std::uint32_t count;
    DomainCreateWithFilesArgs args;
  };
  client.send(header<Procedure::domain_create_with_files>(1, rpc::Type::call_with_fds), Files{2, {domain, 0}});
  client.send_with_fd(rpc::Bytes{0}, client.fd());
  client.send_with_fd(rpc::Bytes{0}, client.fd());
  EXPECT_EQ(rpc::decode<DomainCreateWithFilesRet>(client.receive()->payload).dom.id, 2);
}

TEST_F(HandlersTest, EventsCarryTheirProceduresNumber) {
  TestClient client = connect();
  send_event<Procedure::domain_event_callback_lifecycle>(*connection, {4, {domain, 2, 0}});
  const auto event = client.receive();
  EXPECT_EQ(event->header.program, remote_program);
  EXPECT_EQ(event->header.procedure, 318);
  EXPECT_EQ(event->header.type, rpc::Type::message);
  EXPECT_EQ(rpc::decode<DomainEventCallbackLifecycleMsg>(event->payload).msg.dom.name, "guest");
}

}  // namespace
}  // namespace protocol
