//! One real server among peers whose messages are made by hand, from `docs/protocol.md` alone.
use std::collections::BTreeMap;

use seedbank_ledger::LedgerState;
use seedbank_quorum::{
    Chain, CheckedPayment, Cut, CutOrder, DecidedBatch, Effect, Event, Guard, Input, LastClosed, Message, Now, Quorum,
    Recovered, Settings, Write,
};
use seedbank_types::{
    AccountId, AccountRecord, AccountSecret, Amount, Body, Certificate, Checkpoint, Epoch, Evidence, FileRef, Genesis,
    Hash, Header, Height, InfoHash, NumberedSignature, Payment, RESERVED_ORDERS_ACCOUNT, Rule, ServerKey, ServerSecret,
    ServerSet, Signature, TimeMs, Writer, tree,
};

pub(crate) const CREATED: TimeMs = TimeMs(1_700_000_000_000);
pub(crate) const EPOCH_MS: u64 = 10_000;
pub(crate) const FEES: AccountId = AccountId([0xfe; 20]);
pub(crate) const PREVOTE: u8 = 1;
pub(crate) const PRECOMMIT: u8 = 2;

type Accounts = BTreeMap<AccountId, AccountRecord>;

/// What is on the disk.
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) state: LedgerState,
    pub(crate) accounts: Accounts,
    pub(crate) log: Vec<(Height, Vec<u8>)>,
    pub(crate) log_started: bool,
    pub(crate) batches: Vec<DecidedBatch>,
    pub(crate) closed: Option<(Header, LedgerState)>,
    pub(crate) certificates: BTreeMap<Epoch, Certificate>,
    pub(crate) intents: Vec<Checkpoint>,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) guard: Guard,
}

impl Disk {
    fn new(genesis: &Genesis, accounts: Accounts) -> Self {
        Self {
            state: Chain::genesis(genesis).state,
            accounts,
            log: Vec::new(),
            log_started: false,
            batches: Vec::new(),
            closed: None,
            certificates: BTreeMap::new(),
            intents: Vec::new(),
            evidence: Vec::new(),
            guard: Guard::default(),
        }
    }

    fn write(&mut self, write: Write) {
        match write {
            Write::Log { height, entry } => {
                self.log_started = true;
                // An empty one only says that there is a log.
                if !entry.is_empty() {
                    self.log.push((height, entry));
                }
            }
            Write::Commit(commit) => {
                self.accounts.extend(commit.changes.records.iter().map(|record| (record.id, *record)));
                self.state = commit.changes.state;
                if commit.closing {
                    self.closed = Some((commit.header.clone(), self.state.clone()));
                }
                let (header, body, decision) = (commit.header, commit.body, commit.decision);
                self.batches.push(DecidedBatch { header, body, decision });
            }
            Write::Intent(checkpoint) => self.intents.push(checkpoint),
            Write::Certificate(certificate) => {
                self.certificates.insert(certificate.checkpoint.epoch, certificate);
            }
            Write::Evidence(evidence) => self.evidence.push(*evidence),
            Write::Guard(guard) => self.guard = guard,
        }
    }

    /// The chain as `Chain::recover` makes it of what is on the disk.
    pub(crate) fn chain(&self, genesis: &Genesis) -> Chain {
        let closing = self.closed.as_ref().map(|(header, _)| header);
        let open = self.batches.iter().map(|batch| batch.header.clone());
        let open: Vec<Header> = open.filter(|header| closing.is_none_or(|last| header.height > last.height)).collect();
        let certificate = closing.and_then(|closing| self.certificates.get(&closing.epoch)).cloned();
        Chain::recover(genesis, self.state.clone(), closing, &open, certificate)
    }

    fn recover(&self, genesis: &Genesis) -> Recovered {
        let next = self.state.height.next();
        let log = self.log.iter().filter(|(height, _)| *height == next).map(|(_, entry)| entry.clone());
        Recovered {
            chain: self.chain(genesis),
            last_closed: self.closed.as_ref().map(|(header, state)| LastClosed::new(header, state)),
            log: log.collect(),
            log_started: self.log_started,
            guard: self.guard,
            intents: self.intents.clone(),
            evidence: self.evidence.clone(),
        }
    }
}

