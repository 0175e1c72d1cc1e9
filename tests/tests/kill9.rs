//! kill -9 of any process at random moments: nothing final is lost, nothing is signed twice.
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use seedbank_testnet::{MadePayment, Payments, Testnet, Witness, all_final, submit};
use seedbank_tests::{Chance, SEED_VARIABLE};
use seedbank_types::PaymentId;
use tokio::time::{Instant, sleep};

const KILLS: u32 = 50;
const PAYMENTS_PER_ROUND: u32 = 8;
const LONGEST_PAUSE: Duration = Duration::from_millis(700);
/// Killed this early, a process has not even opened its files.
const LONGEST_START: Duration = Duration::from_millis(300);
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

type Place = (u64, String);

/// What must stay true.
struct Memory {
    made: Vec<MadePayment>,
    /// Payments that a server called final, with their place.
    places: BTreeMap<PaymentId, Place>,
    supply: String,
    witness: Witness,
}

enum Victim {
    Server(usize),
    AllServers,
    Seeder,
    ClientAtWork,
}

#[tokio::test]
async fn fifty_kills_lose_no_final_payment_and_sign_nothing_twice() -> Result<()> {
    let mut chance = Chance::new()?;
    let seed = chance.seed();
    let replay = || format!("replay with {SEED_VARIABLE}={seed}");
    let mut testnet = seedbank_tests::ready(&seedbank_tests::quick()).await?;
    let place = testnet.home().display().to_string();
    torment(&mut testnet, &mut chance).await.with_context(replay).with_context(|| format!("logs are in {place}"))?;
    testnet.stop().await.with_context(replay)
}

async fn torment(testnet: &mut Testnet, chance: &mut Chance) -> Result<()> {
    let supply = testnet.servers()[0].api().status().await?.supply;
    let mut memory = Memory { made: Vec::new(), places: BTreeMap::new(), supply, witness: Witness::default() };
    let mut payments = Payments::new(testnet.community())?;
    for _ in 0..KILLS {
        pay(testnet, &mut payments, &mut memory, chance).await?;
        sleep(chance.pause(LONGEST_PAUSE)).await;
        memory.look(testnet).await?;
        match victim(chance) {
            Victim::Server(number) => kill_and_restart(testnet, &[number], chance).await?,
            Victim::AllServers => kill_and_restart(testnet, &[0, 1, 2], chance).await?,
            Victim::Seeder => testnet.seeders_mut()[0].kill_and_restart().await?,
            Victim::ClientAtWork => kill_a_client_at_work(testnet, chance).await?,
        }
    }
    memory.settle(testnet).await
}

fn victim(chance: &mut Chance) -> Victim {
    match chance.below(10) {
        0 => Victim::AllServers,
        1 => Victim::Seeder,
        2 => Victim::ClientAtWork,
        number => Victim::Server(usize::try_from(number % 3).unwrap_or_default()),
    }
}

/// Hands some payments to a server. It may refuse them for want of a quorum: they are handed in again
/// at the end, the same bytes.
async fn pay(testnet: &Testnet, payments: &mut Payments, memory: &mut Memory, chance: &mut Chance) -> Result<()> {
    let open = memory.witness.newest_epoch() + 1;
    let made = payments.make(testnet.accounts(), open, PAYMENTS_PER_ROUND)?;
    let server = &testnet.servers()[usize::try_from(chance.below(3))?];
    if let Err(error) = submit(server.api(), &made).await {
        eprintln!("{} did not take payments: {error:#}", server.name());
    }
    memory.made.extend(made);
    Ok(())
}

async fn kill_and_restart(testnet: &mut Testnet, numbers: &[usize], chance: &mut Chance) -> Result<()> {
    for number in numbers {
        testnet.servers_mut()[*number].kill().await?;
    }
    sleep(chance.pause(LONGEST_PAUSE)).await;
    for number in numbers {
        let server = &mut testnet.servers_mut()[*number];
        server.launch()?;
        if chance.below(4) == 0 {
            sleep(chance.pause(LONGEST_START)).await;
            server.kill().await?;
            server.launch()?;
        }
    }
    for number in numbers {
        testnet.servers_mut()[*number].listening().await?;
    }
    Ok(())
}

/// A client is killed somewhere in its work; the same client must then succeed with what is left.
async fn kill_a_client_at_work(testnet: &Testnet, chance: &mut Chance) -> Result<()> {
    let client = testnet.client(1)?;
    tokio::select! {
        outcome = client.run(&["sync"]) => { outcome?; }
        // Dropped, the process is killed.
        () = sleep(chance.pause(LONGEST_PAUSE)) => {}
    }
    Ok(())
}

impl Memory {
    /// Takes in what the servers say now, and compares it with what they said before.
    async fn look(&mut self, testnet: &Testnet) -> Result<()> {
        self.witness.look(testnet).await?;
        for payment in self.made.iter().rev().take(3 * PAYMENTS_PER_ROUND as usize) {
            for server in testnet.servers() {
                let place = server.api().payment(&payment.id).await?.and_then(|answer| answer.place());
                let Some(place) = place else { continue };
                let first = self.places.entry(payment.id).or_insert_with(|| place.clone());
                ensure!(*first == place, "payment {} moved from {first:?} to {place:?}", payment.id);
            }
        }
        Ok(())
    }

    /// At the end everything is final, where it was, with the money that there was.
    async fn settle(&mut self, testnet: &mut Testnet) -> Result<()> {
        let deadline = Instant::now() + SETTLE_LIMIT;
        self.hand_in_again(testnet, deadline).await?;
        all_final(testnet, &self.made, deadline).await?;
        let epoch = self.witness.newest_epoch() + 2;
        testnet.certified(epoch, deadline).await?;
        self.witness.look(testnet).await?;
        for server in testnet.servers() {
            for (id, place) in &self.places {
                let now = server.api().payment(id).await?.and_then(|answer| answer.place());
                ensure!(now.as_ref() == Some(place), "{}: payment {id} was at {place:?}, now {now:?}", server.name());
            }
            let supply = server.api().status().await?.supply;
            ensure!(supply == self.supply, "{}: the supply was {}, now {supply}", server.name(), self.supply);
        }
        testnet.client(1)?.succeed(&["sync"]).await?;
        Ok(())
    }

    /// The same bytes again: harmless for those that are final already.
    async fn hand_in_again(&self, testnet: &Testnet, deadline: Instant) -> Result<()> {
        let missing: Vec<_> = self.made.iter().filter(|one| !self.places.contains_key(&one.id)).cloned().collect();
        while let Err(error) = submit(testnet.servers()[0].api(), &missing).await {
            seedbank_testnet::in_time(deadline, &format!("payments were not taken: {error:#}"))?;
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }
}
