//! The API over HTTP, with a node that answers from memory.
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use seedbank_api::{
    AccountView, ApiRequest, ApiSettings, SUBMIT_PAYMENTS_MAX, ServersView, SubmittedPayment, TryLater, spawn,
};
use seedbank_types::{
    AccountId, AccountRecord, AccountSecret, Address, Amount, Checkpoint, CommunityId, Epoch, Evidence, FileRef, Hash,
    Height, Order, OrderKind, Payment, PaymentId, PaymentState, Refusal, Rule, ServerSecret, ServerSet, SignedOrder,
    SignedPayment, TimeMs,
};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

const KNOWN: AccountId = AccountId([1; 20]);
const COMMUNITY: CommunityId = CommunityId([9; 32]);

struct Api {
    address: SocketAddr,
    http: reqwest::Client,
    _stop: DropGuard,
}

fn evidence() -> Evidence {
    let secret = ServerSecret::from_bytes(&[3; 32]);
    let signed = |root| {
        let checkpoint = Checkpoint {
            community: COMMUNITY,
            epoch: Epoch(7),
            height: Height(3),
            time: TimeMs(4),
            root: Hash([root; 32]),
            count: 6,
            supply: Amount(7),
            closing_header: Hash([8; 32]),
            previous: Hash([9; 32]),
            servers: Hash([10; 32]),
            snapshot: FileRef::NONE,
            delta: FileRef::NONE,
        };
        let signature = checkpoint.sign(&secret);
        (checkpoint, signature)
    };
    Evidence::new(secret.public(), signed(1), signed(2)).expect("two of one epoch")
}

/// One server, whose fifth order is next.
fn servers_view() -> ServersView {
    let servers = ServerSet::new([(ServerSecret::from_bytes(&[4; 32]).public(), 3)]).expect("a set");
    ServersView {
        community: COMMUNITY,
        name: "Village".to_owned(),
        symbol: "VIL".to_owned(),
        decimals: 2,
        quorum: Rule::Majority,
        open_epoch: Epoch(6),
        next: servers.clone(),
        servers,
        order_sequence: 4,
    }
}

/// Refuses payments of 13 minor units, knows one account, never answers about genesis.
fn answer(request: ApiRequest) {
    match request {
        ApiRequest::Account { id, reply } => {
            let record = AccountRecord { id, balance: Amount(u64::MAX), sequence: 3 };
            let view = AccountView { record, next_sequence: 4, height: Height(7), epoch: Epoch(2) };
            reply.send((id == KNOWN).then_some(view)).expect("somebody waits");
        }
        ApiRequest::Checkpoint { reply } => reply.send(None).expect("somebody waits"),
        ApiRequest::Payment { id, reply } => {
            let (height, header) = (Height(5), Hash([6; 32]));
            let is_known = id == PaymentId([2; 32]);
            let state = if is_known { PaymentState::Final { height, header } } else { PaymentState::Unknown };
            reply.send(state).expect("somebody waits");
        }
        ApiRequest::Submit { payments, reply, .. } if payments[0].payment.amount == Amount(15) => {
            reply.send(Err(TryLater { ms: 1_500 })).expect("somebody waits");
        }
        ApiRequest::Submit { payments, reply, .. } => {
            let submitted = payments.iter().map(|one| {
                let state = match one.payment.amount {
                    Amount(13) => PaymentState::Refused(Refusal::InsufficientBalance { balance: 12 }),
                    Amount(14) => PaymentState::Refused(Refusal::NoQuorum),
                    _ => PaymentState::Sent,
                };
                SubmittedPayment { id: one.payment.id(&COMMUNITY), state }
            });
            reply.send(Ok(submitted.collect())).expect("somebody waits");
        }
        ApiRequest::Servers { reply } => reply.send(Box::new(servers_view())).expect("somebody waits"),
        ApiRequest::Handovers { reply, .. } => reply.send(Vec::new()).expect("somebody waits"),
        ApiRequest::Order { order, reply } => {
            let state = match order.order.sequence {
                4 => PaymentState::Sent,
                _ => PaymentState::Refused(Refusal::OrderWrongSequence { expected: 4 }),
            };
            reply.send(SubmittedPayment { id: order.order.id(&COMMUNITY), state }).expect("somebody waits");
        }
        ApiRequest::Genesis { reply } => drop(reply),
        ApiRequest::Evidence { reply } => reply.send(vec![evidence()]).expect("somebody waits"),
        ApiRequest::Status { reply } => drop(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(reply);
        })),
    }
}

