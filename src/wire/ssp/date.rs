//! Dates on the wire: `YYYY-MM-DDThh:mm:ssZ`, in UTC.
//!
//! Deployed peers send dates with a wrong month, so a date is a hint: one that can't be read is none, and nothing is ever
//! refused or expired by it. Source: SSP reference §9.3.

use std::fmt;

use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

/// A point in time to the second.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DateTime {
    /// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
    pub unix_seconds: i64,
}

impl DateTime {
    /// The date at that many seconds since 1970-01-01T00:00:00Z.
    pub const fn from_unix_seconds(unix_seconds: i64) -> Self {
        Self { unix_seconds }
    }

    /// Reads ISO 8601 in its usual spellings: with `Z`, an offset or neither (then UTC), with a fraction, extended or
    /// basic; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let timestamp = text.parse::<Timestamp>().ok().or_else(|| {
            let local = text.parse::<civil::DateTime>().ok()?;
            TimeZone::UTC.to_timestamp(local).ok()
        })?;
        Some(Self::from_unix_seconds(timestamp.as_second()))
    }
}

impl fmt::Display for DateTime {
    /// Writes the strict form; years outside 0 to 9999 are written as the nearest year inside.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.unix_seconds.clamp(YEAR_0, YEAR_9999_END);
        let date = civil::DateTime::from(civil::date(1970, 1, 1))
            .checked_add(jiff::SignedDuration::from_secs(seconds))
            .map_err(|_| fmt::Error)?;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            date.year(),
            date.month(),
            date.day(),
            date.hour(),
            date.minute(),
            date.second()
        )
    }
}

/// 0000-01-01T00:00:00Z.
const YEAR_0: i64 = -62_167_219_200;
/// 9999-12-30T22:00:00Z, the last second that `jiff` keeps as a timestamp.
const YEAR_9999_END: i64 = 253_402_207_200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_of_the_reference_reads_and_writes() {
        let date = DateTime::parse("2009-03-14T10:20:30Z").unwrap();
        assert_eq!(date.unix_seconds, 1_237_026_030);
        assert_eq!(date.to_string(), "2009-03-14T10:20:30Z");
    }

    #[test]
    fn other_spellings_read_the_same() {
        for text in [
            "\n 2009-03-14T10:20:30Z ",
            "20090314T102030Z",
            "2009-03-14T10:20:30",
            "2009-03-14 10:20:30",
            "2009-03-14T12:20:30+02:00",
            "2009-03-14T10:20:30.750Z",
        ] {
            assert_eq!(
                DateTime::parse(text),
                Some(DateTime::from_unix_seconds(1_237_026_030)),
                "{text}"
            );
        }
    }

    #[test]
    fn nonsense_is_no_date() {
        for text in [
            "",
            "yesterday",
            "2009-14-40T10:20:30Z",
            "2009",
            "-",
            "99999999999999999999",
        ] {
            assert_eq!(DateTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn far_dates_are_written_as_the_nearest_year() {
        for seconds in [i64::MIN, YEAR_0, -1, 0, YEAR_9999_END, i64::MAX] {
            let text = DateTime::from_unix_seconds(seconds).to_string();
            assert_eq!(text.len(), 20, "{text}");
            assert_eq!(
                DateTime::parse(&text).unwrap().unix_seconds,
                seconds.clamp(YEAR_0, YEAR_9999_END)
            );
        }
    }
}
