#pragma once

#include <optional>

#include "driver/domain/domain.h"

/// Changing a description by a device at a time, as attach-, detach- and update-device do. What comes out is still to
/// be given addresses and to be validated.
namespace domain {

/// The lowest index without a PCI controller, from 1. Throws Error: INTERNAL_ERROR when all 256 buses are there.
unsigned free_index(const Domain& domain);

/// Puts the device behind the others of its kind, a disk in the order of names, as libvirt. Throws Error:
/// INTERNAL_ERROR, XML_ERROR for a second of what there can be one of, as libvirt.
void add_device(Domain& domain, Device device);

/// The device of the domain that `like` means, as libvirt finds it: a disk by its target, an interface by what is
/// written of its MAC, address and alias, a host device by its source, a controller by type and index, a character
/// device by its source, target and port, a generator by its values and its address, a vsock by cid@auto and its
/// address; the balloon is the one there is. Throws Error: OPERATION_FAILED where several interfaces are meant.
std::optional<Device> find_device(const Domain& domain, const Device& like);

/// The device of that alias.
std::optional<Device> find_device(const Domain& domain, const std::string& alias);

/// Takes the device out that `like` means, and returns it. Throws Error: DEVICE_MISSING, of a character device
/// INVALID_ARG, of a vsock OPERATION_FAILED, as libvirt; OPERATION_UNSUPPORTED for a PCI controller that a device
/// stands behind.
Device remove_device(Domain& domain, const Device& like);

/// Takes the device of that alias out of what runs, whatever refers to it: it is gone. What stands on a controller that
/// went stays until it goes by itself, as in libvirt.
void forget_device(Domain& domain, const std::string& alias);

/// Puts `device` in the place of the one that `like` means; address, alias and boot order are kept where it has none of
/// its own. Throws Error as remove_device does.
void update_device(Domain& domain, Device device, const Device& like);

/// What an interface was looked up by, in libvirt's words.
std::string describe_lookup(const Interface& like);

}  // namespace domain
