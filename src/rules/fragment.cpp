#include "rules/fragment.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include "rules/policy.hpp"
#include "rules/wording.hpp"

namespace pg_enroll::rules {
namespace {

// Reserved words that want an operand behind them, so that in ARRAY[CASE WHEN a THEN :user END]
// the colon after THEN is no slice's.
bool wants_operand(std::string_view word) {
  constexpr std::array<std::string_view, 12> words{"and",  "case", "else", "from", "ilike", "in",
                                                   "like", "not",  "or",   "then", "to",    "when"};
  const auto same = [](char a, char b) { return lower(a) == b; };
  return std::any_of(words.begin(), words.end(), [&](std::string_view known) {
    return std::equal(word.begin(), word.end(), known.begin(), known.end(), same);
  });
}

class Fragment {
 public:
  // Placeholders make it a statement.
  Fragment(std::string_view text, const std::string& path, const Words* placeholders)
      : text_(text),
        path_(path),
        statement_(placeholders != nullptr),
        placeholders_(placeholders) {}

  // The text, in a statement with parameters for placeholders.
  std::string checked() {
    while (at_ < text_.size()) step();
    if (!open_.empty()) {
      fail(open_.back(), std::string("has ") + text_[open_.back()] + " without its partner");
    }
    if (!said_anything_) fail(0, "is empty");
    return result_.append(text_.substr(copied_));
  }

 private:
  [[noreturn]] void fail(std::size_t at, const std::string& problem, std::string hint = {}) const {
    throw PolicyError(path_,
                      std::string("the SQL ") + (statement_ ? "statement " : "expression ") +
                          in_quotes(text_) + " " + problem + ", at its byte " +
                          std::to_string(at + 1),
                      std::move(hint));
  }

  [[nodiscard]] char peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  [[nodiscard]] bool next_is(std::string_view token) const {
    return text_.substr(at_, token.size()) == token;
  }

  void step() {
    const char c = peek();
    if (is_space(c)) {
      ++at_;
    } else if (next_is("--")) {
      if (!statement_) refuse_line_comment();
      at_ = end_of_line(at_);
    } else if (next_is("/*")) {
      skip_comment();
    } else if (c == ';') {
      semicolon();
    } else {
      if (ended_) refuse_second_statement();
      said_anything_ = true;
      token(c);
    }
  }

  void token(char c) {
    if (statement_ && c == ':') return colon();
    after_operand_ = starts_word(c) || is_digit(c) || c == '\'' || c == '"' || c == ')' || c == ']';
    if (starts_word(c)) return word();
    if (c == '\'') return plain_string();
    if (c == '"') return skip_quoted('"', "an unterminated quoted identifier");
    if (c == '$') return dollar();
    if (c == '(' || c == '[') open_.push_back(at_);
    if (c == ')' || c == ']') close(c);
    ++at_;
  }

  [[noreturn]] void refuse_line_comment() const {
    fail(at_, "has a -- comment, which would hide the text that follows it",
         "Use /* ... */ for a comment, and - (-1) for a double minus.");
  }

  [[noreturn]] void refuse_second_statement() const {
    fail(copied_ - 1, "has a semicolon", "Give each statement as a string of its own.");
  }

  // The one that ends a statement is left out.
  void semicolon() {
    if (!statement_) fail(at_, "has a semicolon", "Give one expression, not a statement.");
    if (ended_) fail(at_, "has a second semicolon", "Remove it.");
    result_.append(text_.substr(copied_, at_ - copied_));
    copied_ = ++at_;
    ended_ = true;
  }

  [[nodiscard]] std::size_t end_of_line(std::size_t at) const {
    return std::min(text_.find_first_of("\n\r", at), text_.size());
  }

  [[nodiscard]] bool in_array() const { return !open_.empty() && text_[open_.back()] == '['; }

  // In an array's brackets a colon behind an operand makes a slice. Any other that touches a word
  // makes a placeholder, but for a cast's.
  void colon() {
    const bool slice = after_operand_ && in_array();
    after_operand_ = false;
    if (!slice && starts_word(peek(1))) return placeholder();
    at_ += peek(1) == ':' ? 2 : 1;
  }

  void placeholder() {
    const std::size_t start = at_++;
    const auto name = take_word();
    const Words& known = *placeholders_;
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end()) {
      const std::string all = "Known placeholders: " + listed(known, ":") + ".";
      fail(start, "has the unknown placeholder " + in_quotes(":" + std::string(name)),
           did_you_mean(name, known,
                        in_array() ? all + " A slice wants a space here: [ : x]." : all, ":"));
    }
    result_.append(text_.substr(copied_, start - copied_));
    // A $ that touched a word would be part of it, and one behind another would open a quote.
    const char before = start == 0 ? ' ' : text_[start - 1];
    if (continues_word(before) || before == '$') result_ += ' ';
    result_.append("$").append(std::to_string(found - known.begin() + 1));
    copied_ = at_;
    after_operand_ = true;
  }

