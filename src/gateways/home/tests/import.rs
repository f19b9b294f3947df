//! Accounts in bulk.

use super::{super::ImportError, Fixture, account};
use crate::gateways::home::NewAccount;

fn rows(count: usize) -> Vec<NewAccount> {
    let row = |n| NewAccount {
        password: String::new(),
        ..account(&format!("+44770080{n:04}"), &format!("user{n}"), "alpha.example")
    };
    (0..count).map(row).collect()
}

fn reasons(result: Result<Vec<super::super::Imported>, ImportError>) -> Vec<(usize, String)> {
    match result {
        Err(ImportError::Rows(rows)) => rows.into_iter().map(|bad| (bad.row, bad.reason)).collect(),
        Err(ImportError::Home(error)) => panic!("{error}"),
        Ok(made) => panic!("{} accounts were made", made.len()),
    }
}

#[tokio::test]
async fn all_are_made_and_log_in_with_what_was_drawn_or_brought() {
    let fixture = Fixture::new().await;
    let mut wanted = rows(2_000);
    wanted[7].password = "brought along".into();
    let made = fixture.home.import_accounts(wanted).await.unwrap();
    assert_eq!(made.len(), 2_000);
    assert_eq!(made[7].password, None);
    let drawn = made[1_999].password.clone().unwrap();
    let fixture = fixture.restart().await;
    for (user, password) in [
        ("+447700800007", "brought along"),
        ("user1999@alpha.example", drawn.as_str()),
    ] {
        let right = fixture.home.log_in(user, password, "").await.unwrap();
        assert!(right.is_some(), "{user}");
        let wrong = fixture.home.log_in(user, "something else", "").await.unwrap();
        assert!(wrong.is_none(), "{user}");
    }
}

#[tokio::test]
async fn bad_row_is_named_and_nothing_is_made() {
    let fixture = Fixture::new().await;
    let mut wanted = rows(10);
    wanted[2].number = "+447700900123".parse().unwrap();
    wanted[3].user = "user4".into();
    wanted[5].number = wanted[6].number.clone();
    wanted[7].user = "no@name".into();
    wanted[8].password = "short".into();
    wanted[9].domain = Some("elsewhere.example".parse().unwrap());
    let reasons = reasons(fixture.home.import_accounts(wanted).await);
    let places: Vec<usize> = reasons.iter().map(|(row, _)| *row).collect();
    assert_eq!(places, [2, 4, 6, 7, 8, 9], "{reasons:?}");
    assert!(reasons[0].1.contains("has an account"), "{reasons:?}");
    assert!(reasons[1].1.contains("user4"), "{reasons:?}");
    assert!(reasons[2].1.contains("row 5"), "{reasons:?}");
    assert_eq!(fixture.home.accounts_after("44770080", None, 10).len(), 0);
    fixture.home.import_accounts(rows(10)).await.unwrap();
}

#[tokio::test]
async fn accounts_are_listed_by_number_page_by_page() {
    let fixture = Fixture::new().await;
    fixture.home.import_accounts(rows(25)).await.unwrap();
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = fixture.home.accounts_after("44770080", after.as_ref(), 10);
        let Some(last) = page.last() else { break };
        after = Some(last.account.number.clone());
        seen.extend(page.into_iter().map(|one| one.account.number.to_string()));
    }
    let wanted: Vec<String> = (0..25).map(|n| format!("+44770080{n:04}")).collect();
    assert_eq!(seen, wanted);
}
