#include <algorithm>
#include <array>

#include "driver/core/error.h"
#include "driver/emulator/command.h"
#include "driver/emulator/devices.h"
#include "driver/emulator/dialect.h"

// Adding to and taking from a running machine: the options of the command line as QMP commands.
namespace emulator {
namespace {

using core::Error;
using core::ErrorCode;

/// What makes the thing an option stands for, the argument that the option's head is, and what removes it again and by
/// which name.
struct Form {
  std::string_view flag;
  const char* add;
  const char* head;
  const char* remove;
  const char* key;
};
constexpr Form forms[] = {
    {"-blockdev", "blockdev-add", "driver", "blockdev-del", "node-name"},
    {"-drive", "blockdev-add", "driver", "blockdev-del", "node-name"},
    {"-netdev", "netdev_add", "type", "netdev_del", "id"},
    {"-object", "object-add", "qom-type", "object-del", "id"},
    {"-device", "device_add", "driver", "device_del", "id"},
};

Json to_json(const Value& value) {
  return std::visit(Overloaded{
                        [](Flag) { return Json(true); },
                        [](bool boolean) { return Json(boolean); },
                        [](std::uint64_t number) { return Json(number); },
                        [](Hex number) { return Json(number.value); },
                        [](const std::string& text) { return Json(text); },
                    },
                    value);
}

/// A dot in a name goes one object deeper, as in QEMU's own reading of -blockdev.
Json nested(const Properties& properties) {
  Json object = Json::object();
  for (const auto& [name, value] : properties) {
    Json* place = &object;
    std::string_view rest = name;
    for (auto dot = rest.find('.'); dot != std::string_view::npos; dot = rest.find('.')) {
      place = &(*place)[std::string(rest.substr(0, dot))];
      rest.remove_prefix(dot + 1);
    }
    (*place)[std::string(rest)] = to_json(value);
  }
  return object;
}

/// StratoVirt's blockdev-add has QEMU's shape, where its -drive is flat and text; the original's has a word of its own
/// for io_uring.
Json stratovirt_drive(const Properties& drive, const Capabilities& capabilities) {
  Json object = {{"file", {{"driver", "file"}}}};
  for (const auto& [name, value] : drive) {
    const Json json = to_json(value);
    if (name == "file") {
      object["file"]["filename"] = json;
    } else if (name == "aio") {
      object["file"]["aio"] = json == "io_uring" && !capabilities.is_own() ? Json("iouring") : json;
    } else if (name == "direct") {
      object["cache"]["direct"] = json == "true";
    } else if (name == "id" || name == "format" || name == "readonly") {
      object[name == "id" ? "node-name" : name == "format" ? "driver" : "read-only"] = json;
    } else if (name != "if") {
      object[name] = json;
    }
  }
  return object;
}

/// StratoVirt's device_add, whose members have types of their own.
void as_stratovirt_device(Json& object) {
  if (object.contains("bootindex")) {
    object["boot_index"] = object["bootindex"];
    object.erase("bootindex");
  }
  if (object.contains("mq")) object["mq"] = object["mq"] == true ? "on" : "off";
  if (object.contains("vectors")) object["vectors"] = object["vectors"].dump();
}

Json arguments(const Option& option, const Form& form, const Capabilities& capabilities) {
  if (option.flag == "-drive") return stratovirt_drive(option.properties, capabilities);
  Json object = nested(option.properties);
  object[form.head] = option.head;
  if (capabilities.kind == Kind::stratovirt && option.flag == "-device") as_stratovirt_device(object);
  return object;
}

const Form& form_of(const Option& option) {
  const auto* found = std::ranges::find(forms, option.flag, &Form::flag);
  if (found == std::end(forms)) {
    throw Error(ErrorCode::operation_unsupported,
                "a device that needs '" + option.flag + "' cannot be added to a running machine");
  }
  return *found;
}

/// The kinds of device that can come and go: StratoVirt's are the rows of its device_add.
bool can_be_added(const domain::Device& device, Kind kind) {
  return std::visit(Overloaded{
                        [](const domain::Disk&) { return true; },
                        [](const domain::Interface&) { return true; },
                        [](const domain::Hostdev&) { return true; },
                        [kind](const domain::Rng&) { return kind == Kind::qemu; },
                        [kind](const domain::Vsock&) { return kind == Kind::qemu; },
                        [](const auto&) { return false; },
                    },
                    device);
}

}  // namespace

std::vector<Attachment> attach(const domain::Domain& domain, const domain::Device& device, const Resources& resources,
                               const Capabilities& capabilities) {
  const std::string alias = domain::info(device).alias;
  if (!can_be_added(device, capabilities.kind)) {
    throw Error(ErrorCode::operation_unsupported,
                std::string(to_string(capabilities.kind)) + " cannot add '" + alias + "' to a running machine");
  }
  std::vector<Attachment> result;
  for (const Option& option : device_options(domain, device, resources, capabilities)) {
    const Form& form = form_of(option);
    Json added = arguments(option, form, capabilities);
    const Json name = added.at(form.key);
    result.push_back({{form.add, std::move(added)}, Request{form.remove, {{form.key, name}}}});
  }
  if (const auto* disk = std::get_if<domain::Disk>(&device);
      disk != nullptr && capabilities.kind == Kind::qemu && disk->iotune != domain::IoTune{}) {
    result.push_back({set_iotune(*disk, disk->iotune, capabilities), std::nullopt});
  }
  return result;
}

Request detach(const domain::Device& device) {
  return {"device_del", {{"id", domain::info(device).alias}}};
}

std::vector<Request> after_detach(const domain::Device& device) {
  using Requests = std::vector<Request>;
  return std::visit(
      Overloaded{
          [](const domain::Disk& disk) { return Requests{{"blockdev-del", {{"node-name", drive_id(disk)}}}}; },
          [](const domain::Interface& card) { return Requests{{"netdev_del", {{"id", netdev_id(card)}}}}; },
          [](const domain::Rng& rng) { return Requests{{"object-del", {{"id", related_id("obj", rng.info.alias)}}}}; },
          [](const auto&) { return Requests{}; },
      },
      device);
}

}  // namespace emulator
