#include "driver/core/error.h"

#include <cstring>
#include <utility>

namespace core {
namespace {

/// The phrase libvirt puts before a message of this code.
const char* phrase(ErrorCode code) {
  switch (code) {
    case ErrorCode::ok: return "";
    case ErrorCode::internal_error: return "internal error";
    case ErrorCode::no_memory: return "out of memory";
    case ErrorCode::no_support: return "this function is not supported by the connection driver";
    case ErrorCode::no_connect: return "no connection driver available for";
    case ErrorCode::invalid_conn: return "invalid connection pointer in";
    case ErrorCode::invalid_domain: return "invalid domain pointer in";
    case ErrorCode::invalid_arg: return "invalid argument";
    case ErrorCode::operation_failed: return "operation failed";
    case ErrorCode::os_type: return "unknown OS type";
    case ErrorCode::no_source: return "missing source information for device";
    case ErrorCode::no_target: return "missing target information for device";
    case ErrorCode::no_name: return "missing name information";
    case ErrorCode::xml_error: return "XML error";
    case ErrorCode::dom_exist: return "this domain exists already";
    case ErrorCode::operation_denied: return "operation forbidden";
    case ErrorCode::open_failed: return "failed to open";
    case ErrorCode::read_failed: return "failed to read";
    case ErrorCode::parse_failed: return "failed to parse";
    case ErrorCode::conf_syntax: return "configuration file syntax error";
    case ErrorCode::write_failed: return "failed to write";
    case ErrorCode::xml_detail: return "";
    case ErrorCode::system_error: return "";
    case ErrorCode::rpc: return "";
    case ErrorCode::no_domain: return "Domain not found";
    case ErrorCode::no_network: return "Network not found";
    case ErrorCode::invalid_mac: return "invalid MAC address";
    case ErrorCode::auth_failed: return "authentication failed";
    case ErrorCode::no_storage_pool: return "Storage pool not found";
    case ErrorCode::no_storage_volume: return "Storage volume not found";
    case ErrorCode::no_node_device: return "Node device not found";
    case ErrorCode::operation_invalid: return "Requested operation is not valid";
    case ErrorCode::no_interface: return "Interface not found";
    case ErrorCode::no_nwfilter: return "Network filter not found";
    case ErrorCode::no_secret: return "Secret not found";
    case ErrorCode::config_unsupported: return "unsupported configuration";
    case ErrorCode::operation_timeout: return "Timed out during operation";
    case ErrorCode::no_domain_snapshot: return "Domain snapshot not found";
    case ErrorCode::invalid_stream: return "invalid stream pointer in";
    case ErrorCode::argument_unsupported: return "argument unsupported";
    case ErrorCode::operation_aborted: return "operation aborted";
    case ErrorCode::auth_cancelled: return "authentication cancelled";
    case ErrorCode::no_domain_metadata: return "metadata not found";
    case ErrorCode::overflow: return "numerical overflow";
    case ErrorCode::operation_unsupported: return "Operation not supported";
    case ErrorCode::agent_unresponsive: return "Guest agent is not responding";
    case ErrorCode::resource_busy: return "resource busy";
    case ErrorCode::access_denied: return "access denied";
    case ErrorCode::xml_invalid_schema: return "XML document failed to validate against schema";
    case ErrorCode::auth_unavailable: return "authentication unavailable";
    case ErrorCode::device_missing: return "device not found";
    case ErrorCode::no_nwfilter_binding: return "Network filter binding not found";
    case ErrorCode::no_domain_checkpoint: return "Domain checkpoint not found";
    case ErrorCode::no_domain_backup: return "Domain backup job id not found";
    case ErrorCode::no_hostname: return "no hostname found";
  }
  return "";
}

std::string message_for(ErrorCode code, const std::string& detail) {
  const std::string before = phrase(code);
  if (before.empty()) return detail;
  return detail.empty() ? before : before + ": " + detail;
}

}  // namespace

Error::Error(ErrorCode code, std::string detail, ErrorDomain domain)
    : code_(code), domain_(domain), detail_(std::move(detail)), message_(message_for(code, detail_)) {}

Error Error::system(int errno_value, std::string detail) {
  Error error(ErrorCode::system_error, std::move(detail) + ": " + std::strerror(errno_value));
  error.errno_value_ = errno_value;
  return error;
}

Error Error::plain(ErrorCode code, std::string message) {
  Error error(code, std::move(message));
  error.message_ = error.detail_;
  return error;
}

}  // namespace core
