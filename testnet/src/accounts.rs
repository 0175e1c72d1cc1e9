//! The people of a testnet: always the same wallet and the same accounts.
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use seedbank_types::{AccountId, AccountSecret, Address, Hash};
use seedbank_wallet::{NONCE_BYTES, SALT_BYTES, SealCost, Wallet};

/// So many accounts have keys, those of the wallet. Keys cost time to make, so the rest have none.
const ACCOUNTS_WITH_KEYS_MAX: u32 = 1_000;
/// What each account holds at first, in whole units of the currency.
pub const FIRST_BALANCE: &str = "1000";
/// The passphrase of the wallet file.
pub const PASSPHRASE: &str = "play money";
/// So many accounts the wallet file says are in use.
const ACCOUNTS_USED: u32 = 10;

/// All accounts of a testnet that hold money at first.
#[derive(Debug)]
pub struct Accounts {
    wallet: Wallet,
    count: u32,
}

impl Accounts {
    /// The accounts of a genesis with `total` of them: one less, for one is reserved for the orders.
    pub fn new(total: u32) -> Result<Self> {
        ensure!(
            total >= 3,
            "a testnet needs at least 3 accounts, not {total}: a payer, a payee and that of the orders"
        );
        // Play money: the words are the same for everybody, so that a test can be done again.
        let entropy = &Hash::of(&[b"seedbank/testnet/wallet"]).0[..16];
        let mut wallet = Wallet::new(entropy)?;
        let count = total - 1;
        wallet.set_accounts_used(ACCOUNTS_USED.min(count))?;
        Ok(Self { wallet, count })
    }

    /// How many hold money at first.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// How many have keys: those are the first accounts of the wallet.
    #[must_use]
    pub fn with_keys(&self) -> u32 {
        self.count.min(ACCOUNTS_WITH_KEYS_MAX)
    }

    /// The key of an account, by number below [`Accounts::with_keys`].
    pub fn secret(&self, number: u32) -> Result<AccountSecret> {
        ensure!(number < self.with_keys(), "account {number} has no key");
        Ok(self.wallet.account(number)?)
    }

    /// An account, by number below [`Accounts::count`].
    pub fn id(&self, number: u32) -> Result<AccountId> {
        if number < self.with_keys() {
            return Ok(self.wallet.address(number)?.0);
        }
        let hash = Hash::of(&[b"seedbank/testnet/account", &number.to_be_bytes()]);
        let mut id = AccountId([0; 20]);
        id.0.copy_from_slice(&hash.0[..20]);
        Ok(id)
    }

    /// The account that receives the fees: the last one, to keep the others' sums simple.
    pub fn fee_account(&self) -> Result<AccountId> {
        self.id(self.count - 1)
    }

    /// Writes a line `ADDRESS AMOUNT` for each account.
    pub fn write(&self, path: &Path) -> Result<()> {
        let file = File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
        let mut file = BufWriter::new(file);
        for number in 0..self.count {
            writeln!(file, "{} {FIRST_BALANCE}", Address(self.id(number)?))?;
        }
        file.flush().with_context(|| format!("{} cannot be written", path.display()))
    }

    /// The wallet as an encrypted file, as weakly as it goes: its words are public anyway.
    pub fn wallet_file(&self) -> Result<Vec<u8>> {
        Ok(self.wallet.seal(PASSPHRASE, [0; SALT_BYTES], [0; NONCE_BYTES], SealCost::WEAKEST)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wallet_file_opens_and_its_accounts_hold_the_money() {
        let accounts = Accounts::new(4).expect("enough");
        let wallet = Wallet::open(&accounts.wallet_file().expect("it seals"), PASSPHRASE).expect("it opens");
        assert_eq!(wallet.accounts_used(), 3);
        for number in 0..3 {
            assert_eq!(wallet.address(number).expect("an account").0, accounts.id(number).expect("an account"));
        }
    }

    #[test]
    fn accounts_beyond_the_keys_differ_and_have_none() {
        let accounts = Accounts::new(1_003).expect("enough");
        assert_eq!((accounts.count(), accounts.with_keys()), (1_002, 1_000));
        assert_ne!(accounts.id(1_000).expect("an account"), accounts.id(1_001).expect("an account"));
        assert!(accounts.secret(999).is_ok() && accounts.secret(1_000).is_err());
    }
}
