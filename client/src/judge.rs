//! Whether a certificate is believed, and how old is too old. Pure: the clock comes from outside.
mod reigns;

use std::collections::BTreeSet;
use std::fmt;

use seedbank_types::{
    Certificate, CertificateError, CommunityId, DecodeError, Epoch, Genesis, Grade, Handover, Rule, ServerKey,
    ServerSet, TimeMs, TrustFile,
};

use self::reigns::Reign;

/// Servers' clocks may be ahead of ours by so much.
const AHEAD_MS_MAX: u64 = 5 * 60 * 1000;
/// Younger than this is never stale, however short the epochs.
const STALE_AFTER_MS_MIN: u64 = 10 * 60 * 1000;
/// So many epochs without a certificate are too many.
const STALE_AFTER_EPOCHS: u64 = 3;

/// Why a certificate, or what carries it, is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unbelieved {
    #[error("{0}")]
    Malformed(#[from] DecodeError),
    #[error("it is of another community, {0}")]
    OtherCommunity(CommunityId),
    #[error("{0}")]
    Certificate(#[from] CertificateError),
    #[error("its time is {0} s ahead of this machine's clock: one of the clocks is wrong")]
    Ahead(u64),
    #[error("it is of epoch {epoch}, but only {latest} epochs can have ended by its time since the community began")]
    EpochTooHigh { epoch: Epoch, latest: u64 },
    #[error(
        "without server {0}, which was caught signing two checkpoints of one epoch, too few servers stand behind it"
    )]
    DoubleSigned(String),
    #[error("it is no handover to other servers that follows the last one")]
    NoHandover,
}

impl Unbelieved {
    /// Whether the trusted servers did sign it, and it still cannot be true.
    pub(crate) const fn is_signed(&self) -> bool {
        matches!(self, Self::Ahead(_) | Self::EpochTooHigh { .. })
    }
}

/// Why a genesis is not that of the community.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OtherGenesis(pub(crate) CommunityId);

impl fmt::Display for OtherGenesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the genesis is that of community {}", self.0)
    }
}

/// What certificates are measured by: the trust file, and the genesis once it is known.
#[derive(Debug, Clone)]
pub(crate) struct Judge {
    servers: ServerSet,
    /// The genesis' set, where it has the same keys with other powers: both must be satisfied.
    powers_of_genesis: Option<ServerSet>,
    rule: Rule,
    community: Option<CommunityId>,
    began: Option<TimeMs>,
    epoch_ms: Option<u64>,
    /// Keys in evidence.
    double_signers: BTreeSet<ServerKey>,
    /// The sets before the one in force, oldest first, and the handovers between them.
    reigns: Vec<Reign>,
    handovers: Vec<Handover>,
}

impl Judge {
    pub(crate) fn new(trust: &TrustFile, community: Option<CommunityId>) -> Self {
        let (servers, rule) = (trust.servers.clone(), trust.quorum);
        let double_signers = BTreeSet::new();
        Self {
            servers,
            powers_of_genesis: None,
            rule,
            community,
            began: None,
            epoch_ms: None,
            double_signers,
            reigns: Vec::new(),
            handovers: Vec::new(),
        }
    }

    /// Names the community, once; it is the one of the first certificate if nobody named it.
    pub(crate) fn pin(&mut self, community: CommunityId) {
        self.community.get_or_insert(community);
    }

    /// Takes the genesis into account. Its rule counts only with the servers of the trust file; the stricter one applies.
    pub(crate) fn learn(&mut self, genesis: &Genesis) -> Result<(), OtherGenesis> {
        let community = genesis.community();
        if self.community != Some(community) {
            return Err(OtherGenesis(community));
        }
        (self.began, self.epoch_ms) = (Some(genesis.created), Some(genesis.epoch_ms));
        let (first, powers_of_genesis) = match self.reigns.first_mut() {
            Some(reign) => (&reign.servers, &mut reign.powers_of_genesis),
            None => (&self.servers, &mut self.powers_of_genesis),
        };
        if genesis.servers.keys().eq(first.keys()) {
            self.rule = self.rule.stricter(genesis.quorum);
            *powers_of_genesis = (genesis.servers != *first).then(|| genesis.servers.clone());
        }
        Ok(())
    }

    pub(crate) const fn community(&self) -> Option<CommunityId> {
        self.community
    }

    pub(crate) const fn rule(&self) -> Rule {
        self.rule
    }

