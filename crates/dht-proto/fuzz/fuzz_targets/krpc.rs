//! Packets: what is accepted is within the bounds, and read again as the same once it is written.
#![no_main]
use seedbank_dht_proto::krpc::{Body, ERROR_TEXT_BYTES_MAX, Message, Method, NODES_MAX, PACKET_BYTES_MAX, PEERS_MAX};
use seedbank_dht_proto::{Item, check_value};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let message = match Message::decode(bytes) {
        Ok(message) => message,
        Err(error) => {
            assert_eq!(error.error.text, error.kind.to_string());
            return;
        }
    };
    match &message.body {
        Body::Query(query) => {
            if let Method::Put { item, .. } = &query.method {
                check(item);
            }
        }
        Body::Response(response) => {
            assert!(response.nodes.len() <= NODES_MAX && response.nodes6.len() <= NODES_MAX);
            assert!(response.values.len() <= PEERS_MAX);
            response.item.iter().for_each(check);
        }
        Body::Error(error) => assert!(error.text.len() <= ERROR_TEXT_BYTES_MAX),
    }
    let written = message.encode();
    // Bytes that are no text, and names of queries that are not known, become a little longer.
    if written.len() <= PACKET_BYTES_MAX {
        assert_eq!(Message::decode(&written), Ok(message));
    } else {
        assert!(bytes.len() + ERROR_TEXT_BYTES_MAX > PACKET_BYTES_MAX, "{} became {}", bytes.len(), written.len());
    }
});

/// An item that others can be given, even if nobody has signed it.
fn check(item: &Item) {
    assert_eq!(check_value(item.value()), Ok(()));
    let _ = (item.target(), item.is_genuine());
}
