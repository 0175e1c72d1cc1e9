//! Proofs: one account's record, or that there is none, under a certificate.
mod build;
mod error;

use std::cmp::Ordering;
use std::collections::BTreeSet;

use seedbank_types::{
    AccountId, AccountRecord, Certificate, CommunityId, DecodeError, Epoch, Grade, Hash, Reader, Rule, ServerSet,
    TimeMs, Writer, tree,
};

use crate::buckets::bucket_hash_of_root;
use crate::{BUCKET_BITS_MAX, bucket_bits, bucket_of, state_root};

pub use error::{BuildError, ProofError};

/// What a proof shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofKind {
    /// The account's record.
    Present,
    /// That the account has no record.
    Absent,
}

/// A record with its place in its bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    record: AccountRecord,
    index: u32,
    path: Vec<Hash>,
}

/// A record, or its neighbours where it would be, with all hashes up to the root that a
/// certificate carries.
///
/// Decoded bytes prove nothing yet: see [`Proof::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    kind: ProofKind,
    id: AccountId,
    bits: u8,
    bucket_count: u32,
    /// Present: the record. Absent: those before and after where it would be, as far as there are.
    places: Vec<Place>,
    /// From the bucket to the top.
    path: Vec<Hash>,
    certificate: Certificate,
}

/// What a verified proof says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The account's record; `None`: it has none.
    pub record: Option<AccountRecord>,
    /// At the end of this epoch.
    pub epoch: Epoch,
    /// When that epoch was closed.
    pub time: TimeMs,
    /// How many servers stand behind it.
    pub grade: Grade,
}

impl Proof {
    /// Whose record this is about.
    #[must_use]
    pub const fn id(&self) -> AccountId {
        self.id
    }

    /// Whether it shows a record or that there is none.
    #[must_use]
    pub const fn kind(&self) -> ProofKind {
        self.kind
    }

