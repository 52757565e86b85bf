#include "rules/wording.hpp"

#include <algorithm>
#include <numeric>

#include <nlohmann/json.hpp>

namespace pg_enroll::rules {
namespace {

// Edits to turn one word into the other: insert, delete, replace, swap two neighbours. ASCII case
// is free, so that "Table" is at distance 0 from "table".
std::size_t edit_distance(std::string_view a, std::string_view b) {
  const auto same = [&](std::size_t i, std::size_t j) { return lower(a[i]) == lower(b[j]); };
  std::vector<std::size_t> two_back(b.size() + 1);
  std::vector<std::size_t> back(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    two_back.swap(back);
    back.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = back[j - 1] + (same(i - 1, j - 1) ? 0 : 1);
      row[j] = std::min({back[j] + 1, row[j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && same(i - 1, j - 2) && same(i - 2, j - 1);
      if (swapped) row[j] = std::min(row[j], two_back[j - 2] + 1);
    }
  }
  return row.back();
}

// Empty where no known key is near enough to have been meant.
std::string_view nearest(std::string_view unknown, const Words& known) {
  constexpr std::size_t longest = 64;
  if (unknown.size() > longest) return {};
  std::string_view best;
  std::size_t fewest = longest;
  for (const auto key : known) {
    const std::size_t edits = edit_distance(unknown, key);
    const std::size_t allowed = 1 + std::min(unknown.size(), key.size()) / 4;
    if (edits > allowed || edits >= fewest) continue;
    best = key;
    fewest = edits;
  }
  return best;
}

}  // namespace

std::string in_quotes(std::string_view text) {
  constexpr std::size_t most_bytes = 40;
  std::size_t end = std::min(text.size(), most_bytes);
  while (end > 0 && end < text.size() && continues_character(text[end])) --end;
  std::string shown(text.substr(0, end));
  if (end < text.size()) shown += "...";
  using Json = nlohmann::ordered_json;
  return Json(shown).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string listed(const Words& words, std::string_view before) {
  std::string list;
  for (const auto word : words) {
    if (!list.empty()) list += ", ";
    list.append(before).append(word);
  }
  return list;
}

std::string did_you_mean(std::string_view unknown, const Words& known, const std::string& more,
                         const char* before) {
  const auto near = nearest(unknown, known);
  if (near.empty()) return more;
  const std::string question = "Did you mean " + in_quotes(before + std::string(near)) + "?";
  return more.empty() ? question : question + " " + more;
}

}  // namespace pg_enroll::rules
