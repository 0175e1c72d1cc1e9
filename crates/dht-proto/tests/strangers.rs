//! Strangers say whatever random bytes spell; the fuzz target `node` goes on from there.
#[path = "strangers/conversation.rs"]
mod conversation;
#[path = "simulation/random.rs"]
mod random;

use conversation::converse;
use random::Random;

#[test]
fn whatever_strangers_say_a_node_keeps_its_promises() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let spelt: Vec<u8> = (0..random.below(400)).flat_map(|_| random.bytes::<8>()).collect();
        converse(&spelt);
    }
}
