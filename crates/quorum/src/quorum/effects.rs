//! What goes into a [`Quorum`](crate::Quorum) and what comes out.
use seedbank_ledger::Changes;
use seedbank_types::{
    Certificate, Checkpoint, Entry, Epoch, Evidence, Grade, Hash, Header, Height, PaymentId, Refusal, ServerKey,
    SignedOrder,
};

use super::closing::{Cut, CutOrder};
use crate::chain::HeaderFault;
use crate::{CheckedPayment, Decision, Guard, Message};

/// Something that happened outside.
#[derive(Debug)]
pub enum Input {
    /// Time passed.
    Tick,
    /// A connection to another server stands: it should soon hear where this one is.
    Connected,
    /// A server said something; the sender is authenticated.
    Message {
        /// Who said it.
        from: ServerKey,
        /// What.
        message: Message,
    },
    /// Payments whose signatures were verified.
    Payments(Vec<CheckedPayment>),
    /// An order of the servers.
    Order(SignedOrder),
    /// The answer to [`Effect::FetchBody`].
    Body(Vec<u8>),
    /// The same with those of its payments whose signatures were verified meanwhile, in its order.
    CheckedBody {
        /// The body.
        body: Vec<u8>,
        /// Any of its payments; what is missing is verified now.
        payments: Vec<CheckedPayment>,
    },
    /// The answer to [`Effect::FetchBatches`].
    Batches(Vec<DecidedBatch>),
    /// The same with what was verified meanwhile.
    CheckedBatches(Vec<CheckedBatch>),
    /// A server gave no batches.
    NoBatches {
        /// Who was asked.
        from: ServerKey,
        /// From which height on.
        first: Height,
        /// Below which height it says to have none any more.
        lowest: Option<Height>,
    },
    /// [`Effect::FetchState`] came to nothing.
    NoState,
    /// A certificate found elsewhere, for instance in the DHT.
    Certificate(Certificate),
    /// Evidence found by somebody else; it is checked here.
    Evidence(Box<Evidence>),
    /// The answer to [`Effect::Cut`].
    Cut(Cut),
    /// The writes of [`Effect::Store`] up to this token are on disk.
    Stored(u64),
}

/// Something to be done outside, in order.
#[derive(Debug)]
pub enum Effect {
    /// Put all of this on disk, synced, in one step if it holds a commit; then answer [`Input::Stored`].
    Store {
        /// To be named in the answer.
        token: u64,
        /// What to write, in order.
        writes: Vec<Write>,
    },
    /// Say to all servers.
    Send(Message),
    /// Keep this body for servers that ask for it by its digest.
    Offer {
        /// Its digest.
        digest: Hash,
        /// Its bytes.
        body: Vec<u8>,
    },
    /// Ask a server for a body.
    FetchBody {
        /// Its digest.
        digest: Hash,
        /// Whom to ask.
        from: ServerKey,
    },
    /// Ask a server for decided batches.
    FetchBatches {
        /// The first that is missing.
        first: Height,
        /// How many; the answer may hold fewer.
        count: u16,
        /// Whom to ask.
        from: ServerKey,
    },
    /// This server is too far behind for batches. Fetch the newest certified state (see
    /// [`Succession`](crate::Succession)) with its accounts, store it together with
    /// [`Quorum::guard_after`](crate::Quorum::guard_after), and begin again from what is on disk then; or
    /// answer [`Input::NoState`]. It is said again every few seconds.
    FetchState,
    /// Compute root and snapshot file of the accounts as they were after the newest closing header,
    /// then answer [`Input::Cut`].
    Cut(CutOrder),
    /// A payment or order was taken in (true: it is new) or refused.
    Admitted {
        /// Its name.
        id: PaymentId,
        /// What became of it.
        result: Result<bool, Refusal>,
    },
    /// Something that people or other parts want to know.
    Event(Event),
    /// Stop the process, for this reason.
    Halt(String),
}

/// One write.
#[derive(Debug)]
pub enum Write {
    /// Append to the log of the height that is being decided. An empty entry only says that there is a log.
    Log {
        /// That height.
        height: Height,
        /// The entry.
        entry: Vec<u8>,
    },
    /// A decided batch: accounts, header, body, decision and height in one step; the log of this
    /// and lower heights may be dropped.
    Commit(Box<Commit>),
    /// The checkpoint that this server is about to sign.
    Intent(Checkpoint),
    /// A certificate, or a better one for the same epoch.
    Certificate(Certificate),
    /// Proof of a lie.
    Evidence(Box<Evidence>),
    /// New limits after a loss.
    Guard(Guard),
}

/// All that a decided batch changes.
#[derive(Debug)]
pub struct Commit {
    /// Its header.
    pub header: Header,
    /// Its body.
    pub body: Vec<u8>,
    /// Proof that it was decided.
    pub decision: Decision,
    /// Its effect.
    pub changes: Changes,
    /// Names of its entries, in order.
    pub ids: Vec<PaymentId>,
    /// Whether it closes its epoch.
    pub closing: bool,
    /// Whether it was fetched after others had decided it: it may be lost in a crash, since it can be fetched
    /// again, as long as whatever is written later is lost with it.
    pub is_fetched: bool,
}

/// A decided batch as servers hand it to one that missed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedBatch {
    /// Its header.
    pub header: Header,
    /// Its body.
    pub body: Vec<u8>,
    /// Proof that it was decided.
    pub decision: Decision,
}

/// A fetched batch with what was verified of it before it came to the quorum's turn.
#[derive(Debug, Clone)]
pub struct CheckedBatch {
    /// The batch.
    pub batch: DecidedBatch,
    /// Any of its payments, in its order; what is missing is verified when it is applied.
    pub payments: Vec<CheckedPayment>,
    /// Hash of the set of servers under which the decision was found to prove the header.
    pub proven_by: Option<Hash>,
}

impl From<DecidedBatch> for CheckedBatch {
    fn from(batch: DecidedBatch) -> Self {
        Self { batch, payments: Vec::new(), proven_by: None }
    }
}

/// What people or other parts want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// This server has heard a quorum and takes part.
    Joined {
        /// The last height it has applied.
        height: Height,
    },
    /// This server only listens for a while, because its key may have spoken before.
    Observing {
        /// Until when.
        guard: Guard,
    },
    /// A batch was applied.
    Decided {
        /// Its height.
        height: Height,
        /// Its epoch.
        epoch: Epoch,
        /// Hash of its header.
        header: Hash,
        /// What it holds.
        entries: Vec<Entry>,
        /// The names of that, in its order.
        ids: Vec<PaymentId>,
    },
    /// Waiting payments that can no longer be ordered.
    Refused(Vec<(PaymentId, Refusal)>),
    /// A certificate of the newest epoch, or a better one.
    Certified {
        /// The certificate.
        certificate: Certificate,
        /// Its grade.
        grade: Grade,
    },
    /// A key signed two checkpoints of one epoch.
    DoubleSigned(Box<Evidence>),
    /// A proposal was not voted for.
    ProposalRefused {
        /// Whose.
        proposer: ServerKey,
        /// At which height.
        height: Height,
        /// Why.
        fault: HeaderFault,
    },
    /// A proposal was not voted for, because its time is too far from the own clock.
    ClocksDiffer {
        /// Whose.
        proposer: ServerKey,
        /// By how much, in milliseconds.
        by_ms: u64,
    },
    /// The others agreed on another state than this server's; it stops voting and signing.
    Diverged {
        /// The first height at which it shows.
        height: Height,
        /// In which way.
        why: String,
        /// What the others certified instead, if that is how it shows.
        certificate: Option<Box<Certificate>>,
    },
}
