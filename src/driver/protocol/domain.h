#pragma once

#include "driver/protocol/types.h"

/// What domains are, and their lifecycle.
namespace protocol {

struct DomainCreateArgs {
  Domain dom;
};

template <>
struct Wire<Procedure::domain_create> : Call<DomainCreateArgs, Void> {};

struct DomainCreateWithFlagsArgs {
  Domain dom;
  std::uint32_t flags;
};

struct DomainCreateWithFlagsRet {
  Domain dom;
};

template <>
struct Wire<Procedure::domain_create_with_flags> : Call<DomainCreateWithFlagsArgs, DomainCreateWithFlagsRet> {};

struct DomainCreateXmlArgs {
  String<> xml_desc;
  std::uint32_t flags;
};

struct DomainCreateXmlRet {
  Domain dom;
};

template <>
struct Wire<Procedure::domain_create_xml> : Call<DomainCreateXmlArgs, DomainCreateXmlRet> {};

struct DomainCreateWithFilesArgs {
  Domain dom;
  std::uint32_t flags;
};

struct DomainCreateWithFilesRet {
  Domain dom;
};

template <>
struct Wire<Procedure::domain_create_with_files> : Call<DomainCreateWithFilesArgs, DomainCreateWithFilesRet> {};

struct DomainDefineXmlArgs {
  String<> xml;
};

struct DomainDefineXmlRet {
  Domain dom;
};

template <>
struct Wire<Procedure::domain_define_xml> : Call<DomainDefineXmlArgs, DomainDefineXmlRet> {};

struct DomainDefineXmlFlagsArgs {
  String<> xml;
  std::uint32_t flags;
};

struct DomainDefineXmlFlagsRet {
  Domain dom;
};

template <>
struct Wire<Procedure::domain_define_xml_flags> : Call<DomainDefineXmlFlagsArgs, DomainDefineXmlFlagsRet> {};

struct DomainUndefineArgs {
  Domain dom;
};

template <>
struct Wire<Procedure::domain_undefine> : Call<DomainUndefineArgs, Void> {};

struct DomainUndefineFlagsArgs {
  Domain dom;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_undefine_flags> : Call<DomainUndefineFlagsArgs, Void> {};

struct DomainDestroyArgs {
  Domain dom;
};

template <>
struct Wire<Procedure::domain_destroy> : Call<DomainDestroyArgs, Void> {};

struct DomainDestroyFlagsArgs {
  Domain dom;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_destroy_flags> : Call<DomainDestroyFlagsArgs, Void> {};

struct DomainSuspendArgs {
  Domain dom;
};

template <>
struct Wire<Procedure::domain_suspend> : Call<DomainSuspendArgs, Void> {};

struct DomainResumeArgs {
  Domain dom;
};

template <>
struct Wire<Procedure::domain_resume> : Call<DomainResumeArgs, Void> {};

struct DomainShutdownArgs {
  Domain dom;
};

template <>
struct Wire<Procedure::domain_shutdown> : Call<DomainShutdownArgs, Void> {};

struct DomainShutdownFlagsArgs {
  Domain dom;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_shutdown_flags> : Call<DomainShutdownFlagsArgs, Void> {};

struct DomainRebootArgs {
  Domain dom;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_reboot> : Call<DomainRebootArgs, Void> {};

struct DomainResetArgs {
  Domain dom;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_reset> : Call<DomainResetArgs, Void> {};

struct DomainGetInfoArgs {
  Domain dom;
};

struct DomainGetInfoRet {
  std::uint8_t state;
  std::uint64_t max_mem;
  std::uint64_t memory;
  std::uint16_t nr_virt_cpu;
  std::uint64_t cpu_time;
};

template <>
struct Wire<Procedure::domain_get_info> : Call<DomainGetInfoArgs, DomainGetInfoRet> {};

struct DomainGetStateArgs {
  Domain dom;
  std::uint32_t flags;
};

struct DomainGetStateRet {
  std::int32_t state;
  std::int32_t reason;
};

template <>
struct Wire<Procedure::domain_get_state> : Call<DomainGetStateArgs, DomainGetStateRet> {};

struct DomainGetXmlDescArgs {
  Domain dom;
  std::uint32_t flags;
};

struct DomainGetXmlDescRet {
  String<> xml;
};

template <>
struct Wire<Procedure::domain_get_xml_desc> : Call<DomainGetXmlDescArgs, DomainGetXmlDescRet> {};

struct DomainGetOsTypeArgs {
  Domain dom;
};

struct DomainGetOsTypeRet {
  String<> type;
};

template <>
struct Wire<Procedure::domain_get_os_type> : Call<DomainGetOsTypeArgs, DomainGetOsTypeRet> {};

struct DomainGetAutostartArgs {
  Domain dom;
};

struct DomainGetAutostartRet {
  std::int32_t autostart;
};

template <>
struct Wire<Procedure::domain_get_autostart> : Call<DomainGetAutostartArgs, DomainGetAutostartRet> {};

struct DomainSetAutostartArgs {
  Domain dom;
  std::int32_t autostart;
};

template <>
struct Wire<Procedure::domain_set_autostart> : Call<DomainSetAutostartArgs, Void> {};

struct DomainIsActiveArgs {
  Domain dom;
};

struct DomainIsActiveRet {
  std::int32_t active;
};

template <>
struct Wire<Procedure::domain_is_active> : Call<DomainIsActiveArgs, DomainIsActiveRet> {};

struct DomainIsPersistentArgs {
  Domain dom;
};

struct DomainIsPersistentRet {
  std::int32_t persistent;
};

template <>
struct Wire<Procedure::domain_is_persistent> : Call<DomainIsPersistentArgs, DomainIsPersistentRet> {};

struct DomainIsUpdatedArgs {
  Domain dom;
};

struct DomainIsUpdatedRet {
  std::int32_t updated;
};

template <>
struct Wire<Procedure::domain_is_updated> : Call<DomainIsUpdatedArgs, DomainIsUpdatedRet> {};

struct DomainRenameArgs {
  Domain dom;
  std::optional<String<>> new_name;
  std::uint32_t flags;
};

struct DomainRenameRet {
  std::int32_t retcode;
};

template <>
struct Wire<Procedure::domain_rename> : Call<DomainRenameArgs, DomainRenameRet> {};

struct DomainSetMetadataArgs {
  Domain dom;
  std::int32_t type;
  std::optional<String<>> metadata;
  std::optional<String<>> key;
  std::optional<String<>> uri;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_set_metadata> : Call<DomainSetMetadataArgs, Void> {};

struct DomainGetMetadataArgs {
  Domain dom;
  std::int32_t type;
  std::optional<String<>> uri;
  std::uint32_t flags;
};

struct DomainGetMetadataRet {
  String<> metadata;
};

template <>
struct Wire<Procedure::domain_get_metadata> : Call<DomainGetMetadataArgs, DomainGetMetadataRet> {};

struct DomainGetJobInfoArgs {
  Domain dom;
};

struct DomainGetJobInfoRet {
  std::int32_t type;
  std::uint64_t time_elapsed;
  std::uint64_t time_remaining;
  std::uint64_t data_total;
  std::uint64_t data_processed;
  std::uint64_t data_remaining;
  std::uint64_t mem_total;
  std::uint64_t mem_processed;
  std::uint64_t mem_remaining;
  std::uint64_t file_total;
  std::uint64_t file_processed;
  std::uint64_t file_remaining;
};

template <>
struct Wire<Procedure::domain_get_job_info> : Call<DomainGetJobInfoArgs, DomainGetJobInfoRet> {};

struct DomainGetJobStatsArgs {
  Domain dom;
  std::uint32_t flags;
};

struct DomainGetJobStatsRet {
  std::int32_t type;
  Array<TypedParam, max::domain_job_stats> params;
};

template <>
struct Wire<Procedure::domain_get_job_stats> : Call<DomainGetJobStatsArgs, DomainGetJobStatsRet> {};

struct DomainAbortJobArgs {
  Domain dom;
};

template <>
struct Wire<Procedure::domain_abort_job> : Call<DomainAbortJobArgs, Void> {};

struct DomainAbortJobFlagsArgs {
  Domain dom;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_abort_job_flags> : Call<DomainAbortJobFlagsArgs, Void> {};

struct DomainGetControlInfoArgs {
  Domain dom;
  std::uint32_t flags;
};

struct DomainGetControlInfoRet {
  std::uint32_t state;
  std::uint32_t details;
  std::uint64_t state_time;
};

template <>
struct Wire<Procedure::domain_get_control_info> : Call<DomainGetControlInfoArgs, DomainGetControlInfoRet> {};

struct DomainGetHostnameArgs {
  Domain dom;
  std::uint32_t flags;
};

struct DomainGetHostnameRet {
  String<> hostname;
};

template <>
struct Wire<Procedure::domain_get_hostname> : Call<DomainGetHostnameArgs, DomainGetHostnameRet> {};

struct DomainGetMessagesArgs {
  Domain dom;
  std::uint32_t flags;
};

struct DomainGetMessagesRet {
  Array<String<>, max::domain_messages> msgs;
};

template <>
struct Wire<Procedure::domain_get_messages> : Call<DomainGetMessagesArgs, DomainGetMessagesRet> {};

struct DomainGetSecurityLabelArgs {
  Domain dom;
};

struct DomainGetSecurityLabelRet {
  Array<std::int8_t, max::security_label> label;
  std::int32_t enforcing;
};

template <>
struct Wire<Procedure::domain_get_security_label> : Call<DomainGetSecurityLabelArgs, DomainGetSecurityLabelRet> {};

struct DomainGetSecurityLabelListArgs {
  Domain dom;
};

struct DomainGetSecurityLabelListRet {
  Array<DomainGetSecurityLabelRet, max::security_label_list> labels;
  std::int32_t ret;
};

template <>
struct Wire<Procedure::domain_get_security_label_list>
    : Call<DomainGetSecurityLabelListArgs, DomainGetSecurityLabelListRet> {};

struct DomainGetTimeArgs {
  Domain dom;
  std::uint32_t flags;
};

struct DomainGetTimeRet {
  std::int64_t seconds;
  std::uint32_t nseconds;
};

template <>
struct Wire<Procedure::domain_get_time> : Call<DomainGetTimeArgs, DomainGetTimeRet> {};

struct DomainSetTimeArgs {
  Domain dom;
  std::int64_t seconds;
  std::uint32_t nseconds;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_set_time> : Call<DomainSetTimeArgs, Void> {};

struct DomainGetGuestInfoArgs {
  Domain dom;
  std::uint32_t types;
  std::uint32_t flags;
};

struct DomainGetGuestInfoRet {
  Array<TypedParam, max::domain_guest_info_params> params;
};

template <>
struct Wire<Procedure::domain_get_guest_info> : Call<DomainGetGuestInfoArgs, DomainGetGuestInfoRet> {};

struct DomainFsinfo {
  String<> mountpoint;
  String<> name;
  String<> fstype;
  Array<String<>, max::domain_fsinfo_disks> dev_aliases;
};

struct DomainGetFsinfoArgs {
  Domain dom;
  std::uint32_t flags;
};

struct DomainGetFsinfoRet {
  Array<DomainFsinfo, max::domain_fsinfo> info;
  std::uint32_t ret;
};

template <>
struct Wire<Procedure::domain_get_fsinfo> : Call<DomainGetFsinfoArgs, DomainGetFsinfoRet> {};

struct DomainFstrimArgs {
  Domain dom;
  std::optional<String<>> mount_point;
  std::uint64_t minimum;
  std::uint32_t flags;
};

template <>
struct Wire<Procedure::domain_fstrim> : Call<DomainFstrimArgs, Void> {};

struct DomainHasManagedSaveImageArgs {
  Domain dom;
  std::uint32_t flags;
};

struct DomainHasManagedSaveImageRet {
  std::int32_t result;
};

template <>
struct Wire<Procedure::domain_has_managed_save_image>
    : Call<DomainHasManagedSaveImageArgs, DomainHasManagedSaveImageRet> {};

struct DomainManagedSaveGetXmlDescArgs {
  Domain dom;
  std::uint32_t flags;
};

struct DomainManagedSaveGetXmlDescRet {
  String<> xml;
};

template <>
struct Wire<Procedure::domain_managed_save_get_xml_desc>
    : Call<DomainManagedSaveGetXmlDescArgs, DomainManagedSaveGetXmlDescRet> {};

}  // namespace protocol