  void close(char c) {
    const char partner = c == ')' ? '(' : '[';
    if (open_.empty() || text_[open_.back()] != partner) {
      fail(at_, std::string("has ") + c + " without its partner");
    }
    open_.pop_back();
  }

  // A word takes its digits and dollars along: in a$b$c nothing is quoted.
  std::string_view take_word() {
    const std::size_t start = at_;
    while (at_ < text_.size() && (continues_word(peek()) || peek() == '$')) ++at_;
    return text_.substr(start, at_ - start);
  }

  // Only the word E makes the string that touches it one with backslash escapes.
  void word() {
    const auto word = take_word();
    if (wants_operand(word)) after_operand_ = false;
    if ((word == "e" || word == "E") && peek() == '\'') escape_string();
  }

  // From the opening quote to behind the closing one; a doubled quote is part of the text.
  void skip_quoted(char quote, const char* problem) {
    const std::size_t start = at_++;
    while (peek() != quote || peek(1) == quote) {
      if (at_ >= text_.size()) fail(start, std::string("has ") + problem);
      at_ += peek() == quote ? 2 : 1;
    }
    ++at_;
  }

  // With standard_conforming_strings off, '\' does not end where it ends with the setting on, and
  // the setting is the caller's: what reads in two ways is refused.
  void plain_string() {
    const std::size_t start = at_;
    skip_quoted('\'', "an unterminated string");
    std::size_t backslashes = 0;
    for (std::size_t i = start + 1; i < at_; ++i) {
      if (text_[i] == '\'' && backslashes % 2 == 1) {
        fail(i, "has a backslash before a quote, which settings read in two ways",
             R"(Write the string as E'...' with \\ for a backslash, or as $$...$$.)");
      }
      backslashes = text_[i] == '\\' ? backslashes + 1 : 0;
    }
  }

  void escape_string() {
    const std::size_t start = at_;
    do {
      ++at_;
      while (peek() != '\'' || peek(1) == '\'') {
        if (at_ >= text_.size()) fail(start, "has an unterminated string");
        at_ += peek() == '\'' || peek() == '\\' ? 2 : 1;
      }
      ++at_;
    } while (continues_on_new_line());
  }

  // 'a' <newline> 'b' is one string, and its second half keeps the escapes of the first. A comment
  // that ends with the line changes nothing about it.
  bool continues_on_new_line() {
    std::size_t end = at_;
    bool new_line = false;
    while (end < text_.size()) {
      if (statement_ && text_.substr(end, 2) == "--") {
        end = end_of_line(end);
      } else if (is_space(text_[end])) {
        new_line = new_line || text_[end] == '\n' || text_[end] == '\r';
        ++end;
      } else {
        break;
      }
    }
    if (!new_line || end == text_.size() || text_[end] != '\'') return false;
    at_ = end;
    return true;
  }

  void dollar() {
    if (is_digit(peek(1))) {
      fail(at_, "has a parameter",
           statement_ ? "Write the placeholders: " + listed(*placeholders_, ":") + "."
                      : "Parameters belong to the extension; use the aliases instead.");
    }
    std::size_t end = at_ + 1;
    if (end < text_.size() && starts_word(text_[end])) {
      while (end < text_.size() && continues_word(text_[end])) ++end;
    }
    if (end == text_.size() || text_[end] != '$') {
      ++at_;  // no quote begins here; the server answers what a lone $ deserves
      return;
    }
    const auto delimiter = text_.substr(at_, end + 1 - at_);
    const std::size_t close = text_.find(delimiter, end + 1);
    if (close == std::string_view::npos) fail(at_, "has an unterminated dollar-quoted string");
    at_ = close + delimiter.size();
    after_operand_ = true;
  }

  void skip_comment() {
    const std::size_t start = at_;
    std::size_t depth = 0;
    do {
      if (at_ >= text_.size()) fail(start, "has an unterminated comment");
      const bool opens = next_is("/*");
      const bool closes = next_is("*/");
      if (opens) ++depth;
      if (closes) --depth;
      at_ += opens || closes ? 2 : 1;
    } while (depth > 0);
  }

  std::string_view text_;
  const std::string& path_;
  bool statement_;
  const Words* placeholders_;
  std::size_t at_ = 0;
  std::vector<std::size_t> open_;
  bool said_anything_ = false;
  bool ended_ = false;          // by a semicolon
  bool after_operand_ = false;  // a word, a number, a string or a closing bracket
  std::string result_;
  std::size_t copied_ = 0;  // of text_, into result_
};

}  // namespace

std::string checked_expression(std::string_view text, const std::string& path) {
  return Fragment(text, path, nullptr).checked();
}

std::string checked_statement(std::string_view text, const std::string& path,
                              const Words& placeholders) {
  return Fragment(text, path, &placeholders).checked();
}

}  // namespace pg_enroll::rules