impl Api {
    async fn start() -> Self {
        let stop = CancellationToken::new();
        let mut settings = ApiSettings::new("127.0.0.1:0".parse().expect("an address"));
        settings.request_timeout = Duration::from_millis(300);
        settings.requests_max = 4;
        Self::start_with(settings, stop).await
    }

    async fn start_with(settings: ApiSettings, stop: CancellationToken) -> Self {
        let (handle, mut requests) = spawn(settings, stop.clone()).await.expect("a free port");
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                answer(request);
            }
        });
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { address: handle.address, http, _stop: stop.drop_guard() }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.http.get(format!("http://{}{path}", self.address)).send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }

    async fn post(&self, kind: &str, body: Vec<u8>) -> (u16, Value) {
        let request = self.http.post(format!("http://{}/v1/payments", self.address));
        let response = request.header("content-type", kind).body(body).send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }

    async fn submit(&self, amounts: &[u64]) -> (u16, Value) {
        let payments: Vec<String> = amounts.iter().map(|amount| hex::encode(payment(*amount).encode())).collect();
        let body = serde_json::to_vec(&json!({ "payments": payments })).expect("JSON");
        self.post("application/json", body).await
    }
}

fn payment(amount: u64) -> SignedPayment {
    let secret = AccountSecret::from_bytes(&[1; 32]).expect("below the group order");
    let payment = Payment {
        payer_key: secret.public().to_bytes(),
        payee: KNOWN,
        amount: Amount(amount),
        fee: Amount(1),
        sequence: 0,
        expires: Epoch(1),
        memo: vec![],
    };
    payment.sign(&COMMUNITY, &secret)
}

fn code(answer: &Value) -> &str {
    let error = &answer["error"];
    assert!(error["message"].is_string() && error["next"].is_string(), "{answer}");
    error["code"].as_str().expect("a text")
}

#[tokio::test]
async fn amounts_are_decimal_strings_that_keep_64_bits() {
    let api = Api::start().await;
    let (status, account) = api.get(&format!("/v1/accounts/{}", Address(KNOWN))).await;
    assert_eq!(status, 200);
    assert_eq!(account["balance"], "18446744073709551615");
    assert_eq!((&account["sequence"], &account["next_sequence"]), (&json!(3), &json!(4)));
    assert_eq!((&account["height"], &account["epoch"]), (&json!(7), &json!(2)));
}

#[tokio::test]
async fn evidence_is_given_whole() {
    let api = Api::start().await;
    let (code, answer) = api.get("/v1/evidence").await;
    let first = &answer["evidence"][0];
    assert_eq!((code, first["epoch"].as_u64()), (200, Some(7)));
    assert_eq!(first["server"], evidence().key.to_string());
    let bytes = hex::decode(first["evidence"].as_str().expect("a text")).expect("hex");
    assert_eq!(Evidence::decode(&bytes), Ok(evidence()));
}

#[tokio::test]
async fn errors_have_code_message_next_and_a_fitting_status() {
    let api = Api::start().await;
    let unknown = Address(AccountId([2; 20]));
    for (path, status, expected) in [
        (format!("/v1/accounts/{unknown}"), 404, "unknown_account"),
        ("/v1/accounts/Snonsense".to_owned(), 400, "bad_address"),
        ("/v1/accounts/%ff".to_owned(), 400, "bad_path"),
        ("/v1/payments/%ff".to_owned(), 400, "bad_path"),
        ("/v1/genesis?format=a&format=b".to_owned(), 400, "bad_query"),
        ("/v1/accounts/".to_owned(), 404, "no_such_route"),
        ("/v1/checkpoint".to_owned(), 404, "no_checkpoint"),
        (format!("/v1/payments/{}", PaymentId([3; 32])), 404, "unknown_payment"),
        ("/v1/payments/xyz".to_owned(), 400, "bad_payment_id"),
        ("/v1/payments".to_owned(), 405, "method_not_allowed"),
        ("/v2".to_owned(), 404, "no_such_route"),
        ("/v1/genesis".to_owned(), 503, "busy"),
        ("/v1/status".to_owned(), 504, "timeout"),
    ] {
        let (got, answer) = api.get(&path).await;
        assert_eq!((got, code(&answer)), (status, expected), "{path}");
    }
}

