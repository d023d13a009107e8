#pragma once

#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "vmm/cmdline/properties.h"

/// What keys an option takes, as a table a struct: name, how its value is read into which member, whether it must be
/// there.
namespace cmdline {

template <class T>
struct Key {
  std::string_view name;
  void (*read)(T& into, const Value& value);
  bool mandatory = false;
};
inline constexpr bool mandatory = true;

namespace detail {
template <class M>
struct MemberOf;
template <class F, class C>
struct MemberOf<F C::*> {
  using Class = C;
  using Field = F;
};
template <class F>
struct Plain {
  using type = F;
};
template <class F>
struct Plain<std::optional<F>> {
  using type = F;
};
template <auto M>
using Class = typename MemberOf<decltype(M)>::Class;
template <auto M>
using Field = typename Plain<typename MemberOf<decltype(M)>::Field>::type;
}  // namespace detail

template <auto M>
void text(detail::Class<M>& into, const Value& value) {
  into.*M = value.text();
}
template <auto M>
void identifier(detail::Class<M>& into, const Value& value) {
  into.*M = value.identifier();
}
template <auto M>
void boolean(detail::Class<M>& into, const Value& value) {
  into.*M = value.boolean();
}
template <auto M, std::uint64_t Least, std::uint64_t Most>
void number(detail::Class<M>& into, const Value& value) {
  into.*M = static_cast<detail::Field<M>>(value.number(Least, Most));
}
template <auto M, std::uint64_t Least, std::uint64_t Most>
void power_of_two(detail::Class<M>& into, const Value& value) {
  into.*M = static_cast<detail::Field<M>>(value.power_of_two(Least, Most));
}
/// Accepted for those who write it everywhere; nothing comes of it here.
template <class T>
void no_effect(T&, const Value&) {}
/// Accepted as far as it says what is so anyway.
template <class T, bool Expected>
void only(T&, const Value& value) {
  value.must_be(Expected);
}

/// Reads an option's properties by tables.
class Reader {
 public:
  explicit Reader(const Properties& properties, std::string label = {})
      : properties_(properties), label_(std::move(label)) {
    if (label_.empty()) label_ = properties.option;
  }

  template <class T, std::size_t N>
  void take(const Key<T> (&keys)[N], T& into) {
    for (const Key<T>& key : keys) {
      known_.push_back(key.name);
      if (const Property* item = find(key.name)) {
        key.read(into, Value(label_, *item));
      } else if (key.mandatory && !listing_) {
        missing(key.name);
      }
    }
  }
  /// What a table does not read: the head.
  void skip(std::string_view key) { known_.push_back(key); }
  /// Nothing else may be there.
  void finish() const;
  /// From here on nothing needs to be there: only what could be is asked for.
  void list() { listing_ = true; }
  const std::vector<std::string_view>& known() const { return known_; }
  [[noreturn]] void refuse(std::string_view what) const { cmdline::refuse(label_, what); }

 private:
  const Property* find(std::string_view key) const;
  [[noreturn]] void missing(std::string_view key) const;

  const Properties& properties_;
  std::string label_;
  std::vector<std::string_view> known_;
  bool listing_ = false;
};

/// One table and nothing else.
template <class T, std::size_t N>
T read(const Properties& properties, const Key<T> (&keys)[N], T into = {}) {
  Reader reader(properties);
  reader.take(keys, into);
  reader.finish();
  return into;
}

}  // namespace cmdline
