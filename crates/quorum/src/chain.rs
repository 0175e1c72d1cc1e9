//! What has been decided so far, and the rules that the next header must keep.
use std::collections::BTreeSet;

use seedbank_ledger::{Changes, InvalidEntry, LedgerState, Place, Rules, View, apply};
use seedbank_types::{
    BODY_BYTES_MAX, Body, Certificate, CertificateError, DecodeError, Entry, Epoch, Genesis, Hash, Header, Height,
    PaymentId, ServerKey, SignedPayment, TimeMs, tree,
};

/// The last decided header, or the genesis in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// Its hash; the community id before the first header.
    pub hash: Hash,
    /// Its time; the genesis' created time before the first header.
    pub time: TimeMs,
    /// Who proposed it.
    pub proposer: Option<ServerKey>,
}

/// The decided past, as far as the next header depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Rules for payments.
    pub rules: Rules,
    /// Length of an epoch.
    pub epoch_ms: u64,
    /// State after the last batch.
    pub state: LedgerState,
    /// The last header.
    pub tip: Tip,
    /// The epoch that is open.
    pub epoch: Epoch,
    /// When the open epoch began: time of the last closing header.
    pub epoch_start: TimeMs,
    /// Hashes of the open epoch's headers, in order.
    pub open_headers: Vec<Hash>,
    /// The certificate of the epoch before the open one, once there is one.
    pub certificate: Option<Certificate>,
    /// Whether digests in headers are believed.
    #[cfg(feature = "mutations")]
    pub(crate) believes_digests: bool,
}

/// Why a header with its body is not acceptable next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// Another community's.
    #[error("it belongs to another community")]
    OtherCommunity,
    /// Not the next height.
    #[error("its height is {got}, the next is {next}")]
    Height {
        /// Height in the header.
        got: Height,
        /// Height that is next.
        next: Height,
    },
    /// Not the open epoch.
    #[error("its epoch is {got}, the open one is {open}")]
    Epoch {
        /// Epoch in the header.
        got: Epoch,
        /// Epoch that is open.
        open: Epoch,
    },
    /// Time stands still or goes back.
    #[error("its time does not rise")]
    Time,
    /// Nobody's.
    #[error("its proposer is no server")]
    Proposer,
    /// Another past.
    #[error("it follows another header")]
    Previous,
    /// Another state: this server and the proposer computed different balances.
    #[error("the proposer computed another state from the batch before: the databases differ")]
    PreviousState,
    /// The body is not the one named.
    #[error("the body is not the one that the header names")]
    OtherBody,
    /// The body cannot be read.
    #[error("the body cannot be read: {0}")]
    Body(#[from] DecodeError),
    /// Nothing in it.
    #[error("a header that closes no epoch must carry a payment or an order")]
    Empty,
    /// An entry breaks a rule.
    #[error(transparent)]
    Entry(#[from] InvalidEntry),
    /// The tree is another.
    #[error("its payments root is not that of the body")]
    PaymentsRoot,
    /// Other next servers.
    #[error("it names other servers for the next epoch")]
    NextServers,
    /// The closing header does not name the checkpoint before.
    #[error("it does not name the checkpoint of the epoch before")]
    PreviousCheckpoint,
    /// The certificate in a closing body is not believed.
    #[error("the certificate in its body is not believed: {0}")]
    Certificate(#[from] CertificateError),
}

/// An acceptable header's effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) changes: Changes,
    pub(crate) entries: Vec<Entry>,
    /// The entries' names.
    pub(crate) ids: Vec<PaymentId>,
    pub(crate) closing: Option<Closing>,
}

/// What a closing header brings beside the end of its epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closing {
    /// The certificate of the epoch before the one that it closes; none for epoch 1.
    pub(crate) certificate: Option<Certificate>,
}

impl Chain {
    /// A community that has decided nothing yet.
    #[must_use]
    pub fn genesis(genesis: &Genesis) -> Self {
        let community = genesis.community();
        let servers = genesis.servers.clone();
        Self {
            rules: Rules::from(genesis),
            epoch_ms: genesis.epoch_ms,
            state: LedgerState::genesis(&community, genesis.root, genesis.count, genesis.supply, servers),
            tip: Tip { hash: community.into(), time: genesis.created, proposer: None },
            epoch: Epoch(1),
            epoch_start: genesis.created,
            open_headers: Vec::new(),
            certificate: None,
            #[cfg(feature = "mutations")]
            believes_digests: false,
        }
    }

