#pragma once

#include <array>
#include <bit>
#include <boost/pfr/core.hpp>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "driver/core/error.h"

/// XDR (RFC 4506) for plain aggregates: a struct's fields are its layout, and each bound is part of a field's type.
namespace rpc {

/// What libvirt takes as the longest string of any field (REMOTE_STRING_MAX, VIR_NET_MESSAGE_STRING_MAX).
inline constexpr std::uint32_t max_string = 4194304;

/// string<Max>
template <std::uint32_t Max = max_string>
struct String : std::string {
  using std::string::string;
  String() = default;
  String(std::string text) : std::string(std::move(text)) {}
};

/// string<Max> that is only sent: the text stays another's.
template <std::uint32_t Max = max_string>
struct StringView : std::string_view {
  StringView(std::string_view text) : std::string_view(text) {}
};

/// T<Max>
template <class T, std::uint32_t Max>
struct Array : std::vector<T> {
  using std::vector<T>::vector;
  Array() = default;
  Array(std::vector<T> items) : std::vector<T>(std::move(items)) {}
};

/// opaque<Max>
template <std::uint32_t Max>
using Opaque = Array<std::uint8_t, Max>;

/// union switch (int) whose cases are numbered First, First + 1, …
template <std::int32_t First, class... Cases>
struct Union : std::variant<Cases...> {
  using std::variant<Cases...>::variant;
};

/// No arguments, or no result.
struct Void {};

using Bytes = std::vector<std::uint8_t>;

/// T<Max> whose items are encoded as they come: what is long and only sent takes a fraction of the memory. An item is a
/// T, or of a type with its layout, which says so: `using Viewed = T`. The bound is looked at when the whole is
/// encoded.
template <class T, std::uint32_t Max>
struct EncodedArray {
  std::uint32_t count = 0;
  Bytes items;

  void add(const T& item) { append(item); }
  template <class View>
    requires std::same_as<typename View::Viewed, T>
  void add(const View& item) {
    append(item);
  }
  /// An item once more: the `size` bytes at `place` of `items`.
  void repeat(std::size_t place, std::size_t size) {
    items.resize(items.size() + size);
    std::memcpy(items.data() + items.size() - size, items.data() + place, size);
    ++count;
  }
  /// Keeps the memory.
  void clear() {
    count = 0;
    items.clear();
  }

 private:
  void append(const auto& item);
};

/// Appends values to a buffer. Throws core::Error{rpc} where a value is over its bound; the buffer then ends anywhere.
class Encoder {
 public:
  explicit Encoder(Bytes& out) : out_(out) {}

  void put_word(std::uint32_t value) { put_number(value); }
  /// Opaque bytes, and zeros up to a multiple of four.
  void put_raw(const void* data, std::size_t size) {
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    out_.insert(out_.end(), bytes, bytes + size);
    constexpr std::uint8_t zeros[3] = {};
    out_.insert(out_.end(), zeros, zeros + (0 - size) % 4);
  }

  template <class T>
  void put(T&& value);

 private:
  template <std::unsigned_integral T>
  void put_number(T value) {
    if constexpr (std::endian::native == std::endian::little) value = std::byteswap(value);
    const auto bytes = std::bit_cast<std::array<std::uint8_t, sizeof value>>(value);
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }
  void put_length(std::size_t size, std::uint32_t max) {
    if (size > max) throw core::Error(core::ErrorCode::rpc, "Unable to encode message payload", core::ErrorDomain::rpc);
    put_word(static_cast<std::uint32_t>(size));
  }
  template <std::uint32_t Max>
  void put_field(const String<Max>& text) {
    put_field(StringView<Max>(text));
  }
  template <std::uint32_t Max>
  void put_field(const StringView<Max>& text) {
    put_length(text.size(), Max);
    put_raw(text.data(), text.size());
  }
  template <class T, std::uint32_t Max>
  void put_field(const Array<T, Max>& items) {
    put_length(items.size(), Max);
    if constexpr (std::same_as<T, std::uint8_t>) {
      put_raw(items.data(), items.size());
    } else {
      for (const T& item : items) put(item);
    }
  }
  template <class T, std::uint32_t Max>
  void put_field(const EncodedArray<T, Max>& array) {
    put_length(array.count, Max);
    put_raw(array.items.data(), array.items.size());
  }
  /// What is longer than all before it is not copied: there is memory for one of the largest replies, not for two.
  template <class T, std::uint32_t Max>
  void put_field(EncodedArray<T, Max>&& array) {
    put_length(array.count, Max);
    if (array.items.size() < out_.size()) return put_raw(array.items.data(), array.items.size());
    array.items.insert(array.items.begin(), out_.begin(), out_.end());
    out_.swap(array.items);
  }
  template <class T, std::size_t Size>
  void put_field(const std::array<T, Size>& items) {
    if constexpr (std::same_as<T, std::uint8_t>) {
      put_raw(items.data(), Size);
    } else {
      for (const T& item : items) put(item);
    }
  }
  template <class T>
  void put_field(const std::optional<T>& pointer) {
    put_word(pointer ? 1 : 0);
    if (pointer) put(*pointer);
  }
  template <std::int32_t First, class... Cases>
  void put_field(const Union<First, Cases...>& choice) {
    put_word(static_cast<std::uint32_t>(First + static_cast<std::int32_t>(choice.index())));
    std::visit([this](const auto& value) { this->put(value); }, choice);
  }

