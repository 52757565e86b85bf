// How messages about a document are worded, and the characters that its texts are made of.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pg_enroll::rules {

using Words = std::vector<std::string_view>;

inline bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}
inline char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
inline bool is_high(char c) { return static_cast<unsigned char>(c) >= 0x80; }
inline bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }
inline bool starts_word(char c) { return is_letter(c) || c == '_' || is_high(c); }
inline bool continues_word(char c) { return starts_word(c) || is_digit(c); }

// JSON-quoted, so that control characters cannot break the line, and cut between characters.
std::string in_quotes(std::string_view text);

// The words with commas between them, and each with what stands before it.
std::string listed(const Words& words, std::string_view before = {});

// Asks for the nearest known name, where there is one, before it says more. Names are shown with
// what stands before them.
std::string did_you_mean(std::string_view unknown, const Words& known, const std::string& more = {},
                         const char* before = "");

}  // namespace pg_enroll::rules
