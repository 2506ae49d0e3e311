//! Values as the PHP chat wrote them: ids that are texts, times that are numbers or texts, names that are numbers.

use std::borrow::Cow;

use chat_core::time::Timestamp;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime};

/// Numbers from here on are milliseconds; below they are seconds. As seconds this is the year 5138, as
/// milliseconds 1973.
const FIRST_MILLISECONDS: f64 = 1e11;
/// The end of the year 9999: later times cannot be shown.
const LATEST_MS: i64 = 253_402_300_799_999;

/// Whole numbers up to here are exact as doubles.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// How long the day is in a date that is written as a text.
const DAY: &str = "Y000-m0-d0";
/// How long a time without seconds is there.
const MINUTES: &str = "H0:i0";

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

/// A name or another short text. PHP makes a number of a text of digits when it is the key of an array, and where it
/// was told to; what was typed are its digits.
pub(crate) fn text_of(value: &Bson) -> Option<Cow<'_, str>> {
    match value {
        Bson::String(text) => Some(Cow::Borrowed(text)),
        Bson::Int32(number) => Some(Cow::Owned(number.to_string())),
        Bson::Int64(number) => Some(Cow::Owned(number.to_string())),
        // Larger ones have lost digits, others were never typed as a name.
        Bson::Double(number) if number.fract() == 0.0 && number.abs() <= EXACT => {
            Some(Cow::Owned(format!("{number:.0}")))
        }
        _ => None,
    }
}

/// A time, stored as such or as a number of seconds or milliseconds, which may be written as a text, or as a text with
/// a date.
pub(crate) fn time_of(value: &Bson) -> Option<Timestamp> {
    let unix_ms = match value {
        Bson::DateTime(time) => time.timestamp_millis(),
        Bson::Timestamp(time) => i64::from(time.time) * 1_000,
        Bson::Int32(number) => from_number(f64::from(*number))?,
        Bson::Int64(number) => from_number(*number as f64)?,
        Bson::Double(number) => from_number(*number)?,
        Bson::String(text) => match text.trim().parse() {
            Ok(number) => from_number(number)?,
            Err(_) => from_date(text.trim())?,
        },
        _ => return None,
    };
    (0..=LATEST_MS).contains(&unix_ms).then(|| Timestamp::from_unix_ms(unix_ms))
}

fn from_number(number: f64) -> Option<i64> {
    let unix_ms = if number.abs() < FIRST_MILLISECONDS { number * 1_000.0 } else { number };
    // Fractions of a millisecond are of no use; numbers that are none are out of every range.
    (unix_ms.is_finite() && unix_ms.abs() <= LATEST_MS as f64).then(|| unix_ms.round() as i64)
}

/// A date as PHP writes it: `2023-11-14 22:13:20` (`Y-m-d H:i:s`), with or without seconds and fractions of them, the
/// day alone, or RFC 3339, whose offset may lack its colon (`DATE_ISO8601`). Without an offset it is UTC.
fn from_date(text: &str) -> Option<i64> {
    let (day, rest) = text.split_at_checked(DAY.len())?;
    let rest = match rest.as_bytes() {
        [] => return rfc_3339(&format!("{day}T00:00:00Z")),
        [b' ' | b'T' | b't', ..] => rest.get(1..)?,
        _ => return None,
    };
    let (clock, offset) =
        rest.split_at(rest.find(|c: char| !matches!(c, '0'..='9' | ':' | '.')).unwrap_or(rest.len()));
    let seconds = if clock.len() == MINUTES.len() { ":00" } else { "" };
    let offset = match offset.trim_start() {
        "" | "Z" | "z" | "UTC" | "GMT" => "Z".to_owned(),
        offset => match offset.split_at_checked("+02".len())? {
            (hours, minutes) if minutes.len() == "00".len() => format!("{hours}:{minutes}"),
            _ => offset.to_owned(),
        },
    };
    rfc_3339(&format!("{day}T{clock}{seconds}{offset}"))
}

fn rfc_3339(text: &str) -> Option<i64> {
    DateTime::parse_rfc3339_str(text).ok().map(DateTime::timestamp_millis)
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
            Bson::String("0000-00-00 00:00:00".into()),
            Bson::String("2023-11-31 00:00:00".into()),
            Bson::String("2023-11-14 25:00:00".into()),
            Bson::String("2023-11-14 22:13:20 Europe/Berlin".into()),
            Bson::String("2023-11-14字".into()),
            Bson::String("1969-12-31 23:59:59".into()),
            Bson::Double(f64::NAN),
            Bson::Double(1e300),
            Bson::Int64(i64::MAX),
            Bson::Int64(-5),
            Bson::DateTime(DateTime::from_millis(i64::MAX)),
        ] {
            assert_eq!(time_of(&value), None, "{value}");
        }
    }

    #[test]
    fn dates_that_are_texts_are_read_as_php_writes_them() {
        for (text, unix_ms) in [
            ("2023-11-14 22:13:20", 1_700_000_000_000),
            (" 2023-11-14 22:13:20 ", 1_700_000_000_000),
            ("2023-11-14 22:13:20.042000", 1_700_000_000_042),
            ("2023-11-14T22:13:20Z", 1_700_000_000_000),
            ("2023-11-14t22:13:20.5z", 1_700_000_000_500),
            ("2023-11-14T23:13:20+01:00", 1_700_000_000_000),
            ("2023-11-14T17:43:20-0430", 1_700_000_000_000),
            ("2023-11-14 23:13:20 +0100", 1_700_000_000_000),
            ("2023-11-14 22:13:20 UTC", 1_700_000_000_000),
            ("2023-11-14 22:13", 1_699_999_980_000),
            ("2023-11-14", 1_699_920_000_000),
        ] {
            assert_eq!(time_of(&Bson::String(text.into())), Some(Timestamp::from_unix_ms(unix_ms)), "{text}");
        }
    }

    #[test]
    fn names_that_are_numbers_are_their_digits() {
        for (value, text) in [
            (Bson::String("ann".into()), Some("ann")),
            (Bson::Int32(7), Some("7")),
            (Bson::Int64(13_800_138_000), Some("13800138000")),
            (Bson::Double(13_800_138_000.0), Some("13800138000")),
            (Bson::Double(1.5), None),
            (Bson::Double(1e300), None),
            (Bson::Double(f64::NAN), None),
            (Bson::Boolean(true), None),
            (Bson::Null, None),
        ] {
            assert_eq!(text_of(&value).as_deref(), text, "{value}");
        }
    }
}
