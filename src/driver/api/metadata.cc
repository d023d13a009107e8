#include "driver/domain/metadata.h"

#include "driver/api/change.h"
#include "driver/core/error.h"
#include "driver/protocol/domain.h"

// What tools and people write about a domain: its title, its description, and an element of each namespace.
namespace api {
namespace {

using namespace protocol;
using core::Error;
using core::ErrorCode;
using core::Task;

/// virDomainMetadataType.
enum Kind { description, title, element };

std::string text(const std::optional<String<>>& given) {
  return given.value_or(String<>());
}

void set(domain::Domain& domain, const DomainSetMetadataArgs& args) {
  switch (args.type) {
    case description: domain.description = text(args.metadata); return;
    case title:
      if (text(args.metadata).find('\n') != std::string::npos) {
        throw Error(ErrorCode::invalid_arg, "metadata title can't contain newlines");
      }
      domain.title = text(args.metadata);
      return;
    case element: domain::set_metadata(domain, args.metadata, text(args.key), text(args.uri)); return;
    default: throw Error(ErrorCode::invalid_arg, "unknown metadata type");
  }
}

Task<void> set_metadata(Client* client, DomainSetMetadataArgs args) {
  require_flags(args.flags, affect_live | affect_config, "virDomainSetMetadata");
  const auto [subject, job] = co_await claim(client, args.dom, "remoteDispatchDomainSetMetadata");
  const Impact meant = impact(*subject, args.flags);
  if (meant.live) {  // refused before anything is changed
    domain::Domain tried = subject->description();
    set(tried, args);
  }
  if (meant.config) {
    domain::Domain config = *subject->config();
    set(config, args);
    co_await client->registry().redefine(subject, std::move(config));
  }
  if (meant.live) edit_live(*subject, [&args](domain::Domain& live) { set(live, args); });
  deliver(client->driver(), *subject, instance::MetadataChanged{args.type, args.uri});
}

DomainGetMetadataRet get_metadata(Client& client, const DomainGetMetadataArgs& args) {
  require_flags(args.flags, affect_live | affect_config, "virDomainGetMetadata");
  const auto subject = client.find(args.dom);
  const domain::Domain& domain = described(*subject, args.flags);
  std::string found;
  switch (args.type) {
    case description: found = domain.description; break;
    case title: found = domain.title; break;
    case element: return {domain::get_metadata(domain, text(args.uri))};
    default: throw Error(ErrorCode::invalid_arg, "unknown metadata type");
  }
  if (found.empty()) throw Error(ErrorCode::no_domain_metadata, "Requested metadata element is not present");
  return {found};
}

}  // namespace

void add_metadata(Handlers& handlers) {
  handlers.add<Procedure::domain_set_metadata>(set_metadata);
  handlers.add<Procedure::domain_get_metadata>(get_metadata);
}

}  // namespace api
