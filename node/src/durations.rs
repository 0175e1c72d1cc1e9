//! Lengths of time as people write them: `500ms`, `60s`, `5m`, `1h`.

/// Reads a length of time in milliseconds.
pub(crate) fn parse_ms(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is not a length of time: write a number and ms, s, m or h, like 60s");
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_no_number| bad())?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(bad()),
    };
    number.checked_mul(unit_ms).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::parse_ms;

    #[test]
    fn lengths_of_time_have_a_unit() {
        assert_eq!(parse_ms("500ms"), Ok(500));
        assert_eq!(parse_ms("60s"), Ok(60_000));
        assert_eq!(parse_ms("5m"), Ok(300_000));
        assert_eq!(parse_ms("1h"), Ok(3_600_000));
        for text in ["", "60", "s", "1d", "-1s", "1.5s", "99999999999999999999s", "9999999999999999999h"] {
            assert!(parse_ms(text).is_err(), "{text:?}");
        }
    }
}
