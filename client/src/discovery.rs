//! Finding the newest certificate: the records of all servers are read from the DHT, judged and ranked.
use std::collections::BTreeMap;
use std::time::Duration;

use seedbank_dht::{DhtHandle, FoundRecord};
use seedbank_types::{
    Certificate, CertificateError, Contact, Epoch, Evidence, Genesis, Grade, Handover, ServerKey, ServerRecord, TimeMs,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::errors::{Exit, Failure};
use crate::evidence::{EVIDENCE_PER_KEY_MAX, is_against};
use crate::following;
use crate::judge::{Judge, OtherGenesis, Unbelieved};
use crate::ranking::{Conflict, Place, Ranking};
use crate::report;

/// After the first certificate is accepted, the other servers' records are read for so long.
const READ_ON: Duration = Duration::from_secs(5);
/// Datagrams get lost: a look-up that finds nothing at all is repeated so often.
const REPEATS: u32 = 2;
/// Signed statements that are compared with each other; the oldest heard is forgotten first.
const STATEMENTS_MAX: usize = 64;

/// The newest record of one server.
#[derive(Debug)]
struct Heard {
    seq: u64,
    /// What it says, whether or not it is believed: it may show the way to a handover.
    said: Option<ServerRecord>,
    record: Result<(ServerRecord, Grade), Unbelieved>,
}

/// What the records say of the newest epoch, judged and ranked.
#[derive(Debug)]
pub(crate) struct Records {
    judge: Judge,
    kept: Option<(Certificate, Grade)>,
    ranking: Ranking,
    heard: BTreeMap<ServerKey, Heard>,
    /// Everything that servers put their names to, be it certified or not.
    statements: Vec<Certificate>,
    /// Proofs against those who signed two checkpoints of one epoch.
    evidence: Vec<Evidence>,
    /// How many handovers were known when this run began.
    handovers_before: usize,
}

impl Records {
    /// `kept` is the certificate of the highest epoch seen in earlier runs.
    pub(crate) fn new(judge: Judge, kept: Option<(Certificate, Grade)>) -> Self {
        let ranking = Ranking::starting_with(kept.clone());
        let statements = kept.iter().map(|(certificate, _)| certificate.clone()).collect();
        let handovers_before = judge.handovers().len();
        Self { judge, kept, ranking, heard: BTreeMap::new(), statements, evidence: Vec::new(), handovers_before }
    }

    pub(crate) const fn judge(&self) -> &Judge {
        &self.judge
    }

    /// The newest certificate of all, earlier runs included.
    pub(crate) fn newest(&self) -> Option<&(Certificate, Grade)> {
        self.ranking.newest()
    }

    /// Takes the record of one server into account; true if it is news. A certificate from elsewhere goes the same way.
    pub(crate) fn take(&mut self, found: &FoundRecord, now: TimeMs) -> Result<bool, Box<Conflict>> {
        if self.heard.get(&found.key).is_some_and(|heard| heard.seq > found.seq) {
            return Ok(false);
        }
        let judged = self.judge_value(&found.value, now);
        if let Err(error) = &judged {
            tracing::warn!(server = %found.key.short(), %error, "a record is not believed");
        }
        let place = match &judged {
            Ok((record, grade)) => Some(self.rank(&record.certificate, *grade)?),
            Err(_) => None,
        };
        let said = ServerRecord::decode(&found.value).ok();
        self.heard.insert(found.key, Heard { seq: found.seq, said, record: judged });
        Ok(place == Some(Place::Newest))
    }

    /// Takes a certificate that did not come in a record.
    pub(crate) fn take_certificate(&mut self, certificate: &Certificate, now: TimeMs) -> Result<(), Failed> {
        let grade = self.judge.grade_as_signed(certificate, now)?;
        self.note_statement(certificate);
        self.rank(certificate, grade)?;
        Ok(())
    }

    /// Takes a proof that a server signed twice, if it proves anything: the key counts zero from now on.
    pub(crate) fn accuse(&mut self, evidence: Evidence) {
        let is_known = |one: &Evidence| (one.key, one.a.epoch) == (evidence.key, evidence.a.epoch);
        let of_key = self.evidence.iter().filter(|one| one.key == evidence.key).count();
        if of_key >= EVIDENCE_PER_KEY_MAX || self.evidence.iter().any(is_known) {
            return;
        }
        let community = self.judge.community();
        if community.is_some_and(|community| is_against(&evidence, community, self.judge.servers())) {
            self.judge.discredit(evidence.key);
            self.evidence.push(evidence);
        }
    }

    /// All proofs against servers of the trust file.
    pub(crate) fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    fn judge_value(&mut self, value: &[u8], now: TimeMs) -> Result<(ServerRecord, Grade), Unbelieved> {
        let record = ServerRecord::decode(value)?;
        let graded = self.judge.grade_as_signed(&record.certificate, now);
        if graded.is_ok() {
            self.judge.pin(record.certificate.checkpoint.community);
        }
        if let Ok(_) | Err(Unbelieved::Certificate(CertificateError::NoQuorum { power: 1.., .. })) = graded {
            self.note_statement(&record.certificate);
        }
        Ok((record, graded?))
    }

    fn rank(&mut self, certificate: &Certificate, grade: Grade) -> Result<Place, Box<Conflict>> {
        self.judge.pin(certificate.checkpoint.community);
        let known = self.ranking.at(certificate.checkpoint.epoch);
        let merged =
            known.filter(|known| known.checkpoint == certificate.checkpoint).map(|known| merged(known, certificate));
        match merged.and_then(|merged| Some((self.judge.worth(&merged)?, merged))) {
            Some((grade, merged)) => self.ranking.take(&merged, grade),
            None => self.ranking.take(certificate, grade),
        }
    }

    /// A statement with true signatures; whoever also signed another of the same epoch is caught.
    fn note_statement(&mut self, certificate: &Certificate) {
        if self.statements.contains(certificate) {
            return;
        }
        let is_rival = |other: &&Certificate| {
            let (one, other) = (&certificate.checkpoint, &other.checkpoint);
            (one.community, one.epoch) == (other.community, other.epoch) && one != other
        };
        let rivals = self.statements.iter().filter(is_rival);
        let conflicts = rivals.map(|other| Conflict { one: other.clone(), other: certificate.clone() });
        let found: Vec<_> = conflicts.flat_map(|conflict| conflict.evidence(self.judge.servers())).collect();
        found.into_iter().for_each(|evidence| self.accuse(evidence));
        self.statements.push(certificate.clone());
        if self.statements.len() > STATEMENTS_MAX {
            self.statements.remove(0);
        }
    }

    /// Takes the genesis into account: what was believed so far is judged again, by the stricter rule.
    pub(crate) fn learn(&mut self, genesis: &Genesis, now: TimeMs) -> Result<(), LearnError> {
        self.judge.learn(genesis)?;
        let still = |judge: &Judge, certificate: &Certificate| judge.grade_as_signed(certificate, now);
        self.kept = self.kept.take().and_then(|(kept, _)| still(&self.judge, &kept).ok().map(|grade| (kept, grade)));
        self.ranking = Ranking::starting_with(self.kept.clone());
        for heard in self.heard.values_mut() {
            let Ok((record, grade)) = &mut heard.record else { continue };
            match still(&self.judge, &record.certificate) {
                Ok(again) => {
                    *grade = again;
                    self.ranking.take(&record.certificate, again)?;
                }
                Err(unbelieved) => heard.record = Err(unbelieved),
            }
        }
        Ok(())
    }

    /// Signed statements that contradict the newest certificate, without being certified.
    pub(crate) fn disputes(&self) -> Vec<&Certificate> {
        let Some((newest, _)) = self.newest() else { return Vec::new() };
        let newest = &newest.checkpoint;
        let differs = |other: &&Certificate| other.checkpoint.epoch == newest.epoch && other.checkpoint != *newest;
        self.statements.iter().filter(differs).collect()
    }

    /// Contacts in all believed records.
    pub(crate) fn contacts(&self) -> Vec<Contact> {
        let believed = self.heard.values().filter_map(|heard| heard.record.as_ref().ok());
        believed.flat_map(|(record, _)| record.contacts.clone()).collect()
    }

    /// For each server: the epoch of its record, or why there is none to be believed.
    pub(crate) fn by_server(&self) -> Vec<(ServerKey, Result<Epoch, String>)> {
        let of = |key: ServerKey| match self.heard.get(&key).map(|heard| &heard.record) {
            Some(Ok((record, _))) => (key, Ok(record.certificate.checkpoint.epoch)),
            Some(Err(unbelieved)) => (key, Err(unbelieved.to_string())),
            None => (key, Err("no record found".to_owned())),
        };
        self.judge.servers().keys().map(of).collect()
    }

    /// Whether something that was heard shows that other servers may be in force by now.
    pub(crate) fn looks_changed(&self) -> bool {
        let newest = self.newest().map(|(newest, _)| &newest.checkpoint);
        let is_newer =
            |certificate: &Certificate| newest.is_none_or(|newest| newest.epoch < certificate.checkpoint.epoch);
        let unbelieved = self.heard.values().any(|heard| {
            matches!(heard.record, Err(Unbelieved::Certificate(_)))
                && heard.said.as_ref().is_some_and(|said| is_newer(&said.certificate))
        });
        unbelieved || newest.is_some_and(|newest| newest.servers != self.judge.servers_hash())
    }

    /// The changes of servers that were not known when this run began, in words.
    pub(crate) fn changes_of_this_run(&self) -> Vec<String> {
        let changes = self.judge.changes().skip(self.handovers_before);
        changes.map(|(from, handover)| following::words(from, handover)).collect()
    }

    /// The community that records name, believed or not: only good for asking.
    pub(crate) fn claimed_community(&self) -> Option<seedbank_types::CommunityId> {
        let mut said = self.heard.values().filter_map(|heard| heard.said.as_ref());
        said.next().map(|said| said.certificate.checkpoint.community)
    }

    /// Contacts in all records, believed or not: only good for asking what proves itself.
    pub(crate) fn hinted_contacts(&self) -> Vec<Contact> {
        self.heard.values().filter_map(|heard| heard.said.as_ref()).flat_map(|said| said.contacts.clone()).collect()
    }

    /// Follows the longest of these ways to the servers in force; what contradicts it is a conflict.
    pub(crate) fn follow(&mut self, answers: &[Vec<Handover>], now: TimeMs) -> Result<(), Box<Conflict>> {
        let walk = |handovers: &[Handover]| {
            let mut judge = self.judge.clone();
            let count = handovers.iter().take_while(|handover| judge.follow(handover, now).is_ok()).count();
            (count, judge)
        };
        let Some((count, judge)) = answers.iter().map(|handovers| walk(handovers)).max_by_key(|(count, _)| *count)
        else {
            return Ok(());
        };
        if count == 0 {
            return Ok(());
        }
        self.judge = judge;
        let newest = self.newest().map(|(newest, _)| newest.clone());
        let said = self.heard.values().filter_map(|heard| heard.said.as_ref()).map(|said| said.certificate.clone());
        let told = answers.iter().flatten().map(|handover| handover.certificate.clone());
        let all: Vec<Certificate> = newest.into_iter().chain(said).chain(told).collect();
        for certificate in &all {
            self.hold_against_handovers(certificate, now)?;
        }
        for handover in answers.iter().flatten() {
            if let Some(other) = self.judge.named_twice(handover, now) {
                let (one, other) = (handover.certificate.clone(), other.certificate.clone());
                return Err(Box::new(Conflict { one, other }));
            }
        }
        // What was not believed is read again, and judged by the servers in force.
        self.heard.retain(|_, heard| heard.record.is_ok());
        Ok(())
    }

    /// Two certified handovers of one set, and a set that signs on after its own, are certificates that contradict
    /// each other.
    fn hold_against_handovers(&mut self, certificate: &Certificate, now: TimeMs) -> Result<(), Box<Conflict>> {
        if let Ok(grade) = self.judge.grade_as_signed(certificate, now) {
            self.rank(certificate, grade)?;
        } else if let Some(handover) = self.judge.signed_on(certificate) {
            let (one, other) = (handover.certificate.clone(), certificate.clone());
            return Err(Box::new(Conflict { one, other }));
        }
        Ok(())
    }

    /// Whether any record was believed in this run.
    pub(crate) fn any_believed(&self) -> bool {
        self.heard.values().any(|heard| heard.record.is_ok())
    }

    /// Why there is nothing to be believed.
    fn nothing_believed(&self) -> Failure {
        let unbelieved = |key: &ServerKey, heard: &Heard| {
            heard.record.as_ref().err().map(|error| (error.is_signed(), format!("server {}: {error}", key.short())))
        };
        let reasons: Vec<_> = self.heard.iter().filter_map(|(key, heard)| unbelieved(key, heard)).collect();
        let words: Vec<_> = reasons.iter().map(|(_, words)| words.as_str()).collect();
        if reasons.iter().any(|(is_signed, _)| *is_signed) {
            let message = format!("the servers signed what cannot be true: {}", words.join("; "));
            return Failure::unverified(
                message,
                "Check the clock of this machine, then ask the people who run the servers.",
            );
        }
        let found = if words.is_empty() { String::new() } else { format!(" ({})", words.join("; ")) };
        let message =
            format!("the DHT has no record signed by the servers of the trust file{found}: nothing was downloaded");
        let next = "Check that the trust file is the one of this community and that its servers have been running for an epoch.";
        Failure::new(Exit::NoRecord, message, next)
    }
}

/// All signatures of two certificates of one checkpoint.
fn merged(one: &Certificate, other: &Certificate) -> Certificate {
    let is_new =
        |more: &&seedbank_types::NumberedSignature| !one.signatures.iter().any(|own| own.number == more.number);
    let mut merged = one.clone();
    merged.signatures.extend(other.signatures.iter().filter(is_new));
    merged.signatures.sort_by_key(|signed| signed.number);
    merged
}

/// Why a certificate was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("{0}")]
    Unbelieved(#[from] Unbelieved),
    #[error("two certificates contradict each other")]
    Conflict(Box<Conflict>),
}

impl From<Box<Conflict>> for Failed {
    fn from(conflict: Box<Conflict>) -> Self {
        Self::Conflict(conflict)
    }
}

/// Why a genesis was not learnt.
#[derive(Debug)]
pub(crate) enum LearnError {
    Other(OtherGenesis),
    Conflict(Box<Conflict>),
}

impl From<OtherGenesis> for LearnError {
    fn from(other: OtherGenesis) -> Self {
        Self::Other(other)
    }
}

impl From<Box<Conflict>> for LearnError {
    fn from(conflict: Box<Conflict>) -> Self {
        Self::Conflict(conflict)
    }
}

/// Why reading the DHT ended without a certificate.
#[derive(Debug)]
pub(crate) enum ReadError {
    Failure(Failure),
    Conflict(Box<Conflict>),
}

/// Reads all servers' records from the DHT.
#[derive(Debug)]
pub(crate) struct Discovery {
    pub(crate) records: Records,
    pub(crate) dht: DhtHandle,
    found: mpsc::Receiver<FoundRecord>,
    repeats: u32,
    deadline: Option<Instant>,
}

impl Discovery {
    /// Starts all look-ups at once.
    pub(crate) fn start(dht: &DhtHandle, records: Records) -> Self {
        let found = look_up(dht, &records);
        Self { records, dht: dht.clone(), found, repeats: REPEATS, deadline: None }
    }

    /// Looks again, for the servers in force by now and those before them.
    pub(crate) fn again(&mut self) {
        self.found = look_up(&self.dht, &self.records);
        self.deadline = Some(Instant::now() + READ_ON);
    }

    /// Reads until a record is believed. If none is, this is the end.
    pub(crate) async fn first(&mut self) -> Result<(), ReadError> {
        while !self.records.any_believed() {
            match self.found.recv().await {
                Some(found) => drop(self.records.take(&found, report::now()).map_err(ReadError::Conflict)?),
                None if self.records.heard.is_empty() && self.repeats > 0 => {
                    self.repeats -= 1;
                    self.found = look_up(&self.dht, &self.records);
                }
                None => return Err(ReadError::Failure(self.nothing().await)),
            }
        }
        self.deadline = Some(Instant::now() + READ_ON);
        Ok(())
    }

    /// Reads the other servers' records until all look-ups are complete, but not for long.
    pub(crate) async fn rest(&mut self) -> Result<(), Box<Conflict>> {
        let deadline = self.deadline.unwrap_or_else(Instant::now);
        loop {
            tokio::select! {
                found = self.found.recv() => match found {
                    Some(found) => drop(self.records.take(&found, report::now())?),
                    None => return Ok(()),
                },
                () = sleep_until(deadline) => return Ok(()),
            }
        }
    }

    async fn nothing(&self) -> Failure {
        let known = self.dht.known_nodes().await.unwrap_or(0);
        if known == 0 {
            let next = "Check the network and the bootstrap lines of the trust file, then try again.";
            return Failure::new(Exit::NoPeers, "no node of the DHT answered", next);
        }
        self.records.nothing_believed()
    }
}

fn look_up(dht: &DhtHandle, records: &Records) -> mpsc::Receiver<FoundRecord> {
    dht.records(&records.judge.all_keys())
}

#[cfg(test)]
mod tests {
    use seedbank_types::{CommunityId, Rule, Signature};

    use super::*;
    use crate::samples::{self, COMMUNITY, NOW, genesis, signed, trust};

    fn found(number: usize, seq: u64, certificate: Certificate) -> FoundRecord {
        let record = ServerRecord { certificate, contacts: vec![Contact::Api(format!("http://{number}"))] };
        let key = samples::secrets()[number].public();
        FoundRecord { key, seq, value: record.encode(), signature: Signature([0; 64]) }
    }

    fn certificate(epoch: u64, root: u8, signers: &[u8]) -> Certificate {
        samples::certificate(epoch, root, signers)
    }

    fn records() -> Records {
        Records::new(Judge::new(&trust(), None), None)
    }

    #[test]
    fn the_newest_epoch_of_all_servers_is_taken_and_the_community_pinned() {
        let mut records = records();
        assert_eq!(records.take(&found(0, 1, certificate(4, 1, &[0, 1])), NOW).ok(), Some(true));
        assert_eq!(records.judge().community(), Some(COMMUNITY));
        assert_eq!(records.take(&found(1, 1, certificate(6, 1, &[0, 1, 2])), NOW).ok(), Some(true));
        let other = signed(CommunityId([2; 32]), 99, 1, &[0, 1, 2]);
        assert_eq!(records.take(&found(2, 1, other), NOW).ok(), Some(false));
        let (newest, grade) = records.newest().expect("two were believed");
        assert_eq!((newest.checkpoint.epoch, *grade), (Epoch(6), Grade::Byzantine));
        assert_eq!(records.contacts().len(), 2, "only those of believed records");
    }

    #[test]
    fn an_older_record_never_beats_what_earlier_runs_saw() {
        let kept = (certificate(9, 1, &[0, 1]), Grade::Crash);
        let mut records = Records::new(Judge::new(&trust(), Some(COMMUNITY)), Some(kept));
        assert_eq!(records.take(&found(0, 1, certificate(4, 1, &[0, 1, 2])), NOW).ok(), Some(false));
        assert_eq!(records.newest().expect("kept").0.checkpoint.epoch, Epoch(9));
    }

    #[test]
    fn a_second_certificate_of_an_epoch_stops_everything() {
        let mut records = records();
        records.take(&found(0, 1, certificate(4, 1, &[0, 1])), NOW).expect("the first");
        let conflict = records.take(&found(1, 1, certificate(4, 2, &[1, 2])), NOW).expect_err("the second");
        assert_eq!(conflict.epoch(), Epoch(4));
    }

    #[test]
    fn a_differing_statement_of_too_few_is_kept_as_a_dispute() {
        let mut records = records();
        records.take(&found(0, 1, certificate(4, 1, &[0, 1])), NOW).expect("the first");
        assert_eq!(records.take(&found(2, 1, certificate(4, 2, &[2])), NOW).ok(), Some(false));
        assert_eq!(records.disputes().len(), 1);
        assert_eq!(records.newest().expect("one").0.checkpoint.root.0, [1; 32]);
    }

    #[test]
    fn who_signed_two_checkpoints_is_caught_and_counts_zero_whichever_is_heard_first() {
        for order in [[0_usize, 1], [1, 0]] {
            let statements = [found(0, 1, certificate(4, 1, &[0, 1])), found(2, 1, certificate(4, 2, &[1]))];
            let mut records = records();
            for index in order {
                records.take(&statements[index], NOW).expect("no second certificate");
            }
            let liar = samples::secrets()[1].public();
            let caught: Vec<_> = records.evidence().iter().map(|one| (one.key, one.a.epoch)).collect();
            assert_eq!(caught, [(liar, Epoch(4))]);
            assert_eq!(records.disputes().len(), 1);
            let newest = &records.newest().expect("one").0;
            assert_eq!(records.judge().grade(newest, NOW), Err(Unbelieved::DoubleSigned(liar.short())));
            records.take(&found(2, 2, certificate(4, 1, &[0, 2])), NOW).expect("the same checkpoint");
            let newest = &records.newest().expect("one").0;
            assert_eq!(records.judge().grade(newest, NOW), Ok(Grade::Crash), "two honest servers are a quorum");
        }
    }

    #[test]
    fn accusations_are_believed_only_with_proof_against_a_known_server() {
        let mut records = Records::new(Judge::new(&trust(), Some(COMMUNITY)), None);
        let conflict = |epoch| Conflict { one: certificate(epoch, 1, &[0]), other: certificate(epoch, 2, &[0]) };
        let good = |epoch| conflict(epoch).evidence(&samples::servers()).remove(0);
        let key = samples::secrets()[1].public();
        let forged = Evidence { key, ..good(1) };
        let elsewhere =
            Conflict { one: signed(CommunityId([2; 32]), 1, 1, &[0]), other: signed(CommunityId([2; 32]), 1, 2, &[0]) };
        records.accuse(forged);
        records.accuse(elsewhere.evidence(&samples::servers()).remove(0));
        assert_eq!(records.evidence(), []);
        for epoch in [1, 1, 2, 3, 4, 5, 6] {
            records.accuse(good(epoch));
        }
        assert_eq!(records.evidence().len(), EVIDENCE_PER_KEY_MAX);
    }

    #[test]
    fn the_genesis_makes_the_rule_stricter_for_what_was_believed_before() {
        let genesis = genesis(Rule::TwoThirds);
        let community = genesis.community();
        let mut records = records();
        records.take(&found(0, 1, signed(community, 4, 1, &[0, 1, 2])), NOW).expect("by all");
        records.take(&found(1, 1, signed(community, 6, 1, &[0, 1])), NOW).expect("by two");
        assert_eq!(records.newest().expect("two").0.checkpoint.epoch, Epoch(6));
        records.learn(&genesis, NOW).expect("the genesis of this community");
        assert_eq!(records.newest().expect("one").0.checkpoint.epoch, Epoch(4));
    }

    #[test]
    fn nothing_signed_is_exit_6_and_what_cannot_be_true_is_exit_5() {
        let mut records = records();
        assert_eq!(records.nothing_believed().exit, Exit::NoRecord);
        records.take(&found(0, 1, certificate(4, 1, &[0])), NOW).expect("no conflict");
        assert_eq!(records.nothing_believed().exit, Exit::NoRecord);
        let mut ahead = samples::checkpoint(COMMUNITY, 4, 1, seedbank_types::Hash::ZERO);
        ahead.time = NOW.plus_ms(3_600_000);
        records.take(&found(1, 1, samples::sign(ahead, &[0, 1, 2])), NOW).expect("no conflict");
        assert_eq!(records.nothing_believed().exit, Exit::Unverified);
    }
}