    pub(crate) const fn servers(&self) -> &ServerSet {
        &self.servers
    }

    pub(crate) const fn knows_genesis(&self) -> bool {
        self.began.is_some()
    }

    /// From now on this key counts zero in certificates; it must be in evidence.
    pub(crate) fn discredit(&mut self, key: ServerKey) {
        self.double_signers.insert(key);
    }

    /// Checks community, signatures, rule, time and epoch. Keys in evidence count zero.
    pub(crate) fn grade(&self, certificate: &Certificate, now: TimeMs) -> Result<Grade, Unbelieved> {
        let grade = self.grade_as_signed(certificate, now)?;
        if self.double_signers.is_empty() {
            return Ok(grade);
        }
        self.power(certificate, &self.double_signers).map_err(|_too_few| {
            let named: Vec<_> = self.double_signers.iter().map(ServerKey::short).collect();
            Unbelieved::DoubleSigned(named.join(", "))
        })
    }

    /// The same with every signature counted: what servers put their names to, whether or not they are honest.
    /// Two histories contradict each other even if those who signed both are known by now.
    pub(crate) fn grade_as_signed(&self, certificate: &Certificate, now: TimeMs) -> Result<Grade, Unbelieved> {
        let checkpoint = &certificate.checkpoint;
        if let Some(community) = self.community
            && community != checkpoint.community
        {
            return Err(Unbelieved::OtherCommunity(checkpoint.community));
        }
        let grade = self.power(certificate, &BTreeSet::new())?;
        self.check_plausible(checkpoint.epoch, checkpoint.time, now)?;
        Ok(grade)
    }

    /// What all signatures together are worth; community and time are for the caller.
    pub(crate) fn worth(&self, certificate: &Certificate) -> Option<Grade> {
        self.power(certificate, &BTreeSet::new()).ok()
    }

    /// What the signatures are worth without those of some keys.
    fn power(&self, certificate: &Certificate, without: &BTreeSet<ServerKey>) -> Result<Grade, CertificateError> {
        let (servers, powers_of_genesis) = self.set_at(certificate.checkpoint.epoch);
        let grade = certificate.verify(servers, self.rule, without)?;
        match powers_of_genesis {
            Some(servers) => Ok(grade.min(certificate.verify(servers, self.rule, without)?)),
            None => Ok(grade),
        }
    }

    fn check_plausible(&self, epoch: Epoch, time: TimeMs, now: TimeMs) -> Result<(), Unbelieved> {
        let ahead_ms = time.since(now);
        if ahead_ms > AHEAD_MS_MAX {
            return Err(Unbelieved::Ahead(ahead_ms / 1000));
        }
        let (Some(began), Some(epoch_ms)) = (self.began, self.epoch_ms) else { return Ok(()) };
        // By the checkpoint's own time: an epoch that ended then has had its full length, as have all before.
        let latest = time.since(began) / epoch_ms.max(1);
        if epoch.0 > latest { Err(Unbelieved::EpochTooHigh { epoch, latest }) } else { Ok(()) }
    }