    /// The chain as a disk remembers it: the state after the last batch, the newest closing header
    /// (which is `None` in epoch 1), all headers after that one in order, and the certificate of the
    /// newest closed epoch if there is one.
    #[must_use]
    pub fn recover(
        genesis: &Genesis,
        state: LedgerState,
        closing: Option<&Header>,
        open: &[Header],
        certificate: Option<Certificate>,
    ) -> Self {
        let mut chain = Self::genesis(genesis);
        chain.state = state;
        if let Some(header) = closing {
            chain.epoch = header.epoch.next();
            chain.epoch_start = header.time;
            chain.certificate = certificate;
        }
        chain.open_headers = open.iter().map(Header::hash).collect();
        if let Some(last) = open.last().or(closing) {
            chain.tip = Tip { hash: last.hash(), time: last.time, proposer: Some(last.proposer) };
        }
        chain
    }

    /// The height to be decided next.
    #[must_use]
    pub const fn next_height(&self) -> Height {
        self.state.height.next()
    }

    /// From when on the next header closes the open epoch.
    #[must_use]
    pub const fn closes_at(&self) -> TimeMs {
        self.epoch_start.plus_ms(self.epoch_ms)
    }

    /// Whether a closing header could be proposed: its predecessor must be certified.
    #[must_use]
    pub const fn may_close(&self) -> bool {
        self.epoch.0 == 1 || self.certificate.is_some()
    }

    /// The hash that a closing header of the open epoch must name.
    fn previous_checkpoint(&self) -> Hash {
        self.certificate.as_ref().map_or(Hash::ZERO, |certificate| certificate.checkpoint.hash())
    }

    /// The time that a header proposed at `now` carries.
    #[must_use]
    pub fn header_time(&self, now: TimeMs) -> TimeMs {
        now.max(self.tip.time.plus_ms(1))
    }

    /// The header that closes the open epoch, with its body.
    pub(crate) fn closing_header(&self, proposer: ServerKey, time: TimeMs) -> (Header, Vec<u8>) {
        let body = self.certificate.as_ref().map_or_else(Vec::new, Certificate::encode);
        let root = tree::root(self.open_headers.iter().map(|hash| tree::leaf(&hash.0)).collect());
        let next_servers = self.state.next_servers.hash();
        (self.header(proposer, time, root, &body, next_servers, self.previous_checkpoint()), body)
    }

    /// The header of a batch with a body of these entries. They must be acceptable.
    pub(crate) fn batch_header(
        &self,
        proposer: ServerKey,
        time: TimeMs,
        body: &[u8],
        ids: &[PaymentId],
        changes: &Changes,
    ) -> Header {
        let next_servers = changes.state.next_servers.hash();
        self.header(proposer, time, Body::root_of(ids), body, next_servers, Hash::ZERO)
    }

    fn header(
        &self,
        proposer: ServerKey,
        time: TimeMs,
        payments_root: Hash,
        body: &[u8],
        next_servers: Hash,
        previous_checkpoint: Hash,
    ) -> Header {
        Header {
            community: self.rules.community,
            height: self.next_height(),
            epoch: self.epoch,
            time,
            proposer,
            previous: self.tip.hash,
            previous_state: self.state.digest,
            payments_root,
            body_digest: Body::digest(body),
            body_length: u32::try_from(body.len()).expect("bodies are bounded to some MiB"),
            next_servers,
            previous_checkpoint,
        }
    }

    /// What can be said of a header without its body.
    pub(crate) fn check_header(&self, header: &Header) -> Result<(), HeaderFault> {
        if header.community != self.rules.community {
            return Err(HeaderFault::OtherCommunity);
        }
        if header.height != self.next_height() {
            return Err(HeaderFault::Height { got: header.height, next: self.next_height() });
        }
        if header.epoch != self.epoch {
            return Err(HeaderFault::Epoch { got: header.epoch, open: self.epoch });
        }
        if header.time <= self.tip.time {
            return Err(HeaderFault::Time);
        }
        if self.state.servers.number(&header.proposer).is_none() {
            return Err(HeaderFault::Proposer);
        }
        if header.previous != self.tip.hash {
            return Err(HeaderFault::Previous);
        }
        if self.differs(header.previous_state, self.state.digest) {
            return Err(HeaderFault::PreviousState);
        }
        if header.body_length > u32::try_from(BODY_BYTES_MAX).expect("4 MiB") {
            return Err(HeaderFault::OtherBody);
        }
        Ok(())
    }

