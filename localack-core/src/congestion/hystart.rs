//! The end of slow start by growing round trips (HyStart++, RFC 9406).
