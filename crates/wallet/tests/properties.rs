//! What must hold for every wallet.
use proptest::prelude::{any, prop, proptest};
use proptest::strategy::Strategy;
use proptest::{prop_assert, prop_assert_eq, prop_oneof};
use seedbank_wallet::{FileError, SealCost, Wallet};

fn entropy() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![prop::collection::vec(any::<u8>(), 16), prop::collection::vec(any::<u8>(), 32)]
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    #[test]
    fn words_give_the_wallet_back(entropy in entropy(), index in 0..1_u32 << 31) {
        let wallet = Wallet::new(&entropy).expect("16 or 32 bytes");
        let again = Wallet::from_words(&wallet.words()).expect("its own words");
        prop_assert_eq!(again.words(), wallet.words());
        prop_assert_eq!(again.address(index), wallet.address(index));
    }

    #[test]
    fn an_opened_file_is_the_wallet_that_was_sealed(
        entropy in entropy(), used in 0..=1_u32 << 31, passphrase in "\\PC{1,20}", salt: [u8; 16], nonce: [u8; 24],
    ) {
        let mut wallet = Wallet::new(&entropy).expect("16 or 32 bytes");
        wallet.set_accounts_used(used).expect("at most 2^31");
        let file = wallet.seal(&passphrase, salt, nonce, SealCost::WEAKEST).expect("sealed");
        let opened = Wallet::open(&file, &passphrase).expect("opened");
        prop_assert_eq!(opened.words(), wallet.words());
        prop_assert_eq!(opened.accounts_used(), used);
        let other = Wallet::open(&file, &format!("{passphrase}x"));
        prop_assert_eq!(other.err(), Some(FileError::WrongPassphrase));
    }

    #[test]
    fn no_bytes_from_outside_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Wallet::open(&bytes, "passphrase").is_err());
        let framed = [&b"SEEDBANKWALLET\x01"[..], &bytes].concat();
        prop_assert!(Wallet::open(&framed, "passphrase").is_err());
    }

    #[test]
    fn no_text_from_outside_makes_it_panic(text in "\\PC{0,200}") {
        prop_assert!(Wallet::from_words(&text).is_err());
    }
}
