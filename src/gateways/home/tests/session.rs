//! Logging in and out, tokens, wrong passwords.

use std::{num::NonZeroU32, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::{
    super::{
        HomeConfig,
        outgoing::{NewContact, Wish},
        secret::{PasswordCost, PasswordHash},
    },
    ADA, BEA, Fixture, PASSWORD, address,
};
use crate::model::{ByteSize, Refusal, Request, Subscribe};

#[tokio::test]
async fn login_subscribes_to_the_contact_list() {
    let fixture = Fixture::new().await;
    let bea = NewContact {
        wish: Wish::Address(BEA.into()),
        nickname: None,
    };
    fixture.home.add_contact(&fixture.ada(), bea).await.unwrap();
    fixture.line.take();
    fixture
        .home
        .log_in("+44 7700 900123", PASSWORD, "phone")
        .await
        .unwrap()
        .unwrap();
    fixture.home.underway().idle().await;
    let sent = fixture.line.take();
    let [Request::Subscribe(subscribe)] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!(subscribe.presentities, vec![address(BEA)]);
}

#[tokio::test]
async fn last_logout_and_long_silence_show_the_subscriber_offline() {
    let fixture = Fixture::new().await;
    let first = fixture.log_in("ada@alpha.example").await;
    let second = fixture.log_in(ADA).await;
    fixture
        .deliver(Request::Subscribe(Subscribe {
            watcher: address(BEA),
            presentities: vec![address(ADA)],
            attributes: Vec::new(),
        }))
        .await
        .unwrap();
    fixture.line.take();
    let ada = fixture.ada();
    fixture.home.log_out(&ada, &first.device).await.unwrap();
    fixture.home.underway().idle().await;
    assert!(fixture.line.take().is_empty());
    fixture.home.log_out(&ada, &second.device).await.unwrap();
    fixture.home.underway().idle().await;
    assert_eq!(fixture.line.notifications()[0].values[0].1.online(), Some(false));

    let third = fixture
        .home
        .log_in("ada@alpha.example", PASSWORD, "")
        .await
        .unwrap()
        .unwrap();
    fixture.home.underway().idle().await;
    assert_eq!(fixture.line.notifications()[0].values[0].1.online(), Some(true));
    fixture.hand.advance(Duration::from_secs(1799));
    fixture.home.sweep().await;
    fixture.home.underway().idle().await;
    assert!(fixture.line.take().is_empty());
    fixture.hand.advance(Duration::from_secs(1));
    fixture.home.sweep().await;
    fixture.home.underway().idle().await;
    assert_eq!(fixture.line.notifications()[0].values[0].1.online(), Some(false));
    assert!(fixture.home.authenticate(&third.token).is_some());
    fixture.home.underway().idle().await;
    assert_eq!(fixture.line.notifications()[0].values[0].1.online(), Some(true));
}

#[tokio::test]
async fn wrong_passwords_close_the_account_for_a_while() {
    let fixture = Fixture::with(|config| config.limits.login_attempts = 2).await;
    for _ in 0..2 {
        assert!(fixture.home.log_in(ADA, "wrong", "").await.unwrap().is_none());
    }
    let closed = fixture.home.log_in(ADA, PASSWORD, "").await;
    assert!(matches!(closed, Err(Refusal::RateExceeded { .. })));
    assert!(
        fixture
            .home
            .log_in(super::BEN, PASSWORD, "")
            .await
            .unwrap()
            .is_some()
    );
    fixture.hand.advance(Duration::from_secs(900));
    assert!(fixture.home.log_in(ADA, PASSWORD, "").await.unwrap().is_some());
    for _ in 0..5 {
        assert!(fixture.home.log_in(ADA, PASSWORD, "").await.unwrap().is_some());
    }
    for _ in 0..2 {
        let nobody = fixture.home.log_in("+447700900199", PASSWORD, "").await;
        assert!(nobody.unwrap().is_none());
    }
    let closed = fixture.home.log_in("+447700900199", PASSWORD, "").await;
    assert!(matches!(closed, Err(Refusal::RateExceeded { .. })));
}

#[tokio::test]
async fn token_is_good_for_its_device_until_it_is_over() {
    let fixture = Fixture::new().await;
    let one = fixture.log_in(ADA).await;
    let two = fixture.log_in(super::BEN).await;
    assert_eq!(
        fixture.home.authenticate(&one.token).unwrap().0.number,
        fixture.ada().number
    );
    let (device, _): (&str, &str) = one.token.split_once('.').unwrap();
    let (_, secret): (&str, &str) = two.token.split_once('.').unwrap();
    let wrong: [String; 5] = [
        format!("{device}.{secret}"),
        format!("{device}."),
        device.to_owned(),
        ".".into(),
        String::new(),
    ];
    for bad in wrong {
        assert!(fixture.home.authenticate(&bad).is_none(), "{bad}");
    }
    fixture.hand.advance(Duration::from_secs(30 * 86_400));
    assert!(fixture.home.authenticate(&one.token).is_none());
    fixture.home.sweep().await;
    assert!(fixture.ada().state().devices.is_empty());
}

#[tokio::test]
async fn one_device_too_many_logs_the_longest_idle_one_out() {
    let fixture = Fixture::with(|config| config.limits.devices = 2).await;
    let first = fixture.log_in(ADA).await;
    fixture.hand.advance(Duration::from_secs(1));
    let second = fixture.log_in(ADA).await;
    fixture.hand.advance(Duration::from_secs(1));
    fixture.home.authenticate(&first.token).unwrap();
    fixture.hand.advance(Duration::from_secs(1));
    fixture.log_in(ADA).await;
    assert!(fixture.home.authenticate(&second.token).is_none());
    assert!(fixture.home.authenticate(&first.token).is_some());
}

#[tokio::test]
async fn new_password_logs_other_devices_out() {
    let fixture = Fixture::new().await;
    let (one, two) = (fixture.log_in(ADA).await, fixture.log_in(ADA).await);
    let ada = fixture.ada();
    let wrong = fixture
        .home
        .change_password(&ada, &one.device, ("wrong", "long enough"))
        .await;
    assert!(matches!(wrong, Err(Refusal::NotAuthorised { .. })));
    let short = fixture
        .home
        .change_password(&ada, &one.device, (PASSWORD, "short"))
        .await;
    assert!(matches!(short, Err(Refusal::BadRequest { .. })));
    fixture
        .home
        .change_password(&ada, &one.device, (PASSWORD, "long enough"))
        .await
        .unwrap();
    assert!(fixture.home.authenticate(&one.token).is_some());
    assert!(fixture.home.authenticate(&two.token).is_none());
    assert!(fixture.home.log_in(ADA, PASSWORD, "").await.unwrap().is_none());
    assert!(
        fixture
            .home
            .log_in(ADA, "long enough", "")
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn closed_account_is_logged_out_and_not_let_in() {
    let fixture = Fixture::new().await;
    let one = fixture.log_in(ADA).await;
    fixture
        .home
        .set_active(&fixture.ada().number, false)
        .await
        .unwrap();
    assert!(fixture.home.authenticate(&one.token).is_none());
    assert!(fixture.home.log_in(ADA, PASSWORD, "").await.unwrap().is_none());
}

#[tokio::test]
async fn requests_a_minute_are_bounded() {
    let fixture = Fixture::with(|config| config.limits.requests_per_minute = 2).await;
    let take = |fixture: &Fixture| fixture.ada().state().rate.take(fixture.clock.now());
    assert!(take(&fixture).is_ok() && take(&fixture).is_ok());
    assert!(matches!(take(&fixture), Err(Refusal::RateExceeded { .. })));
    fixture.hand.advance(Duration::from_secs(30));
    assert!(take(&fixture).is_ok());
    assert!(take(&fixture).is_err());
}

#[tokio::test]
async fn who_watches_a_number_that_moved_subscribes_anew_where_it_is_served_now() {
    let fixture = Fixture::new().await;
    let home = &fixture.home;
    let (ada, ben) = (fixture.ada(), fixture.ben());
    fixture.log_in(ADA).await;
    for number in ["+447700900124", "+447700900999"] {
        let wish = Wish::Number(number.into());
        let added = home.add_contact(&ada, NewContact { wish, nickname: None }).await;
        added.unwrap();
    }
    home.underway().idle().await;
    let anew = || {
        let sent = fixture.line.take().into_iter();
        let subscribed = sent.filter_map(|request| {
            let Request::Subscribe(subscribe) = request else {
                return None;
            };
            Some((subscribe.watcher, subscribe.presentities))
        });
        subscribed.collect::<Vec<_>>()
    };
    anew();
    home.remove_account(&ben.number).await.unwrap();
    home.underway().idle().await;
    assert_eq!(
        anew(),
        [(address("wv:+447700900123"), vec![address("wv:+447700900124")])],
        "he left"
    );
    let new = super::account("+447700900999", "nina", "alpha.example");
    home.add_account(new).await.unwrap();
    home.underway().idle().await;
    assert_eq!(
        anew(),
        [(address("wv:+447700900123"), vec![address("wv:+447700900999")])],
        "she came"
    );
    assert_eq!(ada.state().relations.contacts.len(), 2, "the list is hers");
}

/// As an earlier build kept [`PASSWORD`], with 1000 rounds.
fn kept_by_an_earlier_build() -> PasswordHash {
    let salt = [7; 16];
    let mut hash = [0; 32];
    let rounds = NonZeroU32::new(1_000).unwrap();
    let algorithm = ring::pbkdf2::PBKDF2_HMAC_SHA512;
    ring::pbkdf2::derive(algorithm, rounds, &salt, PASSWORD.as_bytes(), &mut hash);
    let row = json!({
        "rounds": rounds,
        "salt": URL_SAFE_NO_PAD.encode(salt),
        "hash": URL_SAFE_NO_PAD.encode(hash),
    });
    serde_json::from_value(row).unwrap()
}

#[tokio::test]
async fn password_of_an_earlier_build_fits_and_is_kept_anew_by_the_login_that_shows_it() {
    let fixture = Fixture::new().await;
    let ada = fixture.ada();
    let old = kept_by_an_earlier_build();
    let changed = fixture
        .home
        .change_account(&ada, |account| account.password = old.clone());
    changed.await.unwrap();
    drop(ada);
    let fixture = fixture.restart().await;
    let wrong = fixture.home.log_in(ADA, "not this one", "").await.unwrap();
    assert!(wrong.is_none());
    assert_eq!(fixture.ada().state().account.password, old);
    fixture.log_in(ADA).await;
    let kept = fixture.ada().state().account.password.clone();
    let usual = fixture.config.limits.password_cost();
    assert_ne!(kept, old);
    assert!(!kept.is_outdated(usual));
    assert!(kept.fits(PASSWORD, usual) && !kept.fits("not this one", usual));
    let fixture = fixture.restart().await;
    fixture.log_in(ADA).await;
    assert_eq!(fixture.ada().state().account.password, kept, "once is enough");
}

#[tokio::test]
async fn password_is_kept_at_the_cost_that_is_set() {
    let dear = |config: &mut HomeConfig| config.limits.password_memory = ByteSize::kib(64);
    let fixture = Fixture::with(dear).await;
    let usual = fixture.config.limits.password_cost();
    assert!(!fixture.ada().state().account.password.is_outdated(usual));
    assert!(
        fixture
            .ada()
            .state()
            .account
            .password
            .is_outdated(PasswordCost::new(16 * 1024, 1)),
        "a changed setting is taken up at the next login"
    );
}

#[tokio::test]
async fn number_that_is_not_known_yet_where_it_moved_to_is_asked_for_again() {
    let fixture = Fixture::new().await;
    let home = &fixture.home;
    let (ada, ben) = (fixture.ada(), fixture.ben());
    fixture.log_in(ADA).await;
    let wish = Wish::Number("+447700900124".into());
    home.add_contact(&ada, NewContact { wish, nickname: None })
        .await
        .unwrap();
    home.underway().idle().await;
    fixture.line.take();
    let sweep = |seconds| {
        fixture.hand.advance(Duration::from_secs(seconds));
        async {
            home.sweep().await;
            home.underway().idle().await;
            fixture.line.names().contains(&"subscribe")
        }
    };
    let unknown = || {
        Err(Refusal::UnknownUser {
            recipient: address("wv:+447700900124"),
        })
    };
    fixture.line.answer(unknown());
    home.remove_account(&ben.number).await.unwrap();
    home.underway().idle().await;
    fixture.line.take();
    fixture.line.answer(unknown());
    assert!(sweep(1).await, "after a second");
    assert!(!sweep(1).await, "then after two");
    assert!(sweep(1).await);
    assert!(!sweep(4).await, "his new operator knows him now");
    assert!(!sweep(3500).await);
}