/// The server under test, its disk and its peers' keys.
pub(crate) struct Bench {
    pub(crate) genesis: Genesis,
    /// All servers, by number.
    pub(crate) secrets: Vec<ServerSecret>,
    /// The number of the server under test.
    pub(crate) own: usize,
    pub(crate) disk: Disk,
    pub(crate) quorum: Quorum,
    pub(crate) ms: u64,
    /// Whether stores are carried out and answered at once.
    pub(crate) stores: bool,
    waiting: Vec<(u64, Vec<Write>)>,
    /// All effects but stores, in order.
    pub(crate) effects: Vec<Effect>,
}

impl Bench {
    /// `count` servers of power 1; number `own` is real and has heard nobody yet.
    pub(crate) fn new(count: u8, rule: Rule, own: usize) -> Self {
        let mut secrets: Vec<ServerSecret> = (1..=count).map(|n| ServerSecret::from_bytes(&[n; 32])).collect();
        secrets.sort_by_key(ServerSecret::public);
        let (genesis, accounts) = community(&secrets, rule);
        let disk = Disk::new(&genesis, accounts);
        let quorum = start(&genesis, &secrets[own], &disk);
        Self { genesis, secrets, own, disk, quorum, ms: 0, stores: true, waiting: Vec::new(), effects: Vec::new() }
    }

    /// Three servers by majority; number 1 is real and takes part; number 0 leads height 1.
    pub(crate) fn joined() -> Self {
        let mut bench = Self::new(3, Rule::Majority, 1);
        bench.hear_statuses(0);
        assert!(bench.quorum.may_vote(), "a quorum was heard");
        bench.effects.clear();
        bench
    }

    /// Peers say that they are at `height` and have heard nothing of anybody.
    pub(crate) fn hear_statuses(&mut self, height: u64) {
        for peer in self.peers() {
            let status = status(height, 0, &[]);
            self.hear(peer, &status);
        }
    }

    pub(crate) fn peers(&self) -> Vec<usize> {
        (0..self.secrets.len()).filter(|number| *number != self.own).collect()
    }

    pub(crate) fn key(&self, number: usize) -> ServerKey {
        self.secrets[number].public()
    }

    pub(crate) fn wall(&self) -> TimeMs {
        CREATED.plus_ms(self.ms)
    }

    pub(crate) fn input(&mut self, input: Input) {
        let now = Now { wall: self.wall(), steady_ms: self.ms };
        let effects = self.quorum.handle(now, input, &self.disk.accounts);
        for effect in effects {
            match effect {
                Effect::Store { token, writes } => self.waiting.push((token, writes)),
                effect => self.effects.push(effect),
            }
        }
        if self.stores {
            self.store_all();
        }
    }

    /// Carries out the stores that wait and answers them.
    pub(crate) fn store_all(&mut self) {
        while !self.waiting.is_empty() {
            let (token, writes) = self.waiting.remove(0);
            writes.into_iter().for_each(|write| self.disk.write(write));
            self.input(Input::Stored(token));
        }
    }

    /// Time passes, in steps in which the server is called when it wants to be.
    pub(crate) fn pass_ms(&mut self, ms: u64) {
        let end = self.ms + ms;
        while self.ms < end {
            self.ms = self.quorum.wake_at_ms().clamp(self.ms + 1, end);
            self.input(Input::Tick);
        }
    }

    /// The server under test hears a message, through its bytes.
    pub(crate) fn hear(&mut self, from: usize, bytes: &[u8]) {
        let message = Message::decode(bytes).expect("made by the protocol");
        assert_eq!(message.encode(), bytes, "one encoding");
        self.input(Input::Message { from: self.key(from), message });
    }

    /// The server loses what is not on its disk and starts again; stores under way are lost.
    pub(crate) fn reboot(&mut self) {
        self.waiting.clear();
        self.quorum = start(&self.genesis, &self.secrets[self.own], &self.disk);
        self.effects.clear();
    }

    // What peers sign.

