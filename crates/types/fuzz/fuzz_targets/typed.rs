//! Text that a person typed for an address or an amount.
#![no_main]
use seedbank_types::{Address, Amount};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string(), text, "an address is written in one way only");
    }
    for decimals in 0..=8 {
        if let Ok(amount) = Amount::parse(text, decimals) {
            assert_eq!(Amount::parse(&amount.display(decimals), decimals), Ok(amount));
        }
    }
});
