//! Why a proof cannot be made, and why one is not believed.
use seedbank_types::{AccountId, CertificateError, CommunityId};

/// Why no proof can be made of these parts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The certificate is about another state.
    #[error("the certificate of epoch {0} is about another state than the bucket table")]
    OtherState(u64),
    /// The records are not those of the account's bucket.
    #[error("the records are not those of bucket {0} in the bucket table")]
    OtherBucket(u32),
}

/// Why a proof is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// A proof, but of something that was not asked.
    #[error("the proof is about account {got}, not about {asked}")]
    OtherAccount {
        /// Whom the caller asked about.
        asked: AccountId,
        /// Whom the proof is about.
        got: AccountId,
    },
    /// Of another community.
    #[error("the proof is of another community: {0}")]
    OtherCommunity(CommunityId),
    /// The certificate is not believed.
    #[error("the proof's certificate is not believed: {0}")]
    Certificate(#[from] CertificateError),
    /// `b` does not follow from the count.
    #[error("the proof says b is {bits}, which does not follow from the {count} accounts that the servers signed")]
    Bits {
        /// As in the proof.
        bits: u8,
        /// As in the checkpoint.
        count: u64,
    },
    /// The records show nothing about the account.
    #[error("the records in the proof neither are that of account {0} nor enclose its place")]
    Places(AccountId),
    /// The hashes do not end in the signed root.
    #[error("the proof does not lead to the state root that the servers signed: it was changed or is forged")]
    Root,
}