    pub(crate) fn vote(&self, by: usize, kind: u8, height: u64, round: u32, value: Option<Hash>) -> Vec<u8> {
        let writer = Writer::default().u8(kind).u64(height).u32(round);
        let writer = match value {
            None => writer.u8(0),
            Some(hash) => writer.u8(1).bytes(&hash.0),
        };
        self.signed(1, "seedbank/vote/1", by, &writer.bytes(&self.key(by).0).finish())
    }

    pub(crate) fn proposal(&self, by: usize, round: u32, polka: Option<u32>, header: &Header) -> Vec<u8> {
        let writer = Writer::default().u64(header.height.0).u32(round);
        let writer = match polka {
            None => writer.u8(0),
            Some(round) => writer.u8(1).u32(round),
        };
        let fields = writer.bytes(&self.key(by).0).bytes(&header.encode()).finish();
        self.signed(2, "seedbank/proposal/1", by, &fields)
    }

    fn signed(&self, kind: u8, prefix: &str, by: usize, fields: &[u8]) -> Vec<u8> {
        let message = [prefix.as_bytes(), &self.genesis.community().0, fields].concat();
        let signature = self.secrets[by].sign(&message);
        Writer::default().u8(1).u8(kind).bytes(fields).bytes(&signature.0).finish()
    }

    /// A polka of these servers.
    pub(crate) fn polka(&self, by: &[usize], height: u64, round: u32, value: Hash) -> Vec<u8> {
        let writer = Writer::default().u8(1).u8(3).u64(height).u32(round).bytes(&value.0);
        let writer = writer.u8(u8::try_from(by.len()).expect("few"));
        let votes = by.iter().map(|number| (*number, self.vote(*number, PREVOTE, height, round, Some(value))));
        let write = |writer: Writer, (number, vote): (usize, Vec<u8>)| {
            writer.bytes(&self.key(number).0).bytes(&vote[vote.len() - 64..])
        };
        votes.fold(writer, write).finish()
    }

    pub(crate) fn signed_checkpoint(&self, by: usize, checkpoint: &Checkpoint) -> Vec<u8> {
        let signature = checkpoint.sign(&self.secrets[by]);
        let writer = Writer::default().u8(1).u8(6).bytes(&self.key(by).0);
        writer.bytes(&checkpoint.encode()).bytes(&signature.0).finish()
    }

    pub(crate) fn certificate(&self, by: &[usize], checkpoint: &Checkpoint) -> Certificate {
        let number = |number: &usize| u8::try_from(*number).expect("few");
        let sign =
            |by: &usize| NumberedSignature { number: number(by), signature: checkpoint.sign(&self.secrets[*by]) };
        Certificate { checkpoint: checkpoint.clone(), signatures: by.iter().map(sign).collect() }
    }

    // What could be decided next.

    /// The next header, with its body, by number `by` at the present time.
    pub(crate) fn header(&self, by: usize, body: &Body) -> (Header, Vec<u8>) {
        let chain = self.quorum.chain();
        let bytes = body.encode();
        let header = Header {
            community: self.genesis.community(),
            height: chain.next_height(),
            epoch: chain.epoch,
            time: chain.header_time(self.wall()),
            proposer: self.key(by),
            previous: chain.tip.hash,
            previous_state: chain.state.digest,
            payments_root: body.payments_root(&self.genesis.community()),
            body_digest: Body::digest(&bytes),
            body_length: u32::try_from(bytes.len()).expect("small"),
            next_servers: chain.state.next_servers.hash(),
            previous_checkpoint: Hash::ZERO,
        };
        (header, bytes)
    }

    /// The header that closes the open epoch, with this certificate as its body.
    pub(crate) fn closing_header(&self, by: usize, certificate: Option<&Certificate>) -> (Header, Vec<u8>) {
        let (header, _) = self.header(by, &Body::default());
        let body = certificate.map(Certificate::encode).unwrap_or_default();
        let leaves = self.quorum.chain().open_headers.iter().map(|hash| tree::leaf(&hash.0)).collect();
        let header = Header {
            payments_root: tree::root(leaves),
            body_digest: Body::digest(&body),
            body_length: u32::try_from(body.len()).expect("small"),
            previous_checkpoint: certificate.map_or(Hash::ZERO, |certificate| certificate.checkpoint.hash()),
            ..header
        };
        (header, body)
    }

