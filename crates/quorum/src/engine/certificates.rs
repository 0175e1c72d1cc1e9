//! Checks of the engine's own certificates. None of these ever serves a client as proof.
#![expect(clippy::result_large_err, reason = "the engine's own error type")]
use std::collections::BTreeSet;

use malachitebft_core_consensus::ThresholdParams;
use malachitebft_core_types::{
    CertificateError, CommitCertificate, NilOrVal, PolkaCertificate, RoundCertificate, RoundCertificateType,
    ThresholdParam, Validator, ValidatorSet, VoteType,
};
use seedbank_types::{CommunityId, Signature};

use super::context::{Address, Context, Members, Vote};
use super::wire::vote_bytes;

type Checked = Result<(), CertificateError<Context>>;

pub(super) fn check_commit(
    community: &CommunityId,
    certificate: &CommitCertificate<Context>,
    members: &Members,
    quorum: ThresholdParam,
) -> Checked {
    let mut tally = Tally::new(community, members);
    for one in &certificate.commit_signatures {
        let vote = Vote {
            kind: VoteType::Precommit,
            height: certificate.height,
            round: certificate.round,
            value: NilOrVal::Val(certificate.value_id),
            address: one.address,
        };
        let wrong = || CertificateError::InvalidCommitSignature(one.clone());
        tally.add(&vote, &one.signature, wrong)?;
    }
    tally.reaches(quorum)
}

pub(super) fn check_polka(
    community: &CommunityId,
    certificate: &PolkaCertificate<Context>,
    members: &Members,
    quorum: ThresholdParam,
) -> Checked {
    let mut tally = Tally::new(community, members);
    for one in &certificate.polka_signatures {
        let vote = Vote {
            kind: VoteType::Prevote,
            height: certificate.height,
            round: certificate.round,
            value: NilOrVal::Val(certificate.value_id),
            address: one.address,
        };
        let wrong = || CertificateError::InvalidPolkaSignature(one.clone());
        tally.add(&vote, &one.signature, wrong)?;
    }
    tally.reaches(quorum)
}

pub(super) fn check_rounds(
    community: &CommunityId,
    certificate: &RoundCertificate<Context>,
    members: &Members,
    thresholds: ThresholdParams,
) -> Checked {
    let mut tally = Tally::new(community, members);
    let precommits_only = certificate.cert_type == RoundCertificateType::Precommit;
    for one in &certificate.round_signatures {
        if precommits_only && one.vote_type == VoteType::Prevote {
            return Err(CertificateError::InvalidVoteType(one.address));
        }
        let vote = Vote {
            kind: one.vote_type,
            height: certificate.height,
            round: certificate.round,
            value: one.value_id,
            address: one.address,
        };
        let wrong = || CertificateError::InvalidRoundSignature(one.clone());
        tally.add(&vote, &one.signature, wrong)?;
    }
    tally.reaches(if precommits_only { thresholds.quorum } else { thresholds.honest })
}

struct Tally<'a> {
    community: &'a CommunityId,
    members: &'a Members,
    seen: BTreeSet<Address>,
    power: u64,
}

impl<'a> Tally<'a> {
    const fn new(community: &'a CommunityId, members: &'a Members) -> Self {
        Self { community, members, seen: BTreeSet::new(), power: 0 }
    }

    fn add(
        &mut self,
        vote: &Vote,
        signature: &Signature,
        wrong: impl FnOnce() -> CertificateError<Context>,
    ) -> Checked {
        let address = vote.address;
        let member = self.members.get_by_address(&address).ok_or(CertificateError::UnknownValidator(address))?;
        if !self.seen.insert(address) {
            return Err(CertificateError::DuplicateVote(address));
        }
        if !address.0.verifies(&vote_bytes(self.community, vote), signature) {
            return Err(wrong());
        }
        self.power += member.voting_power();
        Ok(())
    }

    fn reaches(&self, threshold: ThresholdParam) -> Checked {
        let (signed, total) = (self.power, self.members.total_voting_power());
        if threshold.is_met(signed, total) {
            return Ok(());
        }
        Err(CertificateError::NotEnoughVotingPower { signed, total, expected: threshold.min_expected(total) })
    }
}