#[tokio::test]
async fn a_payment_tells_how_far_it_has_come() {
    let api = Api::start().await;
    let (status, payment) = api.get(&format!("/v1/payments/{}", PaymentId([2; 32]))).await;
    assert_eq!((status, &payment["state"], &payment["height"]), (200, &json!("final"), &json!(5)));
    assert_eq!(payment["header"], Hash([6; 32]).to_string());
}

#[tokio::test]
async fn submitted_payments_are_answered_one_by_one() {
    let api = Api::start().await;
    let (status, answer) = api.submit(&[1, 13, 2]).await;
    assert_eq!(status, 200);
    let states: Vec<_> = (0..3).map(|index| answer["payments"][index]["state"].as_str().expect("a text")).collect();
    assert_eq!(states, ["sent", "refused", "sent"]);
    assert_eq!(answer["payments"][1]["refusal"]["code"], "insufficient_balance");
    assert_eq!(answer["payments"][0]["id"], payment(1).payment.id(&COMMUNITY).to_string());
}

#[tokio::test]
async fn if_all_payments_are_refused_that_is_the_error() {
    let api = Api::start().await;
    let (status, answer) = api.submit(&[13]).await;
    assert_eq!((status, code(&answer)), (422, "insufficient_balance"));
    let (status, answer) = api.submit(&[14, 14]).await;
    assert_eq!((status, code(&answer)), (503, "no_quorum"));
}

#[tokio::test]
async fn one_payment_may_come_as_plain_bytes() {
    let api = Api::start().await;
    let (status, answer) = api.post("application/octet-stream", payment(1).encode()).await;
    assert_eq!((status, &answer["payments"][0]["state"]), (200, &json!("sent")));
}

#[tokio::test]
async fn what_is_no_submission_is_refused_with_its_place() {
    let api = Api::start().await;
    let json = "application/json";
    let good = hex::encode(payment(1).encode());
    let many = vec![good.as_str(); SUBMIT_PAYMENTS_MAX + 1];
    for (body, status, expected) in [
        (json!({ "payments": [] }), 400, "no_payments"),
        (json!({ "payment": [good] }), 400, "bad_json"),
        (json!({ "payments": [good, "zz"] }), 400, "malformed"),
        (json!({ "payments": [good, "00"] }), 400, "malformed"),
        (json!({ "payments": many }), 413, "too_large"),
    ] {
        let (got, answer) = api.post(json, serde_json::to_vec(&body).expect("JSON")).await;
        assert_eq!((got, code(&answer)), (status, expected), "{body}");
        if expected == "malformed" {
            assert!(answer["error"]["message"].as_str().is_some_and(|text| text.starts_with("payment 1:")), "{answer}");
        }
    }
    let (got, answer) = api.post(json, vec![b' '; 600 << 10]).await;
    assert_eq!((got, code(&answer)), (413, "too_large"));
}

#[tokio::test]
async fn more_requests_than_allowed_are_told_to_come_back() {
    let api = Api::start().await;
    let waiting: Vec<_> = (0..20).map(|_| api.get("/v1/status")).collect();
    let mut busy = 0;
    let mut waiting: Vec<_> = waiting.into_iter().map(Box::pin).collect();
    let answers = async {
        let mut answers = Vec::new();
        let polled = std::future::poll_fn(|context| {
            waiting.retain_mut(|one| match one.as_mut().poll(context) {
                std::task::Poll::Ready(answer) => {
                    answers.push(answer);
                    false
                }
                std::task::Poll::Pending => true,
            });
            if waiting.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        });
        polled.await;
        answers
    };
    for (status, answer) in answers.await {
        match code(&answer) {
            "busy" => busy += 1,
            other => assert_eq!((other, status), ("timeout", 504)),
        }
    }
    assert!(busy >= 10, "{busy} of 20");
}

