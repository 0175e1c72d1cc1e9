//! Handovers: how a set of servers names the next one.
use std::collections::BTreeSet;

use crate::codec::{DecodeError, Reader, Writer};
use crate::{Certificate, CertificateError, Rule, ServerKey, ServerSet};

/// A certificate by the set in force, and the set that its checkpoint names for the next epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// Signed by the set in force.
    pub certificate: Certificate,
    /// Who signs from the next epoch on.
    pub next: ServerSet,
}

/// Why a handover is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandoverError {
    /// The signers do not vouch for it.
    #[error("the handover's certificate is not believed: {0}")]
    Certificate(#[from] CertificateError),
    /// The set is not the one signed.
    #[error("the new servers are not those that the certificate names")]
    OtherServers,
    /// Nothing changes.
    #[error("the handover names the servers that sign it: nothing changes")]
    Unchanged,
}

impl Handover {
    /// `version u8 ‖ checkpoint 257 ‖ n u8 ‖ n x (number u8 ‖ signature 64) ‖ k u8 ‖ k x (key 32 ‖ power u64)`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Writer::default().u8(1).bytes(&self.certificate.encode()).bytes(&self.next.encode()).finish()
    }

    /// Reads what [`Handover::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("handover", bytes);
        reader.version()?;
        let handover = Self { certificate: Certificate::read(&mut reader)?, next: ServerSet::read(&mut reader)? };
        reader.finish()?;
        Ok(handover)
    }

    /// Checks that `servers` handed over to [`Handover::next`].
    pub fn verify(&self, servers: &ServerSet, rule: Rule) -> Result<(), HandoverError> {
        self.verify_without(servers, rule, &BTreeSet::new())
    }

    /// Like [`Handover::verify`], where the keys in evidence count zero.
    pub fn verify_without(
        &self,
        servers: &ServerSet,
        rule: Rule,
        double_signers: &BTreeSet<ServerKey>,
    ) -> Result<(), HandoverError> {
        self.certificate.verify(servers, rule, double_signers)?;
        let named = self.next.hash();
        if named != self.certificate.checkpoint.servers {
            return Err(HandoverError::OtherServers);
        }
        if named == servers.hash() { Err(HandoverError::Unchanged) } else { Ok(()) }
    }
}
