//! What comes back to another node than the one that waits, or that has asked and is dead: answers, delivery reports, presence
//! notifications. People are served by a home server, so that no node keeps anything of them.

use std::net::SocketAddr;

use impsgw::{
    app::App,
    wire::ssp::{Primitive, StatusCode},
};

use super::{Table, sees, ssp::answer_at};
use crate::hostile::{
    peer::{Peer, Session, code, in_session, message, message_id, post, request, response},
    stage::routing_by,
};

const ADA: &str = "wv:ada@alpha.example";
const BEA: &str = "wv:bea@beta.example";

/// Two nodes between a home server and a partner, each of which has a session that the first node opened.
struct Scene {
    /// Keeps the store and the zones.
    _table: Table,
    n1: Option<App>,
    n2: App,
    home: Peer,
    beta: Peer,
    of_home: Session,
    of_beta: Session,
}

impl Scene {
    async fn new() -> Self {
        let (mut home, mut beta) = (Peer::new("alpha").await, Peer::new("beta").await);
        let table = Table::with(&[&beta]).await;
        let n1 = start(&table, "n1", &home, &beta).await;
        let n2 = start(&table, "n2", &home, &beta).await;
        sees(&n1, &["n1", "n2"]).await;
        sees(&n2, &["n1", "n2"]).await;
        let of_home = home.open(n1.ssp[0]).await;
        let of_beta = beta.open(n1.ssp[0]).await;
        Self {
            _table: table,
            n1: Some(n1),
            n2,
            home,
            beta,
            of_home,
            of_beta,
        }
    }

    /// Where the first node is, while it lives, and the second one.
    fn gateways(&self) -> (SocketAddr, SocketAddr) {
        let second = self.n2.ssp[0];
        (self.n1.as_ref().map_or(second, |n1| n1.ssp[0]), second)
    }

    /// The home server sends a message through the first node, and the partner's answer comes to the second; the ID that the partner
    /// knows it by.
    async fn message_taken(&mut self) -> String {
        let (g1, g2) = self.gateways();
        let said = message("m-1", ADA, BEA).replace("deliveryReport=\"No\"", "deliveryReport=\"Yes\"");
        let asked = in_session(&self.of_home.id, &request("t-1", &said));
        assert_eq!(post(g1, &asked).await, 200);
        let (id, primitive) = self.beta.asked().await;
        let Primitive::SendMessageRequest(sent) = &primitive else {
            panic!("{primitive:?}");
        };
        let known_as = message_id(sent).to_owned();
        answer_at(g2, &self.of_beta, &id, &primitive).await;
        assert_eq!(code(&self.home.answer().await.primitive), StatusCode::SUCCESS);
        known_as
    }

    /// The partner reports that a message has arrived.
    async fn report_at(&mut self, gateway: SocketAddr, known_as: &str) {
        let delivered = format!(
            "<DeliveryStatusReport><DeliveryResult><Status code=\"200\"/></DeliveryResult><MessageInfo messageID=\"{known_as}\">\
             <Recipient><User userID=\"{ADA}\"/></Recipient><Sender><User userID=\"{BEA}\"/></Sender></MessageInfo></DeliveryStatusReport>"
        );
        let asked = in_session(&self.of_beta.id, &request("t-2", &delivered));
        assert_eq!(post(gateway, &asked).await, 200);
        let (id, primitive) = self.home.asked().await;
        let Primitive::DeliveryStatusReport(report) = primitive else {
            panic!("{primitive:?}");
        };
        // Under the identity that its sender knows it by.
        assert_eq!(report.info.message_id.as_deref(), Some("m-1"));
        let done = in_session(&self.of_home.id, &response(&id, "<Status code=\"200\"/>"));
        assert_eq!(post(gateway, &done).await, 200);
        assert_eq!(code(&self.beta.answer().await.primitive), StatusCode::SUCCESS);
    }

    /// The partner tells Ada's home of Bea.
    async fn notified_at(&mut self, gateway: SocketAddr) {
        let told = format!(
            "<PresenceNotification><User userID=\"{ADA}\"/><PresenceValue userID=\"{BEA}\"><PresenceSubList><StatusText>\
             <Qualifier>T</Qualifier><PresenceValue>On the 08:15</PresenceValue></StatusText></PresenceSubList></PresenceValue>\
             </PresenceNotification>"
        );
        let asked = in_session(&self.of_beta.id, &request("t-4", &told));
        assert_eq!(post(gateway, &asked).await, 200);
        let (id, primitive) = self.home.asked().await;
        let Primitive::PresenceNotification(told) = primitive else {
            panic!("{primitive:?}");
        };
        assert!(format!("{told:?}").contains("On the 08:15"), "{told:?}");
        let done = in_session(&self.of_home.id, &response(&id, "<Status code=\"200\"/>"));
        assert_eq!(post(gateway, &done).await, 200);
        assert_eq!(code(&self.beta.answer().await.primitive), StatusCode::SUCCESS);
    }