#[tokio::test]
async fn the_servers_in_force_are_told_with_their_guarantee_and_the_next_order() {
    let api = Api::start().await;
    let (code, answer) = api.get("/v1/servers").await;
    assert_eq!((code, answer["order_sequence"].as_u64(), answer["open_epoch"].as_u64()), (200, Some(4), Some(6)));
    assert_eq!(answer["servers"][0]["power"], "3", "{answer}");
    assert_eq!(answer["servers_hash"], answer["next_servers_hash"]);
    assert_eq!(answer["guarantee"]["words"], "majority: 0 of 1 may crash; none may lie");
}

#[tokio::test]
async fn orders_are_taken_as_hex_or_bytes_and_refused_by_name() {
    let api = Api::start().await;
    let order = |sequence| {
        let kind = OrderKind::Retire { amount: Amount(1) };
        SignedOrder { order: Order { kind, sequence, last_epoch: Epoch(9) }, signatures: Vec::new() }.encode()
    };
    let url = format!("http://{}/v1/orders", api.address);
    let posted = async |sequence| {
        let body = json!({ "order": hex::encode(order(sequence)) });
        let response = api.http.post(&url).json(&body).send().await.expect("an answer");
        (response.status().as_u16(), response.json::<Value>().await.expect("JSON"))
    };
    let (code, answer) = posted(4).await;
    assert_eq!((code, answer["order"]["state"].as_str()), (200, Some("sent")), "{answer}");
    let (code, answer) = posted(3).await;
    assert_eq!((code, answer["error"]["code"].as_str()), (422, Some("order_wrong_sequence")), "{answer}");
    let bytes = api.http.post(&url).header("content-type", "application/octet-stream").body(order(4)[..9].to_vec());
    assert_eq!(bytes.send().await.expect("an answer").status().as_u16(), 400);
}

#[tokio::test]
async fn handovers_are_asked_for_by_a_set() {
    let api = Api::start().await;
    let (code, answer) = api.get(&format!("/v1/handovers?from={}", Hash([3; 32]))).await;
    assert_eq!((code, &answer["handovers"]), (200, &json!([])));
    for path in ["/v1/handovers", "/v1/handovers?from=12", "/v1/handovers?to=1"] {
        assert_eq!(api.get(path).await.0, 400, "{path}");
    }
}

#[tokio::test]
async fn who_hands_in_too_much_is_told_when_to_come_back() {
    let api = Api::start().await;
    let body = json!({ "payments": [hex::encode(payment(15).encode())] });
    let request = api.http.post(format!("http://{}/v1/payments", api.address)).json(&body);
    let response = request.send().await.expect("an answer");
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"2".parse().expect("text")));
    let answer: Value = response.json().await.expect("JSON");
    assert_eq!((code(&answer), answer["error"]["retry_ms"].as_u64()), ("too_many", Some(1_500)));
}

#[tokio::test]
async fn who_asks_too_often_is_told_so() {
    let stop = CancellationToken::new();
    let mut settings = ApiSettings::new("127.0.0.1:0".parse().expect("an address"));
    settings.requests_per_second = NonZeroU32::new(2).expect("not 0");
    let api = Api::start_with(settings, stop).await;
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(api.get("/v1/nowhere").await);
    }
    let (status, answer) = answers.pop().expect("six answers");
    assert_eq!((answers[0].0, status, code(&answer)), (404, 429, "too_many"), "four at once are allowed");
    let wait = answer["error"]["retry_ms"].as_u64().expect("a number");
    assert!((1..=1_000).contains(&wait), "{wait}");
}

#[tokio::test]
async fn connections_of_one_address_are_bounded() {
    let stop = CancellationToken::new();
    let mut settings = ApiSettings::new("127.0.0.1:0".parse().expect("an address"));
    settings.connections_per_address_max = 2;
    let api = Api::start_with(settings, stop).await;
    let held = [api.address; 2].map(|address| std::net::TcpStream::connect(address).expect("it listens"));
    let url = format!("http://{}/v1/nowhere", api.address);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    // The connections are counted when they are taken, a moment after they are there.
    while api.http.get(&url).header("connection", "close").send().await.is_ok() {
        assert!(std::time::Instant::now() < deadline, "a third connection is never closed");
    }
    drop(held);
    while api.http.get(&url).header("connection", "close").send().await.is_err() {
        assert!(std::time::Instant::now() < deadline, "places are never given back");
    }
}