    /// Whether a digest in a header is another than the one computed here.
    #[cfg_attr(not(feature = "mutations"), expect(clippy::unused_self, reason = "only a server that does wrong asks"))]
    fn differs(&self, claimed: Hash, own: Hash) -> bool {
        #[cfg(feature = "mutations")]
        if self.believes_digests {
            return false;
        }
        claimed != own
    }

    /// Checks a header with its body against every rule; gives its effect.
    pub(crate) fn accept<V: View>(
        &self,
        view: &V,
        header: &Header,
        body: &[u8],
        is_checked: impl Fn(&SignedPayment) -> bool,
    ) -> Result<Accepted, HeaderFault> {
        self.check_header(header)?;
        if Body::digest(body) != header.body_digest || body.len() as u64 != u64::from(header.body_length) {
            return Err(HeaderFault::OtherBody);
        }
        if header.time >= self.closes_at() {
            return self.accept_closing(header, body);
        }
        if header.previous_checkpoint != Hash::ZERO {
            return Err(HeaderFault::PreviousCheckpoint);
        }
        let body = Body::decode(body)?;
        if body.entries.is_empty() {
            return Err(HeaderFault::Empty);
        }
        let ids = body.ids(&self.rules.community);
        if self.differs(header.payments_root, Body::root_of(&ids)) {
            return Err(HeaderFault::PaymentsRoot);
        }
        let place = Place { height: header.height, epoch: header.epoch };
        let changes = apply(&self.rules, &self.state, view, place, &body, is_checked)?;
        if self.differs(header.next_servers, changes.state.next_servers.hash()) {
            return Err(HeaderFault::NextServers);
        }
        Ok(Accepted { changes, entries: body.entries, ids, closing: None })
    }

    fn accept_closing(&self, header: &Header, body: &[u8]) -> Result<Accepted, HeaderFault> {
        let leaves = self.open_headers.iter().map(|hash| tree::leaf(&hash.0)).collect();
        if self.differs(header.payments_root, tree::root(leaves)) {
            return Err(HeaderFault::PaymentsRoot);
        }
        if self.differs(header.next_servers, self.state.next_servers.hash()) {
            return Err(HeaderFault::NextServers);
        }
        let certificate = self.closing_certificate(header, body)?;
        let changes = Changes { records: Vec::new(), state: self.state.after_closing() };
        Ok(Accepted { changes, entries: Vec::new(), ids: Vec::new(), closing: Some(Closing { certificate }) })
    }

    fn closing_certificate(&self, header: &Header, body: &[u8]) -> Result<Option<Certificate>, HeaderFault> {
        if self.epoch == Epoch(1) {
            let nothing = body.is_empty() && header.previous_checkpoint == Hash::ZERO;
            return if nothing { Ok(None) } else { Err(HeaderFault::PreviousCheckpoint) };
        }
        let certificate = Certificate::decode(body)?;
        let checkpoint = &certificate.checkpoint;
        let is_before = checkpoint.community == self.rules.community
            && checkpoint.epoch.next() == self.epoch
            && checkpoint.hash() == header.previous_checkpoint;
        if !is_before {
            return Err(HeaderFault::PreviousCheckpoint);
        }
        certificate.verify(&self.state.signers, self.rules.quorum, &BTreeSet::new())?;
        Ok(Some(certificate))
    }

    /// The chain after an accepted header.
    pub(crate) fn advance(&mut self, header: &Header, accepted: &Accepted) {
        self.tip = Tip { hash: header.hash(), time: header.time, proposer: Some(header.proposer) };
        if accepted.closing.is_some() {
            self.epoch = self.epoch.next();
            self.epoch_start = header.time;
            self.open_headers.clear();
            self.certificate = None;
        } else {
            self.open_headers.push(self.tip.hash);
        }
        self.state = accepted.changes.state.clone();
    }
}
