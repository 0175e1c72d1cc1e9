//! The story that the demo shows and a test asserts: a community from its first minute, through payments
//! and a light client, to the death and the return of its servers.
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use seedbank_types::{Address, Amount};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::api::{Certified, error_code};
use crate::client::LightClient;
use crate::founding::DECIMALS;
use crate::narrator::Narrator;
use crate::payments::{MadePayment, Payments, all_final, balance, submit};
use crate::testnet::{Testnet, TestnetSettings, in_time};
use crate::witness::Witness;

/// Payments at the beginning, and after each blow.
const PAYMENTS_AT_FIRST: u32 = 200;
const PAYMENTS_LATER: u32 = 20;
/// No single step of the story may take longer.
const STEP_LIMIT: Duration = Duration::from_secs(30);
/// So long the servers that are too few are watched.
const SILENCE: Duration = Duration::from_secs(3);
const POLL_PAUSE: Duration = Duration::from_millis(50);

struct Story<'a> {
    narrator: &'a mut Narrator,
    testnet: Testnet,
    payments: Payments,
    client: LightClient,
    witness: Witness,
    /// The epoch that the client has verified.
    client_epoch: u64,
}

/// Tells the whole story; an error is the step that did not come true. `settings` must be three
/// servers with at least one seeder and an epoch of a few seconds.
pub async fn tell(settings: &TestnetSettings, narrator: &mut Narrator) -> Result<()> {
    ensure!(settings.servers == 3 && settings.seeders >= 1, "the story is that of three servers and a seeder");
    narrator.remark(
        "Seedbank: community money without a block chain.\n\
         This is a whole community on this machine. It uses loopback addresses only; nothing leaves it.",
    )?;
    let mut story = beginning(settings, narrator).await?;
    if let Err(error) = story.go_on().await {
        let place = story.testnet.home().display().to_string();
        return Err(error.context(format!("this did not come true; the logs are in {place}/<name>/log")));
    }
    story.end().await
}

async fn beginning<'a>(settings: &TestnetSettings, narrator: &'a mut Narrator) -> Result<Story<'a>> {
    narrator.chapter(
        "Three servers found a community",
        "A server is a machine that a community trusts to keep its balances, together with the others. Each one here \
         knows the genesis (how the money began) and a way into a BitTorrent DHT, and nothing else: the servers find \
         each other there. At the end of every epoch they sign one statement about all balances. If more than half of \
         them signed, it is certified with grade crash; if more than two thirds did, with grade byzantine.",
    )?;
    narrator.begin("starting the DHT, three servers and a seeder, each in a process of its own")?;
    let testnet = Testnet::start(settings).await?;
    narrator.done(&format!(
        "{} servers, {} seeder and a DHT of {} nodes run, each in a process of its own",
        settings.servers, settings.seeders, settings.dht_nodes
    ))?;
    let payments = Payments::new(testnet.community())?;
    let client = testnet.client(1)?;
    Ok(Story { narrator, testnet, payments, client, witness: Witness::default(), client_epoch: 0 })
}

