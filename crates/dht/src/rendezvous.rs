//! Where everybody on the mesh of a community meets.
use seedbank_types::{CommunityId, InfoHash};
use sha1::{Digest, Sha1};

/// What everybody on the mesh announces: SHA-1(`"seedbank/mesh/1"` ‖ community).
#[must_use]
pub fn rendezvous(community: &CommunityId) -> InfoHash {
    InfoHash(Sha1::new().chain_update(b"seedbank/mesh/1").chain_update(community.0).finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rendezvous_is_that_of_the_example_in_the_protocol() {
        let community: CommunityId =
            "0c113a3d1572531fa4f2a28a77f7ba57658559ef8cf99a7c09294f5d957836be".parse().expect("an id");
        assert_eq!(rendezvous(&community).to_string(), "823f8ef7506e0d4234af30e634eeada4af2d09e6");
    }

    #[test]
    fn the_rendezvous_is_the_sha1_of_prefix_and_community() {
        let expected = Sha1::digest([&b"seedbank/mesh/1"[..], &[7; 32]].concat());
        assert_eq!(rendezvous(&CommunityId([7; 32])).0[..], expected[..]);
        assert_ne!(rendezvous(&CommunityId([7; 32])), rendezvous(&CommunityId([8; 32])));
    }
}
