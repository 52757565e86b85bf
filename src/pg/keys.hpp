// Keys of users, tournaments and enrollments, whatever type the tables give them.
#pragma once

#include "pg/spi.hpp"

namespace pg_enroll::pg {

// The families of keys that functions exist for. A text call serves every policy.
enum class KeyFamily : std::uint8_t { integer, uuid, other };

KeyFamily family_of(Oid type);

struct KeyType {
  Oid type = InvalidOid;
  Oid array = InvalidOid;
  Oid output = InvalidOid;
  Oid input = InvalidOid;
  Oid input_parameter = InvalidOid;
  int16 length = 0;
  bool by_value = false;
  char alignment = 0;
  KeyFamily family = KeyFamily::other;
};

// A domain counts as the type it is made of.
KeyType key_type(Oid type);

// The key's output text, palloc'd: what enroll_seat and the errors' details call it.
const char* key_text(const KeyType& type, Datum key);

// Equal as images. Types in which equal values differ in text are refused as keys.
inline bool same_key(const KeyType& type, Datum a, Datum b) {
  return datum_image_eq(a, b, type.by_value, type.length);
}

// An order of images, such that those that are the same key come together: below 0, 0, above 0.
int compare_images(const KeyType& type, Datum a, Datum b);

Datum copy_key(const KeyType& type, Datum key);

// Whether a key of the same family, be it of a wider integer type, has this type's range.
bool fits_key(const KeyType& type, Datum key);

// Raises 42804 unless a call that takes and returns keys of that type, bigint, uuid or text, can
// speak of this one.
void require_call_type(const KeyType& type, Oid call_type);

// A caller's key, of type bigint, uuid or text, as the type of the table's column. Raises 42804
// where the families differ, 22003 and 22P02 where the value does not fit.
Datum key_from_call(const KeyType& type, Oid call_type, Datum key);

// The way back, as a receipt's enrollment_id.
Datum key_to_call(const KeyType& type, Oid call_type, Datum key);

// An array of the keys, for a statement's parameter.
Datum key_array(const KeyType& type, const Datum* keys, std::size_t count);

// Arrays of builtin types with NULLs.
Datum text_array(const char* const* texts, std::size_t count);
Datum bigint_array(const Value* values, std::size_t count);
Datum numeric_array(const Value* values, std::size_t count);

}  // namespace pg_enroll::pg