    /// The servers' word for the root.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// `version u8 ‖ kind u8 (0 present, 1 absent) ‖ id 20 ‖ b u8 ‖ bucket count u32 ‖ m u8 ‖
    /// m x (record 36 ‖ index u32 ‖ path) ‖ b x 32 ‖ certificate`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let kind = match self.kind {
            ProofKind::Present => 0,
            ProofKind::Absent => 1,
        };
        let places = u8::try_from(self.places.len()).expect("there are at most 2");
        let start = Writer::default().u8(1).u8(kind).bytes(&self.id.0).u8(self.bits).u32(self.bucket_count).u8(places);
        let writer = self.places.iter().fold(start, |writer, place| {
            let writer = writer.bytes(&place.record.encode()).u32(place.index);
            write_path(writer, &place.path)
        });
        write_path(writer, &self.path).bytes(&self.certificate.encode()).finish()
    }

    /// Reads what [`Proof::encode`] wrote. The lengths of the paths follow from `b` and the count.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("proof", bytes);
        reader.version()?;
        let kind = match reader.u8("kind")? {
            0 => ProofKind::Present,
            1 => ProofKind::Absent,
            other => return Err(reader.error("kind", format!("no kind is {other}"))),
        };
        let id = AccountId(reader.array("account")?);
        let bits = read_bits(&mut reader)?;
        let bucket_count = reader.u32("bucket count")?;
        let places = read_places(&mut reader, kind, bucket_count)?;
        let path = read_path(&mut reader, usize::from(bits))?;
        let certificate = Certificate::read(&mut reader)?;
        reader.finish()?;
        Ok(Self { kind, id, bits, bucket_count, places, path, certificate })
    }

    /// Checks every link from the records to the signatures. `id` is whom the caller asks about: a
    /// true proof about somebody else is no answer.
    ///
    /// Signatures of keys in evidence count here like all others; who holds evidence verifies
    /// [`Proof::certificate`] with it, too.
    pub fn verify(
        &self,
        id: &AccountId,
        community: &CommunityId,
        servers: &ServerSet,
        rule: Rule,
    ) -> Result<Proven, ProofError> {
        let checkpoint = &self.certificate.checkpoint;
        if self.id != *id {
            return Err(ProofError::OtherAccount { asked: *id, got: self.id });
        }
        if checkpoint.community != *community {
            return Err(ProofError::OtherCommunity(checkpoint.community));
        }
        let grade = self.certificate.verify(servers, rule, &BTreeSet::new())?;
        if self.bits != bucket_bits(checkpoint.count) {
            return Err(ProofError::Bits { bits: self.bits, count: checkpoint.count });
        }
        let record = self.conclusion()?;
        let leaves = self.root_of_leaves().ok_or(ProofError::Root)?;
        if self.root_over(&leaves) != Some(checkpoint.root) {
            return Err(ProofError::Root);
        }
        Ok(Proven { record, epoch: checkpoint.epoch, time: checkpoint.time, grade })
    }

    /// What the records say about the account, if they are where they claim to be.
    fn conclusion(&self) -> Result<Option<AccountRecord>, ProofError> {
        let side = |place: &Place| place.record.id.cmp(&self.id);
        let first = |place: &Place| place.index == 0;
        let last = |place: &Place| place.index.checked_add(1) == Some(self.bucket_count);
        let absent = match (self.kind, &self.places[..]) {
            (ProofKind::Present, [own]) if side(own) == Ordering::Equal => return Ok(Some(own.record)),
            (ProofKind::Absent, []) => self.bucket_count == 0,
            (ProofKind::Absent, [one]) => match side(one) {
                Ordering::Less => last(one),
                Ordering::Equal => false,
                Ordering::Greater => first(one),
            },
            (ProofKind::Absent, [before, after]) => {
                let between = side(before) == Ordering::Less && side(after) == Ordering::Greater;
                between && before.index.checked_add(1) == Some(after.index)
            }
            _ => false,
        };
        if absent { Ok(None) } else { Err(ProofError::Places(self.id)) }
    }

    /// The root of the bucket's leaves, on which all places must agree.
    fn root_of_leaves(&self) -> Option<Hash> {
        let root_of = |place: &Place| {
            let leaf = tree::leaf(&place.record.encode());
            tree::root_of_path(leaf, u64::from(place.index), u64::from(self.bucket_count), &place.path)
        };
        let mut roots = self.places.iter().map(root_of);
        let Some(root) = roots.next() else { return Some(Hash::ZERO) };
        roots.all(|other| other == root).then_some(root)?
    }

    /// The state root over the bucket with this root of its leaves.
    fn root_over(&self, leaves: &Hash) -> Option<Hash> {
        let bucket = bucket_hash_of_root(self.bucket_count, leaves);
        let number = u64::from(bucket_of(&self.id, self.bits));
        let top = tree::root_of_path(bucket, number, 1 << self.bits, &self.path)?;
        let checkpoint = &self.certificate.checkpoint;
        Some(state_root(self.bits, checkpoint.count, checkpoint.supply, &top))
    }
}

fn write_path(writer: Writer, path: &[Hash]) -> Writer {
    path.iter().fold(writer, |writer, hash| writer.bytes(&hash.0))
}

fn read_path(reader: &mut Reader<'_>, length: usize) -> Result<Vec<Hash>, DecodeError> {
    (0..length).map(|_| reader.array("path").map(Hash)).collect()
}

fn read_bits(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    match reader.u8("b")? {
        bits if bits <= BUCKET_BITS_MAX => Ok(bits),
        bits => Err(reader.error("b", format!("is {bits}, at most {BUCKET_BITS_MAX} is possible"))),
    }
}

fn read_places(reader: &mut Reader<'_>, kind: ProofKind, bucket_count: u32) -> Result<Vec<Place>, DecodeError> {
    let places = reader.u8("number of records")?;
    let fits = match kind {
        ProofKind::Present => places == 1,
        ProofKind::Absent => places <= 2 && (places == 0) == (bucket_count == 0),
    };
    if !fits {
        return Err(reader.error("number of records", format!("{places} do not fit such a proof")));
    }
    (0..places).map(|_| Place::read(reader, bucket_count)).collect()
}

impl Place {
    fn read(reader: &mut Reader<'_>, bucket_count: u32) -> Result<Self, DecodeError> {
        let record = AccountRecord::read(reader)?;
        let index = reader.u32("index")?;
        if index >= bucket_count {
            return Err(reader.error("index", format!("{index} is not below the bucket count {bucket_count}")));
        }
        Ok(Self { record, index, path: read_path(reader, tree::path_length(u64::from(bucket_count)))? })
    }
}

#[cfg(test)]
mod tests;
