//! The file as it is, for moving to or from another engine.

use rusqlite::{Connection, TransactionBehavior, params};

use super::{SqliteStore, codec, codec::item_columns, writer::Job};
use crate::store::{
    ItemId, Place, StoreError,
    copy::{Portable, SpacedRow, WholeItem},
};

#[async_trait::async_trait]
impl Portable for SqliteStore {
    async fn rows_as_they_are(
        &self,
        after: Option<(i64, String)>,
        limit: usize,
    ) -> Result<Vec<SpacedRow>, StoreError> {
        self.read(move |connection| {
            let (space, key) = after.unwrap_or((-1, String::new()));
            let mut statement = connection.prepare_cached(ROWS)?;
            let mut found = statement.query(params![space, key, codec::limit(limit)])?;
            let mut rows = Vec::new();
            while let Some(columns) = found.next()? {
                rows.push((columns.get(4)?, codec::row(columns)?));
            }
            Ok(rows)
        })
        .await
    }

    async fn items_as_they_are(
        &self,
        after: Option<ItemId>,
        limit: usize,
    ) -> Result<Vec<WholeItem>, StoreError> {
        self.read(move |connection| {
            let after = after.map_or(0, codec::key);
            let mut items: Vec<WholeItem> = Vec::new();
            for page in [ITEMS, ARRIVED] {
                let mut statement = connection.prepare_cached(page)?;
                let mut found = statement.query(params![after, codec::limit(limit)])?;
                while let Some(columns) = found.next()? {
                    items.push((codec::item(columns)?, columns.get(14)?));
                }
            }
            items.sort_unstable_by_key(|(item, _)| item.id);
            items.truncate(limit);
            Ok(items)
        })
        .await
    }

    async fn last_id(&self) -> Result<ItemId, StoreError> {
        self.read(|connection| {
            let last = connection.query_row(LAST, [], |columns| columns.get(0))?;
            Ok(codec::id(last))
        })
        .await
    }

    async fn take_in(&self, rows: Vec<SpacedRow>, items: Vec<WholeItem>) -> Result<(), StoreError> {
        self.writer
            .aside(move |connection| {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                rows.iter().try_for_each(|row| put_row(&transaction, row))?;
                items.iter().try_for_each(|item| put_item(&transaction, item))?;
                Ok(transaction.commit()?)
            })
            .await
    }

    async fn finish(&self, last: ItemId) -> Result<(), StoreError> {
        self.writer
            .aside(move |connection| {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                transaction.execute(FRONTS, [])?;
                transaction.execute("DELETE FROM sqlite_sequence WHERE name = 'item'", [])?;
                let last = codec::key(last);
                transaction.execute(
                    "INSERT INTO sqlite_sequence (name, seq) VALUES ('item', ?1)",
                    [last],
                )?;
                Ok(transaction.commit()?)
            })
            .await?;
        self.writer.ask(Job::Recount).await
    }
}

fn put_row(connection: &Connection, (space, row): &SpacedRow) -> Result<(), StoreError> {
    connection.prepare_cached(PUT_ROW)?.execute(params![
        space,
        row.key,
        &row.value[..],
        row.version,
        row.expires.map(codec::ticks)
    ])?;
    Ok(())
}

fn put_item(connection: &Connection, (item, replaces): &WholeItem) -> Result<(), StoreError> {
    let (at, who) = match &item.place {
        Place::Scheduled { due: at } | Place::Awaiting { until: at } => (Some(codec::ticks(*at)), None),
        Place::Leased { to, until } => (Some(codec::ticks(*until)), Some(&to.0)),
        Place::Held { by: who } | Place::Dead { reason: who } => (None, Some(who)),
    };
    connection.prepare_cached(PUT_ITEM)?.execute(params![
        codec::key(item.id),
        item.lane.queue,
        item.lane.conversation,
        item.priority as i64,
        codec::place_number(item.place.name()),
        at,
        who,
        codec::ticks(item.created),
        codec::ticks(item.expires),
        item.attempts,
        item.unanswered,
        item.last_failure,
        replaces,
    ])?;
    let labels = codec::labels_column(&item.labels)?;
    connection
        .prepare_cached("INSERT INTO content (id, labels, body) VALUES (?1, ?2, ?3)")?
        .execute(params![codec::key(item.id), labels, &item.body[..]])?;
    for label in &item.labels {
        connection
            .prepare_cached("INSERT OR IGNORE INTO label (label, item) VALUES (?1, ?2)")?
            .execute(params![label, codec::key(item.id)])?;
    }
    Ok(())
}

const ROWS: &str = "
SELECT key, value, version, expires, space FROM fact WHERE (space, key) > (?1, ?2) ORDER BY space, key LIMIT ?3";

const ITEMS: &str = concat!(
    "SELECT ",
    item_columns!(),
    ", replaces FROM item CROSS JOIN content ON content.id = item.id WHERE item.id > ?1 ORDER BY item.id LIMIT ?2"
);

const ARRIVED: &str = concat!(
    "SELECT ",
    item_columns!(),
    ", NULL FROM intake AS item WHERE id > ?1 ORDER BY id LIMIT ?2"
);

/// The greatest that was ever given, or a little more.
const LAST: &str = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'item'), 0)";

const PUT_ROW: &str = "INSERT INTO fact (space, key, value, version, expires) VALUES (?1, ?2, ?3, ?4, ?5)";

const PUT_ITEM: &str = "
INSERT INTO item (id, queue, conversation, priority, place, front, at, who, created, expires, attempts, unanswered, last_failure, replaces)
VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

/// The one under way, else the oldest living one of each lane.
const FRONTS: &str = "
UPDATE item SET front = 1 WHERE id IN (
    SELECT id FROM (
        SELECT id, row_number() OVER (PARTITION BY queue, conversation ORDER BY place IN (1, 2) DESC, id) AS turn
        FROM item WHERE place <> 4
    ) WHERE turn = 1
)";
