//! What happens to a packet between two nodes: pure, so that it can be tested without a network.
use std::collections::BTreeSet;
use std::time::Duration;

use crate::chance::Chance;

/// A node of the network: 0 is where the clients and the DHT are, then the servers in order.
pub(crate) type NodeNumber = usize;

/// How long a packet takes and how many are lost, the same on every link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Weather {
    /// One way.
    pub(crate) delay: Duration,
    /// Up to so much more.
    pub(crate) jitter: Duration,
    /// Of a thousand packets.
    pub(crate) lost_per_mille: u64,
}

/// The state of all links.
#[derive(Debug)]
pub(crate) struct Links {
    weather: Weather,
    /// From, to.
    cut: BTreeSet<(NodeNumber, NodeNumber)>,
    chance: Chance,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Lost,
    Arrives { after: Duration },
}

impl Links {
    pub(crate) const fn new(chance: Chance) -> Self {
        let weather = Weather { delay: Duration::ZERO, jitter: Duration::ZERO, lost_per_mille: 0 };
        Self { weather, cut: BTreeSet::new(), chance }
    }

    pub(crate) fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Packets of `from` no longer reach `to`.
    pub(crate) fn cut(&mut self, from: NodeNumber, to: NodeNumber) {
        self.cut.insert((from, to));
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.weather = Weather::default();
    }

    pub(crate) fn fate(&mut self, from: NodeNumber, to: NodeNumber) -> Fate {
        if self.cut.contains(&(from, to)) || self.chance.below(1_000) < self.weather.lost_per_mille {
            return Fate::Lost;
        }
        let Weather { delay, jitter, .. } = self.weather;
        let more = if jitter.is_zero() { Duration::ZERO } else { self.chance.pause(jitter) };
        Fate::Arrives { after: delay + more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Fate = Fate::Arrives { after: Duration::ZERO };

    #[test]
    fn a_cut_has_a_direction_and_heals() {
        let mut links = Links::new(Chance::of(1));
        links.cut(1, 2);
        assert_eq!((links.fate(1, 2), links.fate(2, 1)), (Fate::Lost, AT_ONCE));
        links.heal();
        assert_eq!(links.fate(1, 2), AT_ONCE);
    }

    #[test]
    fn as_many_packets_are_lost_as_was_asked_for() {
        let mut links = Links::new(Chance::of(1));
        links.set_weather(Weather { lost_per_mille: 50, ..Weather::default() });
        let lost = (0..10_000).filter(|_| links.fate(0, 1) == Fate::Lost).count();
        assert!((400..600).contains(&lost), "{lost} of 10,000");
    }

    #[test]
    fn packets_take_the_delay_and_at_most_the_jitter_more() {
        let mut links = Links::new(Chance::of(1));
        let ms = Duration::from_millis;
        links.set_weather(Weather { delay: ms(200), jitter: ms(20), lost_per_mille: 0 });
        for _ in 0..1_000 {
            let Fate::Arrives { after } = links.fate(0, 1) else { panic!("none is lost") };
            assert!((ms(200)..ms(220)).contains(&after), "{after:?}");
        }
    }
}
