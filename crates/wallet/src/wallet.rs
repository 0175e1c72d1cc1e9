//! Words and the accounts they give.
use std::fmt;

use bip32::{ChildNumber, XPrv};
use bip39::{Language, Mnemonic};
use seedbank_types::{AccountSecret, Address};
use zeroize::Zeroizing;

/// The highest number of an account: BIP32 has 31 bits for it.
pub const ACCOUNT_INDEX_MAX: u32 = ChildNumber::HARDENED_FLAG - 1;

/// `m/44'/5555'/0'/0`: BIP44 with a coin type of our own.
const BRANCH: [(u32, bool); 4] = [(44, true), (5555, true), (0, true), (0, false)];

const LIKELIHOOD: &str = "BIP32 gives an invalid key with a probability below 2^-127";

/// Why a text is not the words of a wallet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// Not 12 or 24 words.
    #[error("a wallet has 12 or 24 words, not {0}: a word is missing or one too many")]
    Count(usize),
    /// A word outside the list.
    #[error("word {position}, {word:?}, is not in the BIP39 list of English words: check its spelling")]
    Unknown {
        /// Its place, from 1.
        position: usize,
        /// The word, shortened.
        word: String,
    },
    /// The words are known but do not belong together.
    #[error("the words do not fit together: one of them is another word of the list, or their order is wrong")]
    Checksum,
    /// Not the entropy of 12 or 24 words.
    #[error("a wallet is made of 16 or 32 bytes of entropy, not {0}")]
    Entropy(usize),
}

/// The number of an account that a wallet cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a wallet has no account {0}: at most {ACCOUNT_INDEX_MAX}")]
pub struct AccountIndexError(pub u32);

/// The keys of a person. What it holds is wiped from memory when dropped.
#[derive(Clone)]
pub struct Wallet {
    mnemonic: Mnemonic,
    /// The key above those of the accounts; finding it takes 2048 rounds of hashing.
    branch: XPrv,
    accounts_used: u32,
}

impl Wallet {
    /// The wallet of 16 bytes (12 words) or 32 bytes (24 words) of entropy; one account is used.
    pub fn new(entropy: &[u8]) -> Result<Self, WordsError> {
        if !matches!(entropy.len(), 16 | 32) {
            return Err(WordsError::Entropy(entropy.len()));
        }
        let mnemonic = Mnemonic::from_entropy_in(Language::English, entropy)
            .map_err(|_not_16_or_32| WordsError::Entropy(entropy.len()))?;
        Ok(Self::of(mnemonic))
    }

    /// The wallet of 12 or 24 words, in any letter case, with any space between them.
    pub fn from_words(text: &str) -> Result<Self, WordsError> {
        let text = Zeroizing::new(text.to_lowercase());
        let count = text.split_whitespace().count();
        if !matches!(count, 12 | 24) {
            return Err(WordsError::Count(count));
        }
        Mnemonic::parse_in_normalized(Language::English, &text).map(Self::of).map_err(|error| match error {
            bip39::Error::UnknownWord(place) => unknown_word(&text, place),
            _ => WordsError::Checksum,
        })
    }

    fn of(mnemonic: Mnemonic) -> Self {
        let seed = Zeroizing::new(mnemonic.to_seed_normalized(""));
        let root = XPrv::new(&*seed).expect(LIKELIHOOD);
        let branch = BRANCH.iter().fold(root, |key, (number, hardened)| {
            let number = ChildNumber::new(*number, *hardened).expect("the constants are below 2^31");
            key.derive_child(number).expect(LIKELIHOOD)
        });
        Self { mnemonic, branch, accounts_used: 1 }
    }

    /// The words, to be written down. Whoever has them has everything.
    #[must_use]
    pub fn words(&self) -> Zeroizing<String> {
        let mut words = Zeroizing::new(String::with_capacity(24 * 9));
        for word in self.mnemonic.words() {
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(word);
        }
        words
    }

    /// The key of account `index`, from 0: `m/44'/5555'/0'/0/index`.
    pub fn account(&self, index: u32) -> Result<AccountSecret, AccountIndexError> {
        let number = ChildNumber::new(index, false).map_err(|_too_large| AccountIndexError(index))?;
        let child = self.branch.derive_child(number).expect(LIKELIHOOD);
        let bytes = Zeroizing::new(child.to_bytes());
        Ok(AccountSecret::from_bytes(&bytes).expect("BIP32 gives keys of the curve"))
    }

