//! Values as the PHP chat wrote them: ids that are texts, times that are numbers.

use chat_core::time::Timestamp;
use mongodb::bson::Bson;
use mongodb::bson::oid::ObjectId;

/// Numbers from here on are milliseconds; below they are seconds. As seconds this is the year 5138, as
/// milliseconds 1973.
const FIRST_MILLISECONDS: f64 = 1e11;
/// The end of the year 9999: later times cannot be shown.
const LATEST_MS: i64 = 253_402_300_799_999;

/// Twelve bytes of an id.
pub(crate) type Id = [u8; 12];

/// An id, stored as such or as 24 hexadecimal digits.
pub(crate) fn id_of(value: &Bson) -> Option<Id> {
    match value {
        Bson::ObjectId(id) => Some(id.bytes()),
        Bson::String(text) => ObjectId::parse_str(text.trim()).ok().map(|id| id.bytes()),
        _ => None,
    }
}

/// A time, stored as such or as a number of seconds or milliseconds, which may be written as a text.
pub(crate) fn time_of(value: &Bson) -> Option<Timestamp> {
    let unix_ms = match value {
        Bson::DateTime(time) => time.timestamp_millis(),
        Bson::Timestamp(time) => i64::from(time.time) * 1_000,
        Bson::Int32(number) => from_number(f64::from(*number))?,
        Bson::Int64(number) => from_number(*number as f64)?,
        Bson::Double(number) => from_number(*number)?,
        Bson::String(text) => from_number(text.trim().parse().ok()?)?,
        _ => return None,
    };
    (0..=LATEST_MS).contains(&unix_ms).then(|| Timestamp::from_unix_ms(unix_ms))
}

fn from_number(number: f64) -> Option<i64> {
    let unix_ms = if number.abs() < FIRST_MILLISECONDS { number * 1_000.0 } else { number };
    // Fractions of a millisecond are of no use; numbers that are none are out of every range.
    (unix_ms.is_finite() && unix_ms.abs() <= LATEST_MS as f64).then(|| unix_ms.round() as i64)
}

/// When an id was made.
pub(crate) fn time_of_id(id: Id) -> Timestamp {
    Timestamp::from_unix_ms(ObjectId::from_bytes(id).timestamp().timestamp_millis())
}

/// The last six digits of an id, or more of them.
pub(crate) fn last_digits(id: Id, count: usize) -> String {
    let digits = ObjectId::from_bytes(id).to_hex();
    digits[digits.len() - count.min(digits.len())..].to_owned()
}

#[cfg(test)]
mod tests {
    use mongodb::bson::DateTime;

    use super::*;

    #[test]
    fn ids_are_read_as_such_and_as_texts() {
        let id = ObjectId::parse_str("65f0c0ffee0000000000abcd").unwrap();
        for value in [
            Bson::ObjectId(id),
            Bson::String("65f0c0ffee0000000000abcd".into()),
            Bson::String(" 65F0C0FFEE0000000000ABCD ".into()),
        ] {
            assert_eq!(id_of(&value), Some(id.bytes()));
        }
        for value in [Bson::String("general".into()), Bson::Int32(7), Bson::Null, Bson::String(String::new())]
        {
            assert_eq!(id_of(&value), None);
        }
    }

    #[test]
    fn times_are_read_whatever_they_are_written_as() {
        for value in [
            Bson::DateTime(DateTime::from_millis(1_700_000_000_000)),
            Bson::Int32(1_700_000_000),
            Bson::Int64(1_700_000_000),
            Bson::Int64(1_700_000_000_000),
            Bson::Double(1_700_000_000.0),
            Bson::Double(1_700_000_000_000.0),
            Bson::String("1700000000".into()),
            Bson::Timestamp(mongodb::bson::Timestamp { time: 1_700_000_000, increment: 3 }),
        ] {
            assert_eq!(time_of(&value), Some(Timestamp::from_unix_ms(1_700_000_000_000)), "{value}");
        }
        assert_eq!(
            time_of(&Bson::Double(1_700_000_000.042)),
            Some(Timestamp::from_unix_ms(1_700_000_000_042))
        );
        for value in [
            Bson::Null,
            Bson::String("yesterday".into()),
            Bson::Double(f64::NAN),
            Bson::Double(1e300),
            Bson::Int64(i64::MAX),
            Bson::Int64(-5),
            Bson::DateTime(DateTime::from_millis(i64::MAX)),
        ] {
            assert_eq!(time_of(&value), None, "{value}");
        }
    }
}
