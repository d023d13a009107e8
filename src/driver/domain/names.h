#pragma once

#include <span>
#include <string_view>

namespace domain {

/// One row of an enumeration's table: the value and how it is written. One table serves parse and format.
template <class E>
struct Name {
  E value;
  std::string_view text;
};

/// How `value` is written; empty where the table has no row for it ("unset").
template <class E, std::size_t N>
constexpr std::string_view name_of(const Name<E> (&table)[N], E value) {
  for (const Name<E>& row : table)
    if (row.value == value) return row.text;
  return {};
}

}  // namespace domain
