//! Packets written by hand, so that nothing of ours decides what they look like.
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use seedbank_types::ServerSecret;
use sha1::{Digest, Sha1};
use tokio::net::UdpSocket;
use tokio::time::timeout;

const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// So long after the last answer nothing more is to come.
const SILENCE: Duration = Duration::from_millis(300);
const PACKET_BYTES_MAX: usize = 2048;

/// One that asks a node with a fixed transaction id.
pub(crate) struct Prober {
    socket: UdpSocket,
    node: SocketAddr,
    transaction: Vec<u8>,
}

impl Prober {
    pub(crate) async fn new(own: SocketAddr, node: SocketAddr, transaction: &[u8]) -> Result<Self> {
        Ok(Self { socket: UdpSocket::bind(own).await?, node, transaction: transaction.to_vec() })
    }

    /// Where it asks from.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    /// Sends a query with these arguments (bencoded, sorted; all come after `id`).
    pub(crate) async fn send(&self, method: &str, arguments: &[u8]) -> Result<()> {
        let mut packet = b"d1:ad2:id20:an id of the prober!".to_vec();
        packet.extend(arguments);
        packet.extend(format!("e1:q{}:{method}1:t", method.len()).bytes());
        packet.extend(string(&self.transaction));
        packet.extend(b"1:v4:XX011:y1:q7:unknowni1ee");
        self.socket.send_to(&packet, self.node).await?;
        Ok(())
    }

    /// The answer to a query; queries of the node itself are passed over.
    pub(crate) async fn ask(&self, method: &str, arguments: &[u8]) -> Result<Vec<u8>> {
        self.send(method, arguments).await?;
        let answer = timeout(ANSWER_LIMIT, self.next_answer()).await;
        let answer = answer.with_context(|| format!("no answer to {method}"))??;
        let echo = [b"1:t".to_vec(), string(&self.transaction)].concat();
        ensure!(after(&answer, &echo).is_some(), "another transaction id: {}", answer.escape_ascii());
        Ok(answer)
    }

    /// The answer, which must be of kind `r`.
    pub(crate) async fn response(&self, method: &str, arguments: &[u8]) -> Result<Vec<u8>> {
        let answer = self.ask(method, arguments).await?;
        ensure!(after(&answer, b"1:y1:r").is_some(), "{method}: {}", answer.escape_ascii());
        ensure!(after(&answer, b"1:rd2:id20:").is_some(), "{method}: {}", answer.escape_ascii());
        Ok(answer)
    }

    /// The number of the error that is the answer.
    pub(crate) async fn error(&self, method: &str, arguments: &[u8]) -> Result<i64> {
        let answer = self.ask(method, arguments).await?;
        let number = after(&answer, b"1:eli").and_then(|rest| rest.split(|byte| *byte == b'e').next());
        let number = number.with_context(|| format!("{method}: no error but {}", answer.escape_ascii()))?;
        Ok(std::str::from_utf8(number)?.parse()?)
    }

    pub(crate) async fn stays_without_answer(&self) -> bool {
        timeout(SILENCE, self.next_answer()).await.is_err()
    }

    async fn next_answer(&self) -> Result<Vec<u8>> {
        let mut packet = [0; PACKET_BYTES_MAX];
        loop {
            let (length, from) = self.socket.recv_from(&mut packet).await?;
            if from == self.node && after(&packet[..length], b"1:y1:q").is_none() {
                return Ok(packet[..length].to_vec());
            }
        }
    }
}

/// Bencoded.
pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    [format!("{}:", bytes.len()).as_bytes(), bytes].concat()
}

/// What follows the first `part`.
pub(crate) fn after<'a>(bytes: &'a [u8], part: &[u8]) -> Option<&'a [u8]> {
    let start = bytes.windows(part.len()).position(|window| window == part)?;
    bytes.get(start + part.len()..)
}

/// The `token` of an answer.
pub(crate) fn token(answer: &[u8]) -> Result<Vec<u8>> {
    let rest = after(answer, b"5:token").with_context(|| format!("no token: {}", answer.escape_ascii()))?;
    let colon = rest.iter().position(|byte| *byte == b':').context("a length ends with a colon")?;
    let length: usize = std::str::from_utf8(&rest[..colon])?.parse()?;
    Ok(rest.get(colon + 1..).and_then(|rest| rest.get(..length)).context("the token is whole")?.to_vec())
}

/// An address as DHT packets have it.
pub(crate) fn compact(address: &SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => [&ip.octets()[..], &port].concat(),
        IpAddr::V6(ip) => [&ip.octets()[..], &port].concat(),
    }
}

/// `key` with the string `value`, bencoded.
pub(crate) fn entry(key: &str, value: &[u8]) -> Vec<u8> {
    [string(key.as_bytes()), string(value)].concat()
}

pub(crate) fn sha1(bytes: &[u8]) -> [u8; 20] {
    Sha1::digest(bytes).into()
}

/// A mutable item as the arguments of `put`, by the letter of BEP44.
pub(crate) struct Signed<'a> {
    pub(crate) secret: &'a ServerSecret,
    pub(crate) salt: &'a [u8],
    pub(crate) seq: i64,
    /// Bencoded.
    pub(crate) value: &'a [u8],
}

impl Signed<'_> {
    pub(crate) fn target(&self) -> [u8; 20] {
        sha1(&[&self.secret.public().0, self.salt].concat())
    }

    pub(crate) fn arguments(&self, token: &[u8]) -> Vec<u8> {
        let salt = if self.salt.is_empty() { vec![] } else { entry("salt", self.salt) };
        let seq = format!("3:seqi{}e", self.seq).into_bytes();
        let signature = self.secret.sign(&[&salt, &seq, &b"1:v"[..], self.value].concat());
        let key = entry("k", &self.secret.public().0);
        let (signature, token) = (entry("sig", &signature.0), entry("token", token));
        [&key, &salt, &seq, &signature, &token, &b"1:v"[..], self.value].concat()
    }
}
