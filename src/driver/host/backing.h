#pragma once

#include <string>
#include <vector>

namespace host {

/// The files and block devices that a qcow2 image is read from besides itself, the nearest first: its chain of backing
/// files, found in the images' headers. A relative name is looked for beside the image that has it. The chain ends at
/// what the emulator opens without a file ("nbd:…", "json:…"), at an image that is no qcow2, which the emulator
/// refuses, and at one that is not said to be: to look into it would be to let a guest that wrote it say what is read
/// next. Opens no FIFO and waits for storage alone: for the pool.
///
/// Throws Error: SYSTEM_ERROR for a file that is not there, INTERNAL_ERROR for a chain that is a ring or has more than
/// 200 images, with libvirt's words; CONFIG_UNSUPPORTED for a header that cannot be, and for what is no file.
std::vector<std::string> backing_files(const std::string& image);

}  // namespace host
