#include "pg/keys.hpp"

namespace pg_enroll::pg {
namespace {

Datum value_array(const Value* values, std::size_t count, Oid type, int length, bool by_value,
                  char alignment) {
  auto* datums = static_cast<Datum*>(palloc(sizeof(Datum) * (count + 1)));
  auto* nulls = static_cast<bool*>(palloc(sizeof(bool) * (count + 1)));
  for (std::size_t i = 0; i < count; ++i) {
    datums[i] = values[i].datum;
    nulls[i] = values[i].null;
  }
  int dimensions[1] = {static_cast<int>(count)};
  int bounds[1] = {1};
  return PointerGetDatum(construct_md_array(datums, nulls, count == 0 ? 0 : 1, dimensions, bounds,
                                            type, length, by_value, alignment));
}

[[noreturn]] void raise_out_of_range(Oid type) {
  ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
                  errmsg("key is out of range for type %s", format_type_be(type))));
  pg_unreachable();
}

Datum integer_key(Oid type, int64 key) {
  switch (type) {
    case INT2OID:
      if (key < PG_INT16_MIN || key > PG_INT16_MAX) raise_out_of_range(type);
      return Int16GetDatum(static_cast<int16>(key));
    case INT4OID:
      if (key < PG_INT32_MIN || key > PG_INT32_MAX) raise_out_of_range(type);
      return Int32GetDatum(static_cast<int32>(key));
    default:
      return Int64GetDatum(key);
  }
}

int64 integer_of(Oid type, Datum key) {
  switch (type) {
    case INT2OID:
      return DatumGetInt16(key);
    case INT4OID:
      return DatumGetInt32(key);
    default:
      return DatumGetInt64(key);
  }
}

}  // namespace

KeyFamily family_of(Oid type) {
  switch (type) {
    case INT2OID:
    case INT4OID:
    case INT8OID:
      return KeyFamily::integer;
    case UUIDOID:
      return KeyFamily::uuid;
    default:
      return KeyFamily::other;
  }
}

KeyType key_type(Oid declared) {
  const Oid type = getBaseType(declared);
  KeyType key;
  bool varies = false;
  key.type = type;
  key.array = get_array_type(type);
  getTypeOutputInfo(type, &key.output, &varies);
  getTypeInputInfo(type, &key.input, &key.input_parameter);
  get_typlenbyvalalign(type, &key.length, &key.by_value, &key.alignment);
  key.family = family_of(type);
  return key;
}

const char* key_text(const KeyType& type, Datum key) {
  return OidOutputFunctionCall(type.output, key);
}

int compare_images(const KeyType& type, Datum a, Datum b) {
  if (type.by_value) return a < b ? -1 : static_cast<int>(a > b);
  if (type.length > 0) {
    return memcmp(DatumGetPointer(a), DatumGetPointer(b), static_cast<Size>(type.length));
  }
  const varlena* left = PG_DETOAST_DATUM_PACKED(a);
  const varlena* right = PG_DETOAST_DATUM_PACKED(b);
  const Size left_size = VARSIZE_ANY_EXHDR(left);
  const Size right_size = VARSIZE_ANY_EXHDR(right);
  if (left_size != right_size) return left_size < right_size ? -1 : 1;
  return memcmp(VARDATA_ANY(left), VARDATA_ANY(right), left_size);
}

Datum copy_key(const KeyType& type, Datum key) {
  return datumCopy(key, type.by_value, type.length);
}

bool fits_key(const KeyType& type, Datum key) {
  if (type.family != KeyFamily::integer) return true;
  // Integers of every width are held sign-extended.
  const auto number = static_cast<int64>(key);
  return type.type == INT8OID ||
         (type.type == INT4OID ? number >= PG_INT32_MIN && number <= PG_INT32_MAX
                               : number >= PG_INT16_MIN && number <= PG_INT16_MAX);
}

void require_call_type(const KeyType& type, Oid call_type) {
  if (call_type == TEXTOID || family_of(call_type) == type.family) return;
  ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                  errmsg("keys of type %s do not fit this policy, whose key is of type %s",
                         format_type_be(call_type), format_type_be(type.type)),
                  errhint("Pass the keys as text, or as the type that the policy's tables use.")));
}

Datum key_from_call(const KeyType& type, Oid call_type, Datum key) {
  if (call_type == TEXTOID) {
    return OidInputFunctionCall(type.input, TextDatumGetCString(key), type.input_parameter, -1);
  }
  require_call_type(type, call_type);
  return type.family == KeyFamily::integer ? integer_key(type.type, DatumGetInt64(key)) : key;
}

Datum key_to_call(const KeyType& type, Oid call_type, Datum key) {
  if (call_type == TEXTOID) return CStringGetTextDatum(key_text(type, key));
  if (type.family == KeyFamily::integer) return Int64GetDatum(integer_of(type.type, key));
  return key;
}

Datum key_array(const KeyType& type, const Datum* keys, std::size_t count) {
  return PointerGetDatum(construct_array(const_cast<Datum*>(keys), static_cast<int>(count),
                                         type.type, type.length, type.by_value, type.alignment));
}

Datum text_array(const char* const* texts, std::size_t count) {
  auto* values = static_cast<Value*>(palloc(sizeof(Value) * (count + 1)));
  for (std::size_t i = 0; i < count; ++i) values[i] = text_value(texts[i]);
  return value_array(values, count, TEXTOID, -1, false, TYPALIGN_INT);
}

Datum bigint_array(const Value* values, std::size_t count) {
  return value_array(values, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
}

Datum numeric_array(const Value* values, std::size_t count) {
  return value_array(values, count, NUMERICOID, -1, false, TYPALIGN_INT);
}

}  // namespace pg_enroll::pg
