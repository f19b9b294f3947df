//! Moving a store from one engine to another: everything as it is, identities, versions and places included.

use super::{ItemId, OutboxItem, Row, StoreError};

/// A row with the number of its space.
pub type SpacedRow = (i64, Row);

/// An item with the key under which newer ones replace it.
pub type WholeItem = (OutboxItem, Option<String>);

/// An engine that can be read and filled as it is.
#[async_trait::async_trait]
pub trait Portable: Send + Sync {
    /// Rows after this one, expired ones too, in the order of space and key.
    ///
    /// # Errors
    /// When the engine fails.
    async fn rows_as_they_are(
        &self,
        after: Option<(i64, String)>,
        limit: usize,
    ) -> Result<Vec<SpacedRow>, StoreError>;

    /// Items after this one, in the order of their identities.
    ///
    /// # Errors
    /// When the engine fails.
    async fn items_as_they_are(
        &self,
        after: Option<ItemId>,
        limit: usize,
    ) -> Result<Vec<WholeItem>, StoreError>;

    /// The last identity that was given to an item.
    ///
    /// # Errors
    /// When the engine fails.
    async fn last_id(&self) -> Result<ItemId, StoreError>;

    /// Takes rows and items in as they are, all or none of them. The store works only after [`Portable::finish`].
    ///
    /// # Errors
    /// When the engine fails, or something of it is there already.
    async fn take_in(&self, rows: Vec<SpacedRow>, items: Vec<WholeItem>) -> Result<(), StoreError>;

    /// Orders the lanes of what was taken in; new items get identities after this one.
    ///
    /// # Errors
    /// When the engine fails.
    async fn finish(&self, last: ItemId) -> Result<(), StoreError>;
}

/// What was copied.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Copied {
    /// Rows.
    pub rows: u64,
    /// Items.
    pub items: u64,
}

/// Copies a store that nobody uses into an empty one.
///
/// # Errors
/// [`StoreError::Engine`] when the other one is not empty; when an engine fails. What was copied until then stays, so that the
/// other one is not empty any more.
pub async fn copy(from: &dyn Portable, to: &dyn Portable) -> Result<Copied, StoreError> {
    let rows = to.rows_as_they_are(None, 1).await?;
    let items = to.items_as_they_are(None, 1).await?;
    if !rows.is_empty() || !items.is_empty() {
        return Err(StoreError::Engine {
            reason: "there is something in it already; copy into a store that no gateway has used".to_owned(),
        });
    }
    let mut copied = Copied::default();
    let mut after = None;
    loop {
        let page = from.rows_as_they_are(after, PAGE).await?;
        let Some((space, last)) = page.last() else {
            break;
        };
        after = Some((*space, last.key.clone()));
        copied.rows += page.len() as u64;
        to.take_in(page, Vec::new()).await?;
    }
    let mut after = None;
    loop {
        let page = from.items_as_they_are(after, PAGE).await?;
        let Some((last, _)) = page.last() else {
            break;
        };
        after = Some(last.id);
        copied.items += page.len() as u64;
        to.take_in(Vec::new(), page).await?;
    }
    to.finish(from.last_id().await?).await?;
    Ok(copied)
}

/// Rows or items at a time.
const PAGE: usize = 500;
