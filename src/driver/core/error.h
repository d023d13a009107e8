#pragma once

#include <exception>
#include <string>

namespace core {

/// libvirt's virErrorNumber, with its values (libvirt/virterror.h). Only the numbers this driver answers with.
enum class ErrorCode : int {
  ok = 0,
  internal_error = 1,
  no_memory = 2,
  no_support = 3,
  no_connect = 5,
  invalid_conn = 6,
  invalid_domain = 7,
  invalid_arg = 8,
  operation_failed = 9,
  os_type = 16,
  no_source = 19,
  no_target = 20,
  no_name = 21,
  xml_error = 27,
  dom_exist = 28,
  operation_denied = 29,
  open_failed = 30,
  read_failed = 31,
  parse_failed = 32,
  conf_syntax = 33,
  write_failed = 34,
  xml_detail = 35,
  system_error = 38,
  rpc = 39,
  no_domain = 42,
  no_network = 43,
  invalid_mac = 44,
  auth_failed = 45,
  no_storage_pool = 49,
  no_storage_volume = 50,
  no_node_device = 53,
  operation_invalid = 55,
  no_interface = 57,
  no_nwfilter = 62,
  no_secret = 66,
  config_unsupported = 67,
  operation_timeout = 68,
  no_domain_snapshot = 72,
  invalid_stream = 73,
  argument_unsupported = 74,
  operation_aborted = 78,
  auth_cancelled = 79,
  no_domain_metadata = 80,
  overflow = 82,
  operation_unsupported = 84,
  agent_unresponsive = 86,
  resource_busy = 87,
  access_denied = 88,
  xml_invalid_schema = 92,
  auth_unavailable = 94,
  device_missing = 99,
  no_nwfilter_binding = 101,
  no_domain_checkpoint = 103,
  no_domain_backup = 104,
  no_hostname = 108,
};

/// libvirt's virErrorDomain: the part of the system that speaks (libvirt/virterror.h).
enum class ErrorDomain : int {
  none = 0,
  xml = 5,
  rpc = 7,
  conf = 9,
  qemu = 10,
  storage = 18,
  network = 19,
  domain = 20,
  nodedev = 22,
  interface = 26,
  secret = 30,
  nwfilter = 33,
  domain_snapshot = 35,
  streams = 38,
  auth = 46,
  domain_checkpoint = 69,
};

/// What goes back to a client: libvirt's code, and a message a user can act on. Thrown where the fault is seen, caught
/// once, where a reply is made. `what()` is the detail with libvirt's own phrase for the code before it, as
/// "unsupported configuration: …".
class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string detail, ErrorDomain domain = ErrorDomain::qemu);

  /// SYSTEM_ERROR from an errno value: "detail: strerror(errno_value)".
  static Error system(int errno_value, std::string detail);

  /// `message` alone, where libvirt puts no phrase before it.
  static Error plain(ErrorCode code, std::string message);

  ErrorCode code() const { return code_; }
  ErrorDomain domain() const { return domain_; }
  const std::string& detail() const { return detail_; }
  int errno_value() const { return errno_value_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorCode code_;
  ErrorDomain domain_;
  int errno_value_ = 0;
  std::string detail_;
  std::string message_;
};

}  // namespace core
