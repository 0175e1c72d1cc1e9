//! Accounts and files that must never change: people's money hangs on them.
use seedbank_types::AccountSecret;
use seedbank_wallet::{SealCost, Wallet};

#[test]
fn words_give_these_accounts_for_ever() {
    let mut checked = 0;
    for line in include_str!("golden/accounts.txt").lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(" | ").collect();
        let [words, index, secret, address] = fields[..] else { panic!("four fields a line: {line}") };
        let wallet = Wallet::from_words(words).expect("golden words");
        let index = index.parse().expect("a number");
        let secret = hex::decode(secret).expect("hex").try_into().expect("32 bytes");
        let secret = AccountSecret::from_bytes(&secret).expect("a key");
        assert_eq!(wallet.address(index).expect("below 2^31").to_string(), address);
        assert_eq!(wallet.account(index).expect("below 2^31").sign(&[1; 32]), secret.sign(&[1; 32]));
        checked += 1;
    }
    assert_eq!(checked, 6);
}

/// The bytes were made with libsodium.
#[test]
fn version_1_of_the_file_is_opened_and_written_for_ever() {
    let golden = hex::decode(include_str!("golden/wallet-file-v1.hex").trim()).expect("hex");
    let wallet = Wallet::open(&golden, "correct horse").expect("golden file");
    assert_eq!(wallet.words().split(' ').next_back(), Some("about"));
    assert_eq!(wallet.accounts_used(), 3);

    let salt = std::array::from_fn(|i| u8::try_from(i).expect("below 16"));
    let nonce = std::array::from_fn(|i| u8::try_from(100 + i).expect("below 124"));
    assert_eq!(wallet.seal("correct horse", salt, nonce, SealCost::WEAKEST).expect("sealed"), golden);
}

#[test]
fn the_default_cost_works() {
    let wallet = Wallet::new(&[5; 16]).expect("16 bytes");
    let file = wallet.seal("passphrase", [1; 16], [2; 24], SealCost::default()).expect("sealed");
    let opened = Wallet::open(&file, "passphrase").expect("opened");
    assert_eq!(opened.address(0), wallet.address(0));
}