  Bytes& out_;
};

/// Takes values from a packet's payload as libvirt does, by the C library's xdrmem: any word but zero is true, padding
/// may be anything, a string ends at its first NUL, and what follows the last value is left. Every length and
/// discriminant is checked; what does not fit throws core::Error{rpc} as libvirt words it.
class Decoder {
 public:
  explicit Decoder(std::span<const std::uint8_t> in) : in_(in) {}

  std::uint32_t word() {
    const std::uint8_t* bytes = take(4);
    return std::uint32_t(bytes[0]) << 24 | std::uint32_t(bytes[1]) << 16 | std::uint32_t(bytes[2]) << 8 | bytes[3];
  }

  template <class T>
  void get(T& value);

 private:
  [[noreturn]] static void fail() {
    throw core::Error(core::ErrorCode::rpc, "Unable to decode message payload", core::ErrorDomain::rpc);
  }
  const std::uint8_t* take(std::size_t size) {
    if (in_.size() < size) fail();
    const std::uint8_t* bytes = in_.data();
    in_ = in_.subspan(size);
    return bytes;
  }
  const std::uint8_t* take_padded(std::size_t size) {
    const std::uint8_t* bytes = take(size);
    take((0 - size) % 4);
    return bytes;
  }
  std::uint32_t length(std::uint32_t max) {
    const std::uint32_t size = word();
    if (size > max) fail();
    return size;
  }

  template <std::uint32_t Max>
  void get_field(String<Max>& text) {
    const std::uint32_t size = length(Max);
    const auto* chars = reinterpret_cast<const char*>(take_padded(size));
    text.assign(chars, ::strnlen(chars, size));
  }
  template <class T, std::uint32_t Max>
  void get_field(Array<T, Max>& items) {
    const std::uint32_t size = length(Max);
    if constexpr (std::same_as<T, std::uint8_t>) {
      const std::uint8_t* bytes = take_padded(size);
      items.assign(bytes, bytes + size);
    } else {
      // No reserve(size): a length is only believed as far as bytes follow it.
      items.clear();
      for (std::uint32_t i = 0; i < size; ++i) get(items.emplace_back());
    }
  }
  template <class T, std::uint32_t Max>
  void get_field(EncodedArray<T, Max>& array) {
    array = {};
    for (std::uint32_t left = length(Max); left > 0; --left) {
      T item{};
      get(item);
      array.add(item);
    }
  }
  template <class T, std::size_t Size>
  void get_field(std::array<T, Size>& items) {
    if constexpr (std::same_as<T, std::uint8_t>) {
      std::memcpy(items.data(), take_padded(Size), Size);
    } else {
      for (T& item : items) get(item);
    }
  }
  template <class T>
  void get_field(std::optional<T>& pointer) {
    pointer.reset();
    if (word() != 0) get(pointer.emplace());
  }
  template <std::int32_t First, class... Cases>
  void get_field(Union<First, Cases...>& choice) {
    const std::uint32_t index = word() - static_cast<std::uint32_t>(First);
    if (index >= sizeof...(Cases)) fail();
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      ((I == index ? this->get(choice.template emplace<I>()) : void()), ...);
    }(std::index_sequence_for<Cases...>{});
  }

  std::span<const std::uint8_t> in_;
};

template <class Given>
void Encoder::put(Given&& value) {
  using T = std::remove_cvref_t<Given>;
  if constexpr (std::same_as<T, bool>) {
    put_word(value ? 1 : 0);
  } else if constexpr (std::is_enum_v<T> || (std::integral<T> && sizeof(T) <= 4)) {
    static_assert(sizeof(T) <= 4);
    put_word(static_cast<std::uint32_t>(value));
  } else if constexpr (std::integral<T>) {
    put_number(static_cast<std::uint64_t>(value));
  } else if constexpr (std::same_as<T, double>) {
    put(std::bit_cast<std::uint64_t>(value));
  } else if constexpr (requires { put_field(std::forward<Given>(value)); }) {
    put_field(std::forward<Given>(value));
  } else if constexpr (std::is_lvalue_reference_v<Given>) {
    boost::pfr::for_each_field(value, [this](const auto& field) { this->put(field); });
  } else {
    boost::pfr::for_each_field(value, [this](auto& field) { this->put(std::move(field)); });
  }
}

template <class T>
void Decoder::get(T& value) {
  if constexpr (std::same_as<T, bool>) {
    value = word() != 0;
  } else if constexpr (std::is_enum_v<T> || (std::integral<T> && sizeof(T) <= 4)) {
    static_assert(sizeof(T) <= 4);
    value = static_cast<T>(word());
  } else if constexpr (std::integral<T>) {
    const std::uint64_t high = word();
    value = static_cast<T>(high << 32 | word());
  } else if constexpr (std::same_as<T, double>) {
    std::uint64_t bits;
    get(bits);
    value = std::bit_cast<double>(bits);
  } else if constexpr (requires { get_field(value); }) {
    get_field(value);
  } else {
    boost::pfr::for_each_field(value, [this](auto& field) { this->get(field); });
  }
}

template <class T, std::uint32_t Max>
void EncodedArray<T, Max>::append(const auto& item) {
  Encoder(items).put(item);
  ++count;
}

/// The T that a payload begins with.
template <class T>
T decode(std::span<const std::uint8_t> payload) {
  Decoder decoder(payload);
  T value{};
  decoder.get(value);
  return value;
}

template <class T>
Bytes encode(const T& value) {
  Bytes out;
  Encoder(out).put(value);
  return out;
}

}  // namespace rpc