    /// Whether balances of this age should no longer be relied on.
    pub(crate) fn is_stale(&self, age_ms: u64) -> bool {
        let epochs_ms = self.epoch_ms.map_or(0, |epoch_ms| epoch_ms.saturating_mul(STALE_AFTER_EPOCHS));
        age_ms > epochs_ms.max(STALE_AFTER_MS_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{COMMUNITY, NOW, certificate, genesis, signed, trust};

    #[test]
    fn two_of_three_are_crash_and_all_are_byzantine() {
        let judge = Judge::new(&trust(), Some(COMMUNITY));
        assert_eq!(judge.grade(&certificate(7, 1, &[0, 2]), NOW), Ok(Grade::Crash));
        assert_eq!(judge.grade(&certificate(7, 1, &[0, 1, 2]), NOW), Ok(Grade::Byzantine));
        let alone = judge.grade(&certificate(7, 1, &[1]), NOW);
        assert!(
            matches!(alone, Err(Unbelieved::Certificate(CertificateError::NoQuorum { power: 1, .. }))),
            "{alone:?}"
        );
    }

    #[test]
    fn another_community_is_refused_once_one_is_pinned() {
        let mut judge = Judge::new(&trust(), None);
        let certificate = certificate(7, 1, &[0, 1]);
        assert!(judge.grade(&certificate, NOW).is_ok());
        judge.pin(CommunityId([9; 32]));
        assert_eq!(judge.grade(&certificate, NOW), Err(Unbelieved::OtherCommunity(COMMUNITY)));
    }

    #[test]
    fn a_changed_bit_is_refused() {
        let judge = Judge::new(&trust(), Some(COMMUNITY));
        let mut certificate = certificate(7, 1, &[0, 1, 2]);
        certificate.checkpoint.root.0[5] ^= 1;
        assert!(judge.grade(&certificate, NOW).is_err());
    }

    #[test]
    fn time_more_than_five_minutes_ahead_is_refused() {
        let judge = Judge::new(&trust(), Some(COMMUNITY));
        let certificate = certificate(7, 1, &[0, 1, 2]);
        let time = certificate.checkpoint.time;
        assert!(judge.grade(&certificate, TimeMs(time.0 - AHEAD_MS_MAX)).is_ok());
        let ahead = judge.grade(&certificate, TimeMs(time.0 - AHEAD_MS_MAX - 1));
        assert_eq!(ahead, Err(Unbelieved::Ahead(300)));
    }

    #[test]
    fn the_genesis_bounds_the_epoch() {
        let genesis = genesis(Rule::Majority);
        let mut judge = Judge::new(&trust(), Some(genesis.community()));
        judge.learn(&genesis).expect("the genesis of this community");
        let of_epoch = |epoch| signed(genesis.community(), epoch, 1, &[0, 1, 2]);
        let latest = of_epoch(40).checkpoint.time.since(genesis.created) / genesis.epoch_ms;
        assert!(judge.grade(&of_epoch(latest), NOW).is_ok());
        let high = judge.grade(&of_epoch(latest + 1), NOW);
        assert_eq!(high, Err(Unbelieved::EpochTooHigh { epoch: Epoch(latest + 1), latest }));
    }

    #[test]
    fn the_stricter_rule_of_file_and_genesis_applies() {
        let genesis = genesis(Rule::TwoThirds);
        let mut judge = Judge::new(&trust(), Some(genesis.community()));
        let by_two = signed(genesis.community(), 7, 1, &[0, 1]);
        assert!(judge.grade(&by_two, NOW).is_ok());
        judge.learn(&genesis).expect("the genesis of this community");
        assert_eq!(judge.rule(), Rule::TwoThirds);
        assert!(judge.grade(&by_two, NOW).is_err());
        let mut strict = Judge::new(&TrustFile { quorum: Rule::TwoThirds, ..trust() }, None);
        let lax = crate::samples::genesis(Rule::Majority);
        strict.pin(lax.community());
        strict.learn(&lax).expect("the genesis of this community");
        assert_eq!(strict.rule(), Rule::TwoThirds);
    }

    #[test]
    fn a_genesis_of_another_community_teaches_nothing() {
        let mut judge = Judge::new(&trust(), Some(COMMUNITY));
        let other = genesis(Rule::TwoThirds);
        assert_eq!(judge.learn(&other), Err(OtherGenesis(other.community())));
        assert_eq!(judge.rule(), Rule::Majority);
    }

    #[test]
    fn a_double_signer_counts_zero_while_the_total_stays() {
        let mut judge = Judge::new(&trust(), Some(COMMUNITY));
        let (key, _) = judge.servers().member(1).expect("three servers");
        judge.discredit(key);
        assert_eq!(judge.grade(&certificate(7, 1, &[0, 1]), NOW), Err(Unbelieved::DoubleSigned(key.short())));
        assert_eq!(judge.grade_as_signed(&certificate(7, 1, &[0, 1]), NOW), Ok(Grade::Crash));
        assert_eq!(judge.grade(&certificate(7, 1, &[0, 2]), NOW), Ok(Grade::Crash));
        assert_eq!(judge.grade(&certificate(7, 1, &[0, 1, 2]), NOW), Ok(Grade::Crash), "not byzantine any more");
    }

    #[test]
    fn stale_is_older_than_three_epochs_and_ten_minutes() {
        let genesis = genesis(Rule::Majority);
        let mut judge = Judge::new(&trust(), Some(genesis.community()));
        assert!(!judge.is_stale(600_000));
        assert!(judge.is_stale(600_001));
        judge.learn(&Genesis { epoch_ms: 3_600_000, ..genesis.clone() }).expect_err("another hash");
        judge.epoch_ms = Some(3_600_000);
        assert!(!judge.is_stale(3 * 3_600_000));
        assert!(judge.is_stale(3 * 3_600_000 + 1));
    }
}