    pub(crate) fn payment(&self, from: u8, to: u8, sequence: u64, amount: u64) -> Payment {
        Payment {
            payer_key: account(from).public().to_bytes(),
            payee: account(to).public().id(),
            amount: Amount(amount),
            fee: Amount(1),
            sequence,
            expires: Epoch(100),
            memo: Vec::new(),
        }
    }

    pub(crate) fn checked(&self, from: u8, payment: Payment) -> CheckedPayment {
        let community = self.genesis.community();
        CheckedPayment::check(payment.sign(&community, &account(from)), &community).expect("well signed")
    }

    /// A body with one payment.
    pub(crate) fn body(&self, from: u8, to: u8, sequence: u64) -> Body {
        let payment = self.checked(from, self.payment(from, to, sequence, 5));
        Body { entries: vec![seedbank_types::Entry::Payment(payment.signed().clone())] }
    }

    /// Two peers propose and decide a header; the server under test follows.
    pub(crate) fn decide(&mut self, by: usize, header: &Header, body: Vec<u8>) {
        let (height, id) = (header.height.0, header.hash());
        self.hear(by, &self.proposal(by, 0, None, header));
        self.input(Input::Body(body));
        for kind in [PREVOTE, PRECOMMIT] {
            for peer in self.peers() {
                self.hear(peer, &self.vote(peer, kind, height, 0, Some(id)));
            }
        }
        assert_eq!(self.quorum.chain().state.height.0, height, "not decided: {:?}", self.events());
    }

    /// Decides a batch of one payment, proposed by number `by`.
    pub(crate) fn decide_payment(&mut self, by: usize, sequence: u64) {
        let (header, body) = self.header(by, &self.body(1, 2, sequence));
        self.decide(by, &header, body);
    }

    /// Lets the epoch end and closes it.
    pub(crate) fn close(&mut self, by: usize, certificate: Option<&Certificate>) {
        let left = self.quorum.chain().closes_at().since(self.wall());
        self.pass_ms(left);
        let (header, body) = self.closing_header(by, certificate);
        self.decide(by, &header, body);
    }

    /// The answer to the newest order to cut, with this root.
    pub(crate) fn cut(&self, root: u8) -> Cut {
        let order = self.cut_order().expect("a cut was ordered");
        let state = &self.disk.closed.as_ref().expect("an epoch was closed").1;
        Cut {
            epoch: order.epoch,
            root: Hash([root; 32]),
            count: state.count,
            supply: state.supply,
            snapshot: FileRef { info_hash: InfoHash([root; 20]), length: 1_000 },
            delta: FileRef::NONE,
        }
    }

    /// The checkpoint that follows from the newest closed epoch and a cut.
    pub(crate) fn checkpoint(&self, cut: &Cut) -> Checkpoint {
        let (header, state) = self.disk.closed.as_ref().expect("an epoch was closed");
        Checkpoint {
            community: self.genesis.community(),
            epoch: header.epoch,
            height: header.height,
            time: header.time,
            root: cut.root,
            count: cut.count,
            supply: cut.supply,
            closing_header: header.hash(),
            previous: header.previous_checkpoint,
            servers: state.servers.hash(),
            snapshot: cut.snapshot,
            delta: cut.delta,
        }
    }

    // What the server under test did.

    pub(crate) fn cut_order(&self) -> Option<CutOrder> {
        let mut orders = self.effects.iter().filter_map(|effect| match effect {
            Effect::Cut(order) => Some(order.clone()),
            _ => None,
        });
        orders.next_back()
    }

    /// The bytes of all messages of a kind that it sent.
    pub(crate) fn sent(&self, kind: u8) -> Vec<Vec<u8>> {
        let sent = self.effects.iter().filter_map(|effect| match effect {
            Effect::Send(message) => Some(message.encode()),
            _ => None,
        });
        sent.filter(|bytes| bytes[1] == kind).collect()
    }

    /// Its votes: kind, height, round, value.
    pub(crate) fn votes(&self) -> Vec<(u8, u64, u32, Option<Hash>)> {
        self.sent(1).iter().map(|bytes| read_vote(bytes)).collect()
    }

