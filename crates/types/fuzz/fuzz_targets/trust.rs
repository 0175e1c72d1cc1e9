//! Text taken for a trust file.
#![no_main]
use seedbank_types::TrustFile;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(file) = text.parse::<TrustFile>() {
        assert_eq!(file.to_string().parse(), Ok(file), "a trust file is written as it is read");
    }
});