impl Story<'_> {
    async fn go_on(&mut self) -> Result<()> {
        self.first_epochs().await?;
        self.first_payments().await?;
        self.light_client().await?;
        self.one_server_dies().await?;
        self.it_comes_back().await?;
        self.two_servers_die().await?;
        self.one_of_them_comes_back().await
    }

    async fn first_epochs(&mut self) -> Result<()> {
        for epoch in [1, 2] {
            self.narrator.begin(&format!("waiting for the end of epoch {epoch}"))?;
            self.testnet.certified(epoch, Instant::now() + STEP_LIMIT).await?;
            let newest = self.newest(0).await?;
            self.narrator.done(&format!("epoch {epoch} is certified: {}", signers(&newest)))?;
        }
        Ok(())
    }

    async fn first_payments(&mut self) -> Result<()> {
        self.narrator.chapter(
            "People pay",
            "Everybody signs payments with a key of their own; no server can move anybody's money. The servers agree on \
             the order. A payment is final when servers of a quorum name the same place for it.",
        )?;
        self.narrator.begin("signing payments")?;
        let made = self.make(0, PAYMENTS_AT_FIRST).await?;
        self.narrator.done(&format!("{PAYMENTS_AT_FIRST} payments are signed among 1,000 accounts"))?;
        self.narrator.begin("the servers agree")?;
        submit(self.testnet.servers()[0].api(), &made).await?;
        all_final(&self.testnet, &made, Instant::now() + STEP_LIMIT).await?;
        self.narrator.done(&format!("all {PAYMENTS_AT_FIRST} are final, handed in and checked one by one"))?;
        Ok(())
    }

    async fn light_client(&mut self) -> Result<()> {
        self.narrator.chapter(
            "A light client looks",
            "A light client is what everybody else runs. It starts in an empty directory with the trust file: the \
             servers' public keys and a way into the DHT. It believes nobody: it checks signatures and sums, and fetches \
             all balances by BitTorrent from the servers and from a seeder, a volunteer who keeps them available.",
        )?;
        let epoch = self.epoch_of_the_payments().await?;
        self.narrator.begin("seedbank sync --trust testnet.keys")?;
        let synced = self.client_finds(epoch).await?;
        let kib = number(&synced, "length")? / 1024;
        self.narrator.done(&format!(
            "it found a record in the DHT, checked the quorum's signatures, fetched the snapshot of {kib} KiB, \
             and verified root and supply"
        ))?;
        self.verified_balance().await?;
        self.narrator.begin("seedbank seed")?;
        self.testnet.seed(&self.client.clone()).await?;
        self.narrator.done("it has become a seeder itself: the next client can fetch from it")?;
        Ok(())
    }

    /// Waits for the end of the epoch that has all payments so far.
    async fn epoch_of_the_payments(&mut self) -> Result<u64> {
        self.narrator.begin("waiting for the end of the epoch of these payments")?;
        let height = self.testnet.servers()[0].api().status().await?.height;
        let deadline = Instant::now() + STEP_LIMIT;
        loop {
            let newest = self.newest(0).await?;
            if newest.height >= height {
                self.narrator.done(&format!("epoch {} is certified, these payments included", newest.epoch))?;
                return Ok(newest.epoch);
            }
            in_time(deadline, "no epoch with these payments was certified")?;
            sleep(POLL_PAUSE).await;
        }
    }

    async fn verified_balance(&mut self) -> Result<()> {
        let address = Address(self.testnet.accounts().id(0)?);
        let text = address.to_string();
        self.narrator.begin("seedbank balance")?;
        let shown = self.client.succeed(&["balance", &text, "--offline"]).await?.json;
        let held = balance(self.testnet.servers()[0].api(), &address).await?;
        let amount = field(&shown, "balance")?;
        ensure!(amount == held.to_string(), "the client shows {amount}, the servers hold {held}");
        let amount = Amount(held).display(DECIMALS);
        let (grade, epoch) = (field(&shown, "grade")?, number(&shown, "epoch")?);
        self.narrator.done(&format!("{text} holds {amount} TST at the end of epoch {epoch}, grade {grade}"))?;
        Ok(())
    }

    async fn one_server_dies(&mut self) -> Result<()> {
        self.narrator
            .chapter("A server dies", "kill -9: no good-bye, nothing flushed. Two of three are still a majority.")?;
        self.kill(1).await?;
        self.pay_and_see(0, "payments go on").await?;
        let epoch = self.newest(0).await?.epoch + 1;
        self.epoch_goes_on(0, epoch).await
    }

    async fn it_comes_back(&mut self) -> Result<()> {
        self.narrator.chapter(
            "It comes back",
            "It starts with what is on its disk, asks the others for what it missed, and checks every step of it.",
        )?;
        self.restart(1).await?;
        self.narrator.begin("waiting for its signature")?;
        let newest = self.signs_again(1).await?;
        self.narrator.done(&format!("it signs again: epoch {}, {}", newest.epoch, signers(&newest)))?;
        let before = self.client_epoch;
        self.narrator.begin("seedbank sync")?;
        self.client_finds(before + 1).await?;
        self.narrator.done(&format!("the light client has moved from epoch {before} to {}", self.client_epoch))?;
        self.all_the_same().await
    }

    /// The record in the DHT is a moment behind the certificate, so the client may have to look twice.
    async fn client_finds(&mut self, epoch: u64) -> Result<Value> {
        let deadline = Instant::now() + STEP_LIMIT;
        loop {
            let synced = self.client.succeed(&["sync"]).await?.json;
            let found = number(&synced, "epoch")?;
            if found >= epoch {
                self.client_epoch = found;
                return Ok(synced);
            }
            in_time(deadline, "the light client did not find a newer epoch")?;
            sleep(POLL_PAUSE).await;
        }
    }

    async fn two_servers_die(&mut self) -> Result<()> {
        self.narrator.chapter(
            "Two of three die",
            "The last one alone is no majority. It must not go on by itself, and it says so; money never depends on a guess.",
        )?;
        self.kill(1).await?;
        self.kill(2).await?;
        self.narrator.begin("paying")?;
        let refused = self.refused_without_a_quorum().await?;
        self.narrator.done(&format!("a payment is refused: {refused}"))?;
        self.narrator.begin("watching it")?;
        self.stands_still().await?;
        self.narrator.done("it neither orders nor signs anything")?;
        Ok(())
    }

    async fn one_of_them_comes_back(&mut self) -> Result<()> {
        self.narrator.chapter("One of them comes back", "Two of three again: they go on where they stopped.")?;
        self.restart(2).await?;
        self.pay_and_see(0, "payments go on").await?;
        let epoch = self.newest(0).await?.epoch + 1;
        self.epoch_goes_on(0, epoch).await?;
        self.narrator.begin("comparing all certificates")?;
        self.witness.look(&self.testnet).await?;
        let epochs = self.witness.epochs();
        self.narrator
            .done(&format!("nothing forked: in each of the {epochs} epochs seen, all servers certified the same"))?;
        Ok(())
    }

    async fn end(self) -> Result<()> {
        let Self { narrator, testnet, .. } = self;
        narrator.begin("stopping")?;
        testnet.stop().await?;
        narrator.done("all processes have stopped in order")?;
        narrator.remark(&format!(
            "\nThe story took {:.0} s. Keep a community of your own running with `seedbank-testnet up`, and see README.md.",
            narrator.elapsed().as_secs_f64()
        ))
    }

    async fn kill(&mut self, server: usize) -> Result<()> {
        let server = &mut self.testnet.servers_mut()[server];
        self.narrator.begin(&format!("kill -9 {}", server.name()))?;
        server.kill().await?;
        self.narrator.done(&format!("{} is dead", server.name()))?;
        Ok(())
    }

    async fn restart(&mut self, server: usize) -> Result<()> {
        let server = &mut self.testnet.servers_mut()[server];
        self.narrator.begin(&format!("starting {} again", server.name()))?;
        server.restart().await?;
        let name = server.name();
        let other = self.testnet.servers()[0].api().status().await?.height;
        let deadline = Instant::now() + STEP_LIMIT;
        while self.status_of(&name).await?.height < other {
            in_time(deadline, &format!("{name} did not catch up"))?;
            sleep(POLL_PAUSE).await;
        }
        self.narrator.done(&format!("{name} is back and has caught up to height {other}"))?;
        Ok(())
    }

    async fn status_of(&self, name: &str) -> Result<crate::api::Status> {
        let server = self.testnet.servers().iter().find(|server| server.name() == name);
        server.with_context(|| format!("there is no {name}"))?.api().status().await
    }

    async fn make(&mut self, server: usize, count: u32) -> Result<Vec<MadePayment>> {
        let open = self.newest(server).await?.epoch + 1;
        self.payments.make(self.testnet.accounts(), open, count)
    }

    async fn pay_and_see(&mut self, server: usize, what: &str) -> Result<()> {
        self.narrator.begin("paying")?;
        let made = self.make(server, PAYMENTS_LATER).await?;
        let deadline = Instant::now() + STEP_LIMIT;
        while let Err(error) = submit(self.testnet.servers()[server].api(), &made).await {
            // A server that has just found its quorum again may need a moment.
            if error_code(&error) != Some("no_quorum") {
                return Err(error);
            }
            in_time(deadline, "the servers did not take payments")?;
            sleep(POLL_PAUSE).await;
        }
        all_final(&self.testnet, &made, deadline).await?;
        self.narrator.done(&format!("{what}: {PAYMENTS_LATER} more are final"))?;
        Ok(())
    }

    async fn epoch_goes_on(&mut self, server: usize, epoch: u64) -> Result<()> {
        self.narrator.begin(&format!("waiting for the end of epoch {epoch}"))?;
        self.testnet.certified(epoch, Instant::now() + STEP_LIMIT).await?;
        let newest = self.newest(server).await?;
        self.narrator.done(&format!("epochs go on: epoch {} is certified, {}", newest.epoch, signers(&newest)))?;
        Ok(())
    }

    /// Waits until a certificate carries the signature of a server that was away.
    async fn signs_again(&mut self, server: usize) -> Result<Certified> {
        let key = self.testnet.servers()[server].key();
        let number = self.testnet.trust().servers.number(&key).context("the trust file names all servers")?;
        let after = self.newest(0).await?.epoch;
        let deadline = Instant::now() + STEP_LIMIT;
        loop {
            for place in 0..self.testnet.servers().len() {
                let newest = self.newest(place).await?;
                if newest.epoch > after && newest.signed_by.contains(&number) {
                    return Ok(newest);
                }
            }
            in_time(deadline, "its signature did not appear")?;
            sleep(POLL_PAUSE).await;
        }
    }

    /// All servers report one root, infohash and supply for one epoch.
    async fn all_the_same(&mut self) -> Result<()> {
        self.narrator.begin("asking all servers")?;
        let deadline = Instant::now() + STEP_LIMIT;
        loop {
            let mut newest = Vec::new();
            for place in 0..self.testnet.servers().len() {
                newest.push(self.newest(place).await?);
            }
            let same = |one: &Certified| (one.root.clone(), one.snapshot.infohash.clone(), one.supply.clone());
            if newest.iter().all(|one| one.epoch == newest[0].epoch) {
                ensure!(newest.iter().all(|one| same(one) == same(&newest[0])), "the servers differ: {newest:?}");
                let root = &newest[0].root[..12];
                self.narrator.done(&format!("all three report the same root {root}…, infohash and supply"))?;
                return Ok(());
            }
            in_time(deadline, "the servers did not reach the same epoch")?;
            sleep(POLL_PAUSE).await;
        }
    }

    async fn refused_without_a_quorum(&mut self) -> Result<String> {
        let deadline = Instant::now() + STEP_LIMIT;
        while self.testnet.servers()[0].api().status().await?.quorum_in_reach {
            in_time(deadline, "the server did not notice that it is alone")?;
            sleep(POLL_PAUSE).await;
        }
        let made = self.make(0, 1).await?;
        let result = submit(self.testnet.servers()[0].api(), &made).await;
        self.payments.take_back(&made);
        match result {
            Err(error) if error_code(&error) == Some("no_quorum") => Ok(error.to_string()),
            Err(error) => Err(error.context("the payment was refused, but for another reason")),
            Ok(()) => bail!("a server without a quorum took a payment"),
        }
    }

    async fn stands_still(&mut self) -> Result<()> {
        let before = self.testnet.servers()[0].api().status().await?;
        let end = Instant::now() + SILENCE;
        while Instant::now() < end {
            let now = self.testnet.servers()[0].api().status().await?;
            let same = now.height == before.height && now.certified_epoch == before.certified_epoch;
            ensure!(same, "a server without a quorum went on: {before:?}, then {now:?}");
            sleep(POLL_PAUSE).await;
        }
        Ok(())
    }

    async fn newest(&mut self, server: usize) -> Result<Certified> {
        self.witness.look(&self.testnet).await?;
        let newest = self.testnet.servers()[server].api().checkpoint().await?;
        newest.context("no epoch is certified yet")
    }
}

fn signers(newest: &Certified) -> String {
    format!("{} of 3 signed, grade {}", newest.signed_by.len(), newest.grade)
}

fn field<'a>(object: &'a Value, name: &str) -> Result<&'a str> {
    object[name].as_str().with_context(|| format!("{object} has no text {name:?}"))
}

fn number(object: &Value, name: &str) -> Result<u64> {
    object[name].as_u64().with_context(|| format!("{object} has no number {name:?}"))
}