    /// What others write to pay to account `index`.
    pub fn address(&self, index: u32) -> Result<Address, AccountIndexError> {
        Ok(Address(self.account(index)?.public().id()))
    }

    /// How many accounts were given out: their numbers are below this.
    #[must_use]
    pub const fn accounts_used(&self) -> u32 {
        self.accounts_used
    }

    /// Takes the next account into use and returns its number.
    pub fn use_next_account(&mut self) -> Result<u32, AccountIndexError> {
        let index = self.accounts_used;
        self.set_accounts_used(index.saturating_add(1))?;
        Ok(index)
    }

    /// Says how many accounts were given out.
    pub const fn set_accounts_used(&mut self, count: u32) -> Result<(), AccountIndexError> {
        if count > ACCOUNT_INDEX_MAX + 1 {
            return Err(AccountIndexError(count - 1));
        }
        self.accounts_used = count;
        Ok(())
    }

    pub(crate) fn entropy(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.mnemonic.to_entropy())
    }
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wallet(redacted, {} accounts used)", self.accounts_used)
    }
}

fn unknown_word(text: &str, place: usize) -> WordsError {
    let word = text.split_whitespace().nth(place).unwrap_or_default();
    WordsError::Unknown { position: place + 1, word: word.chars().take(32).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWELVE: &str =
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

    #[test]
    fn words_of_zero_entropy_are_those_of_bip39() {
        assert_eq!(*Wallet::new(&[0; 16]).expect("16 bytes").words(), TWELVE);
        let words = Wallet::new(&[0; 32]).expect("32 bytes").words();
        assert!(words.ends_with("abandon art"), "{}", *words);
    }

    #[test]
    fn letter_case_and_space_do_not_matter() {
        let typed = format!("\n{}\t", TWELVE.to_uppercase().replace(' ', "  \n"));
        assert_eq!(*Wallet::from_words(&typed).expect("the same words").words(), TWELVE);
    }

    #[test]
    fn a_bad_word_is_named_with_its_place() {
        let error = Wallet::from_words(&TWELVE.replace("about", "abouts")).expect_err("not a word");
        assert_eq!(error, WordsError::Unknown { position: 12, word: "abouts".to_owned() });
        assert!(error.to_string().contains("word 12, \"abouts\""));
    }

    #[test]
    fn another_word_of_the_list_is_noticed() {
        assert_eq!(Wallet::from_words(&TWELVE.replace("about", "above")).err(), Some(WordsError::Checksum));
    }

    #[test]
    fn only_12_and_24_words_are_a_wallet() {
        for count in [0, 1, 11, 13, 15, 18, 21, 25] {
            let words = vec!["abandon"; count].join(" ");
            assert_eq!(Wallet::from_words(&words).err(), Some(WordsError::Count(count)));
        }
        for length in [0, 15, 17, 20, 24, 28, 33] {
            assert_eq!(Wallet::new(&vec![0; length]).err(), Some(WordsError::Entropy(length)));
        }
    }

    #[test]
    fn accounts_end_at_31_bits() {
        let wallet = Wallet::new(&[0; 16]).expect("16 bytes");
        assert!(wallet.account(ACCOUNT_INDEX_MAX).is_ok());
        assert_eq!(wallet.account(1 << 31).err(), Some(AccountIndexError(1 << 31)));
    }

    #[test]
    fn accounts_are_used_one_after_the_other() {
        let mut wallet = Wallet::new(&[0; 16]).expect("16 bytes");
        assert_eq!((wallet.use_next_account(), wallet.use_next_account()), (Ok(1), Ok(2)));
        assert_eq!(wallet.accounts_used(), 3);
        wallet.set_accounts_used(1 << 31).expect("all of them");
        assert_eq!(wallet.use_next_account(), Err(AccountIndexError(1 << 31)));
        assert_eq!(wallet.accounts_used(), 1 << 31);
    }

    #[test]
    fn debug_shows_nothing_secret() {
        let wallet = Wallet::new(&[0; 16]).expect("16 bytes");
        assert_eq!(format!("{wallet:?}"), "Wallet(redacted, 1 accounts used)");
    }
}