    pub(crate) fn voted(&self, kind: u8, round: u32) -> Option<Option<Hash>> {
        self.votes().into_iter().find(|vote| (vote.0, vote.2) == (kind, round)).map(|vote| vote.3)
    }

    pub(crate) fn events(&self) -> Vec<&Event> {
        let events = self.effects.iter().filter_map(|effect| match effect {
            Effect::Event(event) => Some(event),
            _ => None,
        });
        events.collect()
    }

    pub(crate) fn halted(&self) -> Option<&str> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Halt(why) => Some(why.as_str()),
            _ => None,
        })
    }

    pub(crate) fn bodies_asked(&self) -> usize {
        self.effects.iter().filter(|effect| matches!(effect, Effect::FetchBody { .. })).count()
    }
}

/// A status: height, certified epoch, and votes as whole messages.
pub(crate) fn status(height: u64, epoch: u64, votes: &[Vec<u8>]) -> Vec<u8> {
    let writer = Writer::default().u8(1).u8(5).u64(height).u64(epoch).u8(u8::try_from(votes.len()).expect("few"));
    votes.iter().fold(writer, |writer, vote| writer.bytes(&vote[2..])).finish()
}

/// What a server says of an epoch without a certificate: epoch, closing header, from when on it signs,
/// and whose signature it has heard over which checkpoint.
pub(crate) fn uncertified(epoch: u64, closing: Hash, sign_from: u64, signed: &[(ServerKey, Hash)]) -> Vec<u8> {
    let writer = Writer::default().u8(1).u8(8).u64(epoch).bytes(&closing.0).u64(sign_from);
    let writer = writer.u8(u8::try_from(signed.len()).expect("few"));
    signed.iter().fold(writer, |writer, (key, hash)| writer.bytes(&key.0).bytes(&hash.0)).finish()
}

pub(crate) fn certificate_message(certificate: &Certificate) -> Vec<u8> {
    Writer::default().u8(1).u8(7).bytes(&certificate.encode()).finish()
}

fn read_vote(bytes: &[u8]) -> (u8, u64, u32, Option<Hash>) {
    let mut reader = seedbank_types::Reader::new("vote", &bytes[2..]);
    let read = || -> Result<_, seedbank_types::DecodeError> {
        let (kind, height, round) = (reader.u8("kind")?, reader.u64("height")?, reader.u32("round")?);
        let value = if reader.u8("nil")? == 1 { Some(Hash(reader.array("hash")?)) } else { None };
        Ok((kind, height, round, value))
    };
    let mut read = read;
    read().expect("a vote")
}

pub(crate) fn account(n: u8) -> AccountSecret {
    AccountSecret::from_bytes(&[n; 32]).expect("small numbers are keys")
}

pub(crate) const NO_SIGNATURE: Signature = Signature([0; 64]);

fn community(secrets: &[ServerSecret], rule: Rule) -> (Genesis, Accounts) {
    let ids = (1..=4).map(|n| account(n).public().id());
    let mut accounts: Accounts =
        ids.map(|id| (id, AccountRecord { id, balance: Amount(1_000), sequence: 0 })).collect();
    for id in [RESERVED_ORDERS_ACCOUNT, FEES] {
        accounts.insert(id, AccountRecord::empty(id));
    }
    let genesis = Genesis {
        created: CREATED,
        epoch_ms: EPOCH_MS,
        full_interval: 1,
        quorum: rule,
        decimals: 2,
        name: "Bench".to_owned(),
        symbol: "B".to_owned(),
        fee_account: FEES,
        minimum_fee: Amount(1),
        opening_minimum: Amount(1),
        root: Hash([7; 32]),
        count: accounts.len() as u64,
        supply: Amount(4_000),
        servers: ServerSet::new(secrets.iter().map(|secret| (secret.public(), 1))).expect("distinct"),
    };
    (genesis, accounts)
}

fn start(genesis: &Genesis, secret: &ServerSecret, disk: &Disk) -> Quorum {
    Quorum::new(Settings::new(genesis, secret.clone()), disk.recover(genesis)).expect("a whole log")
}
