//! Is the store sound? What the statements of the outbox keep true is counted where it is not.

use deadpool_postgres::Object;

use super::{
    error::Failed,
    pipe::{rows, step},
};
use crate::store::Checked;

/// Reads the whole store in one snapshot.
///
/// # Errors
/// When the engine fails. Damage is a finding and not an error.
pub(super) async fn check(connection: &Object) -> Result<Checked, Failed> {
    // Every statement sees the same moment, while nodes go on.
    connection
        .batch_execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?;
    let mut checked = Checked {
        rows: count(connection, "SELECT count(*) FROM fact").await?,
        items: count(connection, "SELECT count(*) FROM item").await?,
        faults: Vec::new(),
    };
    for (rule, sql) in RULES {
        let broken = count(connection, sql).await?;
        if broken > 0 {
            checked.faults.push(format!("{broken} times broken: {rule}"));
        }
    }
    connection.batch_execute("COMMIT").await?;
    Ok(checked)
}

async fn count(connection: &Object, sql: &'static str) -> Result<u64, Failed> {
    let found = rows(connection, step!(sql)).await?;
    let count: i64 = match found.first() {
        Some(columns) => columns.try_get(0)?,
        None => 0,
    };
    Ok(count.unsigned_abs())
}

const RULES: &[(&str, &str)] = &[
    (
        "a lane with living items has a head",
        "SELECT count(*) FROM (SELECT DISTINCT queue, conversation FROM item WHERE place <> 4) AS living
         WHERE NOT EXISTS (SELECT 1 FROM lane WHERE lane.queue = living.queue AND lane.conversation = living.conversation)",
    ),
    (
        "the head of a lane lives in it",
        "SELECT count(*) FROM lane WHERE NOT EXISTS (SELECT 1 FROM item WHERE item.id = lane.head
         AND item.queue = lane.queue AND item.conversation = lane.conversation AND item.place <> 4)",
    ),
    (
        "a lane has the urgency and the time of its head",
        "SELECT count(*) FROM lane JOIN item ON item.id = lane.head
         WHERE lane.priority <> item.priority OR lane.at IS DISTINCT FROM item.at",
    ),
    (
        "what is under way is the head",
        "SELECT count(*) FROM item WHERE place IN (1, 2) AND NOT EXISTS (SELECT 1 FROM lane WHERE lane.head = item.id
         AND lane.queue = item.queue AND lane.conversation = item.conversation)",
    ),
    (
        "an item has a time unless it is held or dead",
        "SELECT count(*) FROM item WHERE (at IS NULL) <> (place IN (3, 4))",
    ),
    (
        "a label names an item",
        "SELECT count(*) FROM label WHERE NOT EXISTS (SELECT 1 FROM item WHERE item.id = label.item)",
    ),
];
