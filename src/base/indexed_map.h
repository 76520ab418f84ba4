// The map type of Json objects. Keys stay in the order of insertion, as in nlohmann::ordered_map. Objects with more
// than 16 keys also get a hash index, so that look-ups stay fast in objects with very many keys.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

namespace rowan {

// Key must be a string type. All functions of the base class that look up keys are redefined here.
template <class Key, class T, class Less = std::less<Key>, class Allocator = std::allocator<std::pair<const Key, T>>>
class IndexedMap : public nlohmann::ordered_map<Key, T, Less, Allocator> {
  using Base = nlohmann::ordered_map<Key, T, Less, Allocator>;

 public:
  using typename Base::Container;
  using iterator = typename Container::iterator;
  using const_iterator = typename Container::const_iterator;
  using value_type = typename Container::value_type;
  using size_type = typename Container::size_type;

  IndexedMap() = default;
  explicit IndexedMap(const Allocator& allocator) : Base(allocator) {}
  template <class Iterator>
  IndexedMap(Iterator first, Iterator last, const Allocator& allocator = Allocator()) : Base(first, last, allocator) {
    index_all();
  }
  IndexedMap(std::initializer_list<value_type> items, const Allocator& allocator = Allocator())
      : Base(items, allocator) {
    index_all();
  }

  iterator find(std::string_view key) { return this->begin() + place(key); }
  const_iterator find(std::string_view key) const { return this->begin() + place(key); }
  size_type count(std::string_view key) const { return find(key) != this->end(); }
  T& at(std::string_view key) { return found(find(key))->second; }
  const T& at(std::string_view key) const { return found(find(key))->second; }
  T& operator[](std::string_view key) { return emplace(key, T{}).first->second; }
  const T& operator[](std::string_view key) const { return at(key); }

  std::pair<iterator, bool> emplace(std::string_view key, T&& value) {
    if (const iterator there = find(key); there != this->end()) return {there, false};
    Container::emplace_back(Key(key), std::move(value));
    if (2 * this->size() > slots_.size())
      index_all();
    else
      add(static_cast<uint32_t>(this->size() - 1));
    return {this->end() - 1, true};
  }
  std::pair<iterator, bool> insert(value_type&& item) { return emplace(item.first, std::move(item.second)); }
  std::pair<iterator, bool> insert(const value_type& item) { return emplace(item.first, T(item.second)); }
  template <class Iterator>
  void insert(Iterator first, Iterator last) {
    for (; first != last; ++first) insert(*first);
  }

  size_type erase(std::string_view key) {
    const iterator there = find(key);
    if (there == this->end()) return 0;
    erase(there);
    return 1;
  }
  iterator erase(iterator at) { return erase(at, at + 1); }
  iterator erase(iterator first, iterator last) {
    const iterator next = Base::erase(first, last);
    index_all();
    return next;
  }

 private:
  static constexpr size_type few = 16;  // up to this many keys are searched linearly
  static constexpr uint32_t vacant = UINT32_MAX;

  // A hash table of the keys' positions: open addressing, at most half full. Empty while there are at most `few` keys.
  std::vector<uint32_t> slots_;

  template <class Iterator>
  Iterator found(Iterator at) const {
    if (at == this->end()) throw std::out_of_range("key not found");
    return at;
  }

  // The position of a key, or size() if absent.
  std::ptrdiff_t place(std::string_view key) const {
    const auto size = static_cast<std::ptrdiff_t>(this->size());
    if (slots_.empty()) {
      std::ptrdiff_t at = 0;
      while (at < size && this->begin()[at].first != key) ++at;
      return at;
    }
    for (size_type slot = home(key); slots_[slot] != vacant; slot = (slot + 1) % slots_.size())
      if (this->begin()[slots_[slot]].first == key) return slots_[slot];
    return size;
  }

  size_type home(std::string_view key) const { return std::hash<std::string_view>()(key) % slots_.size(); }

  void add(uint32_t position) {
    size_type slot = home(this->begin()[position].first);
    while (slots_[slot] != vacant) slot = (slot + 1) % slots_.size();
    slots_[slot] = position;
  }

  void index_all() {
    slots_.clear();
    if (this->size() <= few) return;
    slots_.assign(4 * this->size(), vacant);
    for (uint32_t position = 0; position < this->size(); ++position) add(position);
  }
};

}  // namespace rowan
