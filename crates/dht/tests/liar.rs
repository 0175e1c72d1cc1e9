//! A DHT node that lies: what it says about a record must not surface.
use std::net::SocketAddr;

use seedbank_dht::{Bootstrap, DhtHandle, DhtSettings, spawn};
use seedbank_types::{ServerSecret, Signature};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

/// A node that answers every request with one item.
struct Liar {
    key: [u8; 32],
    seq: i64,
    value: Vec<u8>,
    signature: Signature,
}

impl Liar {
    fn honest(value: &[u8]) -> Self {
        let secret = ServerSecret::from_bytes(&[1; 32]);
        let signable = [format!("3:seqi1e1:v{}:", value.len()).as_bytes(), value].concat();
        Self { key: secret.public().0, seq: 1, value: value.to_vec(), signature: secret.sign(&signable) }
    }

    async fn serve(self) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = socket.local_addr().expect("bound");
        tokio::spawn(async move {
            let mut packet = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut packet).await {
                if let Some(answer) = self.answer(&packet[..length]) {
                    socket.send_to(&answer, from).await.expect("loopback takes it");
                }
            }
        });
        address
    }

    fn answer(&self, request: &[u8]) -> Option<Vec<u8>> {
        // The last one: what comes before may be part of an id.
        let place = request.windows(3).rposition(|window| window == b"1:t")?;
        let rest = request.get(place + 3..)?;
        let colon = rest.iter().position(|byte| *byte == b':')?;
        let length: usize = std::str::from_utf8(&rest[..colon]).ok()?.parse().ok()?;
        let transaction = rest.get(..colon + 1 + length)?;
        let mut answer = b"d1:rd2:id20:".to_vec();
        answer.extend([9; 20]);
        answer.extend(b"1:k32:");
        answer.extend(self.key);
        answer.extend(format!("3:seqi{}e3:sig64:", self.seq).bytes());
        answer.extend(self.signature.0);
        answer.extend(format!("5:token4:abcd1:v{}:", self.value.len()).bytes());
        answer.extend(&self.value);
        answer.extend(b"e1:t");
        answer.extend(transaction);
        answer.extend(b"1:y1:re");
        Some(answer)
    }
}

async fn values_from(liar: Liar) -> Vec<Vec<u8>> {
    let stop = CancellationToken::new();
    let _stop_at_end = stop.clone().drop_guard();
    let client = client_of(liar.serve().await, stop).await;
    let mut found = client.records(&[ServerSecret::from_bytes(&[1; 32]).public()]);
    let mut values = vec![];
    while let Some(record) = found.recv().await {
        values.push(record.value);
    }
    values
}

async fn client_of(node: SocketAddr, stop: CancellationToken) -> DhtHandle {
    let bootstrap = Bootstrap::Hosts(vec![node.to_string()]);
    let settings = DhtSettings::loopback("127.0.0.1:0".parse().expect("an address"), bootstrap);
    spawn(settings, stop).await.expect("a client")
}

/// Without this the others would prove nothing.
#[tokio::test]
async fn a_genuine_record_surfaces_once() {
    assert_eq!(values_from(Liar::honest(b"genuine")).await, [b"genuine"]);
}

#[tokio::test]
async fn a_changed_value_does_not_surface() {
    let mut liar = Liar::honest(b"genuine");
    liar.value = b"changed".to_vec();
    assert!(values_from(liar).await.is_empty());
}

#[tokio::test]
async fn a_raised_number_does_not_surface() {
    let mut liar = Liar::honest(b"genuine");
    liar.seq = 2;
    assert!(values_from(liar).await.is_empty());
}

#[tokio::test]
async fn a_record_signed_by_somebody_else_does_not_surface() {
    let mut liar = Liar::honest(b"genuine");
    let other = ServerSecret::from_bytes(&[2; 32]);
    liar.signature = other.sign(b"3:seqi1e1:v7:genuine");
    assert!(values_from(liar).await.is_empty());
    let mut liar = Liar::honest(b"genuine");
    liar.key = other.public().0;
    liar.signature = other.sign(b"3:seqi1e1:v7:genuine");
    assert!(values_from(liar).await.is_empty());
}

#[tokio::test]
async fn a_genuine_record_that_is_too_long_does_not_surface() {
    assert!(values_from(Liar::honest(&[0; 997])).await.is_empty());
    assert_eq!(values_from(Liar::honest(&[0; 996])).await.len(), 1);
}
