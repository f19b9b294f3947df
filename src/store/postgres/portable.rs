//! The tables as they are, for moving to or from another engine.

use super::{
    PostgresStore, codec,
    codec::item_columns,
    error::Failed,
    pipe::{Step, rows, send, step},
};
use crate::store::{
    ItemId, Place, StoreError,
    copy::{Portable, SpacedRow, WholeItem},
};

#[async_trait::async_trait]
impl Portable for PostgresStore {
    async fn rows_as_they_are(
        &self,
        after: Option<(i64, String)>,
        limit: usize,
    ) -> Result<Vec<SpacedRow>, StoreError> {
        let (space, key) = after.unwrap_or((-1, String::new()));
        let space = i16::try_from(space).unwrap_or(i16::MAX);
        self.connections
            .run(move |connection| {
                let asked = step!(ROWS, space, key.clone(), codec::limit(limit));
                async move {
                    let row = |columns: &tokio_postgres::Row| -> Result<SpacedRow, Failed> {
                        let space: i16 = columns.try_get(4)?;
                        Ok((space.into(), codec::row(columns)?))
                    };
                    rows(&connection, asked).await?.iter().map(row).collect()
                }
            })
            .await
    }

    async fn items_as_they_are(
        &self,
        after: Option<ItemId>,
        limit: usize,
    ) -> Result<Vec<WholeItem>, StoreError> {
        self.connections
            .run(move |connection| async move {
                let asked = step!(ITEMS, after.map_or(0, codec::key), codec::limit(limit));
                let item = |columns: &tokio_postgres::Row| Ok((codec::item(columns)?, columns.try_get(14)?));
                rows(&connection, asked).await?.iter().map(item).collect()
            })
            .await
    }

    async fn last_id(&self) -> Result<ItemId, StoreError> {
        self.connections
            .run(|connection| async move {
                let found = rows(&connection, step!(LAST)).await?;
                let last: i64 = match found.first() {
                    Some(columns) => columns.try_get(0)?,
                    None => 0,
                };
                Ok(codec::id(last))
            })
            .await
    }

    async fn take_in(&self, rows: Vec<SpacedRow>, items: Vec<WholeItem>) -> Result<(), StoreError> {
        self.connections
            .run(move |connection| {
                let mut steps = vec![step!("BEGIN"), put_rows(&rows)];
                for item in &items {
                    steps.extend(put_item(item));
                }
                async move {
                    send(&connection, &steps).await?;
                    send(&connection, &[step!("COMMIT")]).await?;
                    Ok(())
                }
            })
            .await
    }

    async fn finish(&self, last: ItemId) -> Result<(), StoreError> {
        self.connections
            .run(move |connection| async move {
                let next = codec::key(last).saturating_add(1);
                let steps = [step!("BEGIN"), step!(LANES), step!(NEXT, next), step!("COMMIT")];
                send(&connection, &steps).await?;
                Ok(())
            })
            .await
    }
}

fn put_rows(rows: &[SpacedRow]) -> Step {
    let space = |space: i64| i16::try_from(space).unwrap_or(i16::MAX);
    let spaces: Vec<_> = rows.iter().map(|(number, _)| space(*number)).collect();
    let keys: Vec<_> = rows.iter().map(|(_, row)| row.key.clone()).collect();
    let values: Vec<_> = rows.iter().map(|(_, row)| row.value.to_vec()).collect();
    let version = |version: u64| i64::try_from(version).unwrap_or(i64::MAX);
    let versions: Vec<_> = rows.iter().map(|(_, row)| version(row.version)).collect();
    let expires: Vec<_> = rows
        .iter()
        .map(|(_, row)| row.expires.map(codec::ticks))
        .collect();
    step!(PUT_ROWS, spaces, keys, values, versions, expires)
}

fn put_item((item, replaces): &WholeItem) -> [Step; 2] {
    let (at, who) = match &item.place {
        Place::Scheduled { due: at } | Place::Awaiting { until: at } => (Some(codec::ticks(*at)), None),
        Place::Leased { to, until } => (Some(codec::ticks(*until)), Some(to.0.clone())),
        Place::Held { by: who } | Place::Dead { reason: who } => (None, Some(who.clone())),
    };
    let put = step!(
        PUT_ITEM,
        codec::key(item.id),
        item.lane.queue.clone(),
        item.lane.conversation.clone(),
        codec::priority_column(item.priority),
        codec::place_column(item.place.name()),
        at,
        who,
        codec::ticks(item.created),
        codec::ticks(item.expires),
        i32::try_from(item.attempts).unwrap_or(i32::MAX),
        item.unanswered,
        item.last_failure.clone(),
        replaces.clone(),
        item.labels.clone(),
        item.body.to_vec(),
    );
    [put, step!(PUT_LABELS, item.labels.clone(), codec::key(item.id))]
}

const ROWS: &str = "
SELECT key, value, version, expires, space FROM fact WHERE (space, key) > ($1, $2) ORDER BY space, key LIMIT $3";

const ITEMS: &str = concat!(
    "SELECT ",
    item_columns!(),
    ", item.replaces FROM item WHERE item.id > $1 ORDER BY item.id LIMIT $2"
);

/// The greatest that was ever given.
const LAST: &str = "SELECT last_value FROM item_id";

const PUT_ROWS: &str = "
INSERT INTO fact (space, key, value, version, expires)
SELECT * FROM unnest($1::SMALLINT[], $2::TEXT[], $3::BYTEA[], $4::BIGINT[], $5::BIGINT[])";

const PUT_ITEM: &str = "
INSERT INTO item (id, queue, conversation, priority, place, at, who, created, expires, attempts, unanswered, last_failure,
    replaces, labels, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";

const PUT_LABELS: &str = "
INSERT INTO label (label, item) SELECT DISTINCT word.label, $2::BIGINT FROM unnest($1::TEXT[]) AS word (label)";

/// The one under way, else the oldest living one of each lane.
const LANES: &str = "
INSERT INTO lane (queue, conversation, head, priority, at)
SELECT DISTINCT ON (queue, conversation) queue, conversation, id, priority, at FROM item WHERE place <> 4
ORDER BY queue, conversation, place IN (1, 2) DESC, id";

const NEXT: &str = "SELECT setval('item_id', $1, FALSE)";
