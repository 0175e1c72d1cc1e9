//! Asking the servers: all of them on the mesh, or one by HTTP.
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use seedbank_mesh::{MeshHandle, MeshSecret, MeshSettings, PeerRef, Request, RequestRefusal, Response, Topic};
use seedbank_types::{
    AccountId, Certificate, CommunityId, Contact, Evidence, Genesis, Height, PaymentId, PaymentState, Refusal, Rule,
    ServerSet, SignedPayment, Stamp,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::api::Api;
use crate::errors::{Exit, Failure};
use crate::outcome::{self, Said, Word};

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(4);
/// When servers of a quorum are connected, the others are waited for so long.
const STRAGGLERS_WITHIN: Duration = Duration::from_millis(300);
/// How long one round of questions may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How often a payment is sent before the servers count as busy.
pub(crate) const SUBMISSIONS_MAX: usize = 4;
/// Servers that ask for a longer pause are left alone.
pub(crate) const LATER_MAX: Duration = Duration::from_secs(5);

/// The servers of a community, as far as they can be reached.
#[derive(Debug)]
pub(crate) struct Servers {
    community: CommunityId,
    set: ServerSet,
    rule: Rule,
    reach: Reach,
}

#[derive(Debug)]
enum Reach {
    /// Each proves its key when it is connected.
    Mesh { mesh: MeshHandle, _stops: DropGuard },
    /// One server, whose key is not proven: its word is not a quorum's.
    Api(Api),
}

impl Servers {
    /// Connects to the mesh by the contacts in the servers' records.
    pub(crate) async fn connect(
        ip: IpAddr,
        community: CommunityId,
        set: &ServerSet,
        rule: Rule,
        contacts: &[Contact],
    ) -> Result<Self, Failure> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(Failure::unexpected)?;
        let listen = SocketAddr::new(ip, 0);
        let mut settings = MeshSettings::new(MeshSecret::Ephemeral(secret), listen, community, set.keys().collect());
        settings.topics.clear();
        let stop = CancellationToken::new();
        let (mesh, mut events) =
            seedbank_mesh::spawn(settings, stop.clone()).await.map_err(|error| Failure::unexpected(&error))?;
        // Whoever asks a client something is refused as busy: the reply is dropped.
        tokio::spawn(async move { while events.recv().await.is_some() {} });
        let servers =
            Self { community, set: set.clone(), rule, reach: Reach::Mesh { mesh, _stops: stop.drop_guard() } };
        servers.dial(ip, contacts).await;
        Ok(servers)
    }

    /// One server by HTTP.
    pub(crate) fn by_api(url: &str, community: CommunityId, set: &ServerSet, rule: Rule) -> Result<Self, Failure> {
        Ok(Self { community, set: set.clone(), rule, reach: Reach::Api(Api::new(url)?) })
    }

    async fn dial(&self, ip: IpAddr, contacts: &[Contact]) {
        let Reach::Mesh { mesh, .. } = &self.reach else { return };
        let mut dialed = 0;
        for contact in contacts {
            let Contact::Mesh(address) = contact else { continue };
            if ip.is_loopback() && !address.starts_with("/ip4/127.") {
                tracing::warn!(address, "a server beyond loopback is not contacted from loopback");
                continue;
            }
            match mesh.dial_multiaddr(address).await {
                Ok(()) => dialed += 1,
                Err(error) => tracing::warn!(address, %error, "a contact in a server's record is not used"),
            }
        }
        if dialed > 0 {
            self.wait_connected(mesh).await;
        }
    }

    /// Until all are connected, or a quorum and no straggler comes, or it takes too long.
    async fn wait_connected(&self, mesh: &MeshHandle) {
        let mut peers = mesh.watch_peers();
        let deadline = Instant::now() + CONNECT_WITHIN;
        let mut patience = deadline;
        loop {
            let connected = mesh.servers_connected();
            let power = connected.iter().map(|key| self.power(key)).sum();
            if connected.len() >= self.set.count() {
                return;
            }
            if patience == deadline && self.rule.is_quorum(power, self.set.total()) {
                patience = deadline.min(Instant::now() + STRAGGLERS_WITHIN);
            }
            tokio::select! {
                changed = peers.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(patience) => return,
            }
        }
    }

    fn power(&self, key: &seedbank_types::ServerKey) -> u64 {
        self.set.number(key).and_then(|number| self.set.member(number)).map_or(0, |(_, power)| power)
    }

    /// How many servers answer questions at present.
    pub(crate) fn reached(&self) -> usize {
        match &self.reach {
            Reach::Mesh { mesh, .. } => mesh.servers_connected().len(),
            Reach::Api(_) => 1,
        }
    }

    /// Whether only one server can be asked, whose key is not proven.
    pub(crate) const fn is_one_servers_word(&self) -> bool {
        matches!(self.reach, Reach::Api(_))
    }

    pub(crate) fn check_reached(&self) -> Result<(), Failure> {
        if self.reached() > 0 {
            return Ok(());
        }
        let message = format!("none of the {} servers can be reached", self.set.count());
        Err(Failure::new(Exit::NoPeers, message, "Try again later; nothing was sent."))
    }

    /// Asks all connected servers at once; those that do not answer are left out.
    async fn ask_all(mesh: &MeshHandle, set: &ServerSet, request: &Request) -> Vec<Said<Response>> {
        let mut asked = JoinSet::new();
        for (key, power) in set.members().iter().copied() {
            let (mesh, request) = (mesh.clone(), request.clone());
            asked.spawn(async move {
                let answer = timeout(ANSWER_WITHIN, mesh.request(PeerRef::of_server(&key), request)).await;
                match answer {
                    Ok(Ok(what)) => Some(Said { power, what }),
                    Ok(Err(error)) => {
                        tracing::debug!(server = %key.short(), %error, "no answer");
                        None
                    }
                    Err(_elapsed) => None,
                }
            });
        }
        asked.join_all().await.into_iter().flatten().collect()
    }

    async fn ask<T>(&self, request: Request, read: impl Fn(Response) -> Option<T>) -> Vec<Said<T>> {
        let Reach::Mesh { mesh, .. } = &self.reach else { return Vec::new() };
        let answers = Self::ask_all(mesh, &self.set, &request).await;
        let read = |said: Said<Response>| read(said.what).map(|what| Said { power: said.power, what });
        answers.into_iter().filter_map(read).collect()
    }

    /// The genesis, from anybody: its hash is the community, so nobody can lie.
    pub(crate) async fn genesis(&self) -> Option<Genesis> {
        let bytes = match &self.reach {
            Reach::Api(api) => api.genesis().await.ok().into_iter().collect(),
            Reach::Mesh { .. } => {
                let read = |response| if let Response::Genesis(bytes) = response { Some(bytes) } else { None };
                self.ask(Request::Genesis, read).await.into_iter().map(|said| said.what).collect::<Vec<_>>()
            }
        };
        let genesis = bytes.iter().filter_map(|bytes| Genesis::decode(bytes).ok());
        genesis.into_iter().find(|genesis| genesis.community() == self.community)
    }

    /// The number that the next payment of an account must carry, waiting ones counted.
    pub(crate) async fn next_sequence(&self, account: AccountId) -> Result<u64, Failure> {
        if let Reach::Api(api) = &self.reach {
            return api.next_sequence(account).await;
        }
        let read = |response| match response {
            Response::NextSequence { sequence } => Some(sequence),
            _ => None,
        };
        let said = self.ask(Request::NextSequence(account), read).await;
        let sequence = outcome::next_sequence(&said, self.rule, self.set.total());
        sequence.ok_or_else(|| Failure::new(Exit::NoPeers, "no server answered", "Try again later; nothing was sent."))
    }

    /// Sends a payment to all servers; the same payment may be sent again without harm.
    pub(crate) async fn submit(
        &self,
        payment: &SignedPayment,
        stamp: Option<Stamp>,
        certified: Option<Height>,
    ) -> Result<Word, Failure> {
        if let Reach::Api(api) = &self.reach {
            return Ok(one_servers(api.submit(payment, stamp).await?, certified));
        }
        for _ in 1..SUBMISSIONS_MAX {
            let (word, later) = self.submit_once(payment, stamp, certified).await?;
            match later {
                Some(wait) if word.state == PaymentState::Refused(Refusal::Busy) => sleep(wait).await,
                _ => return Ok(word),
            }
        }
        Ok(self.submit_once(payment, stamp, certified).await?.0)
    }

    /// What the servers say, and when to try again if they take nothing from this address for the moment.
    async fn submit_once(
        &self,
        payment: &SignedPayment,
        stamp: Option<Stamp>,
        certified: Option<Height>,
    ) -> Result<(Word, Option<Duration>), Failure> {
        let later = AtomicU32::new(u32::MAX);
        let read = |response| match response {
            Response::Submitted(states) => states.first().copied(),
            Response::Refused(refusal) => {
                if let RequestRefusal::Later { ms } = refusal {
                    later.fetch_min(ms, Ordering::Relaxed);
                }
                Some(PaymentState::Refused(Refusal::Busy))
            }
            _ => None,
        };
        let request = match stamp {
            Some(stamp) => Request::SubmitStamped(vec![(stamp, payment.clone())]),
            None => Request::SubmitPayments(vec![payment.clone()]),
        };
        let said = self.ask(request, read).await;
        let wait = Duration::from_millis(u64::from(later.into_inner()));
        Ok((self.combined(&said, certified)?, Some(wait).filter(|wait| *wait <= LATER_MAX)))
    }

    /// How far a payment has come.
    pub(crate) async fn payment(&self, id: PaymentId, certified: Option<Height>) -> Result<Word, Failure> {
        if let Reach::Api(api) = &self.reach {
            return Ok(one_servers(api.payment(id).await?, certified));
        }
        let read = |response| if let Response::PaymentState(state) = response { Some(state) } else { None };
        let said = self.ask(Request::PaymentState(id), read).await;
        self.combined(&said, certified)
    }

    fn combined(&self, said: &[Said<PaymentState>], certified: Option<Height>) -> Result<Word, Failure> {
        if said.is_empty() {
            let next = "Ask again with `seedbank payment ID`: the same payment is sent again then, never a second one.";
            return Err(Failure::new(Exit::NoPeers, "no server answered", next));
        }
        Ok(outcome::word(said, self.rule, self.set.total(), certified))
    }

    /// What the servers know of double signers, to be verified.
    pub(crate) async fn evidence(&self) -> Vec<Evidence> {
        if let Reach::Api(api) = &self.reach {
            return api.evidence().await.unwrap_or_default();
        }
        let read = |response| if let Response::Evidence(evidence) = response { Some(evidence) } else { None };
        self.ask(Request::Evidence, read).await.into_iter().flat_map(|said| said.what).collect()
    }

    /// Tells the servers, by gossip, what they do not know of double signers.
    pub(crate) async fn tell_evidence(&self, news: Vec<Evidence>) {
        let Reach::Mesh { mesh, .. } = &self.reach else { return };
        if news.is_empty() {
            return;
        }
        for evidence in &news {
            if let Err(error) = mesh.publish(Topic::Evidence, evidence.encode()).await {
                tracing::warn!(%error, "evidence was not told to the servers");
            }
        }
        // Whoever answers now has had what was sent before on the same connection.
        tracing::debug!(told = news.len(), answered = self.evidence().await.len(), "evidence told");
    }

    /// The servers' newest certificates, to be judged like all others.
    pub(crate) async fn newest_certificates(&self) -> Vec<Certificate> {
        if let Reach::Api(api) = &self.reach {
            return api.certificate().await.ok().into_iter().collect();
        }
        let read = |response| if let Response::Checkpoint(certificate) = response { certificate } else { None };
        self.ask(Request::Checkpoint(None), read).await.into_iter().map(|said| said.what).collect()
    }
}

/// The word of a server whose key is not proven.
fn one_servers(state: PaymentState, certified: Option<Height>) -> Word {
    Word { state: unless_verified(state, certified), is_quorums: false }
}

/// Nothing is certified that the client has not verified.
fn unless_verified(state: PaymentState, certified: Option<Height>) -> PaymentState {
    match state {
        PaymentState::Certified { height, header, .. } if certified.is_none_or(|certified| certified < height) => {
            PaymentState::Final { height, header }
        }
        state => state,
    }
}
