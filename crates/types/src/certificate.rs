//! Certificates: a checkpoint with signatures of a quorum.
use std::collections::BTreeSet;
use std::fmt;

use crate::codec::{DecodeError, Reader, Writer, count_u8};
use crate::genesis::MAX_SERVERS;
use crate::{Checkpoint, Rule, ServerKey, ServerSet, Signature};

/// How many servers stand behind a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// More than half: true unless a server lied.
    Crash,
    /// More than two thirds: true unless a third of the servers lied.
    Byzantine,
}

/// `crash` or `byzantine`.
impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crash => "crash",
            Self::Byzantine => "byzantine",
        })
    }
}

/// A signature with the number of its server in the set that signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberedSignature {
    /// Place of the server's key in the set, ascending.
    pub number: u8,
    /// Its signature.
    pub signature: Signature,
}

/// Appends `n u8 ‖ n x (server number u8 ‖ signature 64)`.
#[must_use]
pub fn write_signatures(writer: Writer, signatures: &[NumberedSignature]) -> Writer {
    signatures
        .iter()
        .fold(writer.u8(count_u8(signatures.len())), |writer, one| writer.u8(one.number).bytes(&one.signature.0))
}

/// Reads what [`write_signatures`] wrote; numbers must ascend and be those of a possible set.
pub fn read_signatures(reader: &mut Reader<'_>) -> Result<Vec<NumberedSignature>, DecodeError> {
    let count = reader.u8("number of signatures")?;
    let mut signatures: Vec<NumberedSignature> = Vec::with_capacity(MAX_SERVERS);
    for _ in 0..count {
        let number = reader.u8("server number")?;
        let ascends = signatures.last().is_none_or(|before| before.number < number);
        if !ascends || usize::from(number) >= MAX_SERVERS {
            return Err(reader.error("server number", format!("{number} does not ascend or is no server's")));
        }
        signatures.push(NumberedSignature { number, signature: Signature(reader.array("signature")?) });
    }
    Ok(signatures)
}

/// Why a certificate is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The set has no such server.
    #[error("it carries a signature of server number {number}, but there are only {count} servers")]
    UnknownServer {
        /// The number in the certificate.
        number: u8,
        /// How many servers the set has.
        count: usize,
    },
    /// One server counted twice.
    #[error("the signatures are not ordered by server number, or server number {0} is there twice")]
    NotAscending(u8),
    /// A signature that does not fit.
    #[error("the signature of server {0} does not fit: somebody changed the bytes")]
    BadSignature(ServerKey),
    /// Not enough power.
    #[error("servers with power {power} of {total} signed: not enough for the rule `{rule}`")]
    NoQuorum {
        /// Power that signed, double signers left out.
        power: u64,
        /// Power of the whole set.
        total: u64,
        /// The rule that was asked for.
        rule: Rule,
    },
}

/// Power of the servers that signed `message`. Every signature must fit; one of a double signer
/// counts zero. Decoders let only ascending numbers through, but a list put together in memory
/// comes here too, and a server listed twice must not count twice.
pub(crate) fn power_of_signatures(
    message: &[u8],
    signatures: &[NumberedSignature],
    servers: &ServerSet,
    double_signers: &BTreeSet<ServerKey>,
) -> Result<u64, CertificateError> {
    if let Some(pair) = signatures.windows(2).find(|pair| pair[0].number >= pair[1].number) {
        return Err(CertificateError::NotAscending(pair[1].number));
    }
    let mut power_signed = 0_u64;
    for one in signatures {
        let unknown = CertificateError::UnknownServer { number: one.number, count: servers.count() };
        let (key, power) = servers.member(one.number).ok_or(unknown)?;
        if !key.verifies(message, &one.signature) {
            return Err(CertificateError::BadSignature(key));
        }
        if !double_signers.contains(&key) {
            power_signed += power;
        }
    }
    Ok(power_signed)
}

/// A checkpoint with signatures, numbers ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// What is signed.
    pub checkpoint: Checkpoint,
    /// By whom.
    pub signatures: Vec<NumberedSignature>,
}

impl Certificate {
    /// `checkpoint 257 ‖ n u8 ‖ n x (server number u8 ‖ signature 64)`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        write_signatures(Writer::default().bytes(&self.checkpoint.encode()), &self.signatures).finish()
    }

    /// Reads what [`Certificate::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("certificate", bytes);
        let certificate = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(certificate)
    }

    /// Reads a certificate out of a longer format.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { checkpoint: Checkpoint::read(reader)?, signatures: read_signatures(reader)? })
    }

    /// Checks all signatures and that the rule's power stands behind them. `double_signers` are
    /// the keys in evidence: they count zero while the denominator stays. Whether community, epoch
    /// and time are those that were asked for is for the caller.
    pub fn verify(
        &self,
        servers: &ServerSet,
        rule: Rule,
        double_signers: &BTreeSet<ServerKey>,
    ) -> Result<Grade, CertificateError> {
        let message = self.checkpoint.signed_bytes();
        let power = power_of_signatures(&message, &self.signatures, servers, double_signers)?;
        let total = servers.total();
        match Rule::grade(power, total) {
            Some(grade) if rule.is_quorum(power, total) => Ok(grade),
            _ => Err(CertificateError::NoQuorum { power, total, rule }),
        }
    }

    /// The fewest signatures that reach more than two thirds (all, if they do not): by power
    /// descending then number, as a server's record carries them.
    #[must_use]
    pub fn compact(&self, servers: &ServerSet) -> Self {
        let power = |one: &NumberedSignature| servers.member(one.number).map_or(0, |(_, power)| power);
        let mut by_power = self.signatures.clone();
        by_power.sort_by_key(|one| (std::cmp::Reverse(power(one)), one.number));
        let mut reached = 0_u64;
        let mut kept = Vec::new();
        for one in by_power {
            if Rule::TwoThirds.is_quorum(reached, servers.total()) {
                break;
            }
            reached = reached.saturating_add(power(&one));
            kept.push(one);
        }
        kept.sort_by_key(|one| one.number);
        Self { checkpoint: self.checkpoint.clone(), signatures: kept }
    }
}