    /// Ada subscribes to Bea through this node; the transaction that the partner is asked in.
    async fn subscribes_at(&mut self, gateway: SocketAddr, transaction: &str) -> String {
        let asked = format!(
            "<SubscribeRequest><MetaInfo clientOriginated=\"Yes\"><Requestor serviceID=\"wv:@alpha.example\"><User userID=\"{ADA}\"/>\
             </Requestor></MetaInfo><UserID userID=\"{BEA}\"/></SubscribeRequest>"
        );
        let asked = in_session(&self.of_home.id, &request(transaction, &asked));
        assert_eq!(post(gateway, &asked).await, 200);
        let (id, primitive) = self.beta.asked().await;
        assert!(
            matches!(primitive, Primitive::SubscribeRequest(_)),
            "{primitive:?}"
        );
        id
    }

    async fn answers_at(&self, gateway: SocketAddr, id: &str) {
        let done = in_session(&self.of_beta.id, &response(id, "<Status code=\"200\"/>"));
        assert_eq!(post(gateway, &done).await, 200);
    }

    /// The first node dies without a word, and the second one takes it for dead.
    async fn first_dies(&mut self) {
        self.n1 = None;
        sees(&self.n2, &["n2"]).await;
    }

    async fn end(self) {
        for app in self.n1.into_iter().chain([self.n2]) {
            app.shut_down().await;
        }
    }
}

#[tokio::test]
async fn delivery_report_at_another_node_finds_its_message() {
    let mut scene = Scene::new().await;
    let known_as = scene.message_taken().await;
    let (_, g2) = scene.gateways();
    scene.report_at(g2, &known_as).await;
    scene.end().await;
}

#[tokio::test]
async fn delivery_report_finds_a_message_of_a_dead_node() {
    let mut scene = Scene::new().await;
    let known_as = scene.message_taken().await;
    scene.first_dies().await;
    let (_, g2) = scene.gateways();
    scene.report_at(g2, &known_as).await;
    scene.end().await;
}

#[tokio::test]
async fn presence_notification_at_another_node_finds_its_watcher() {
    let mut scene = Scene::new().await;
    let (g1, g2) = scene.gateways();
    let id = scene.subscribes_at(g1, "t-3").await;
    scene.answers_at(g2, &id).await;
    assert_eq!(code(&scene.home.answer().await.primitive), StatusCode::SUCCESS);
    scene.notified_at(g2).await;
    scene.first_dies().await;
    scene.notified_at(g2).await;
    scene.end().await;
}

/// Nobody waits any more; the home server asks again, at a node that lives.
#[tokio::test]
async fn answer_to_a_dead_node_is_taken_and_harms_nothing() {
    let mut scene = Scene::new().await;
    let (g1, g2) = scene.gateways();
    let id = scene.subscribes_at(g1, "t-3").await;
    scene.first_dies().await;
    scene.answers_at(g2, &id).await;
    let id = scene.subscribes_at(g2, "t-5").await;
    scene.answers_at(g2, &id).await;
    assert_eq!(code(&scene.home.answer().await.primitive), StatusCode::SUCCESS);
    scene.notified_at(g2).await;
    scene.end().await;
}

/// A node between a home server and a partner.
async fn start(table: &Table, node: &str, home: &Peer, beta: &Peer) -> App {
    let routing = routing_by(table.zone.as_ref().unwrap().local_addr());
    let agreement = |peer: &Peer, more: &str| {
        format!(
            "[[agreement]]\npeer = \"{}\"\ndomains = [\"{}\"]\nservices.in = [\"message\", \"presence\"]\n\
             services.out = [\"message\", \"presence\"]\nallowed_networks = [\"127.0.0.0/8\"]\ntls = {{ required = false }}\n{more}",
            peer.name, peer.domain
        )
    };
    let of_home = format!("role = \"home\"\nservers = [\"{}\"]\n", home.address);
    let text = [
        routing,
        "\n[ssp]\nlisten_plain = \"127.0.0.1:0\"\nhandshake_deadline = \"5s\"\n".to_owned(),
        agreement(home, &of_home),
        agreement(beta, ""),
    ];
    table.start_with(node, &text.concat()).await.unwrap()
}
