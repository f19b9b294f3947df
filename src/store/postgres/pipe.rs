//! Statements that are sent one after the other without waiting, and answered together: one round trip for all of them.

use deadpool_postgres::Object;
use futures_util::future::join_all;
use tokio_postgres::{Row, Statement, types::ToSql};

use super::error::Failed;

/// A parameter that a statement owns until it is sent.
pub(super) type Value = Box<dyn ToSql + Sync + Send>;

/// A statement with its parameters.
pub(super) struct Step {
    sql: &'static str,
    values: Vec<Value>,
}

/// A statement with its parameters, which are moved into it.
macro_rules! step {
    ($sql:expr $(, $value:expr)* $(,)?) => {
        $crate::store::postgres::pipe::Step::new($sql, vec![$(Box::new($value)),*])
    };
}
pub(super) use step;

impl Step {
    /// See [`step!`].
    pub(super) fn new(sql: &'static str, values: Vec<Value>) -> Self {
        Self { sql, values }
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value as _).collect()
    }
}

/// Sends all statements at once; how many rows each found or changed, in their order.
///
/// # Errors
/// The first failure; the database passes over what follows it in the same transaction.
pub(super) async fn send(connection: &Object, steps: &[Step]) -> Result<Vec<u64>, Failed> {
    let mut counts = Vec::with_capacity(steps.len());
    for some in steps.chunks(AT_ONCE) {
        let statements = prepared(connection, some).await?;
        // Futures of this length are polled, and so sent, in their order.
        let sent = some.iter().zip(&statements).map(|(step, statement)| {
            let parameters = step.parameters();
            async move { connection.execute(statement, &parameters).await }
        });
        for count in join_all(sent).await {
            counts.push(count?);
        }
    }
    Ok(counts)
}

/// As [`send`], for the rows that each statement finds.
///
/// # Errors
/// As there.
pub(super) async fn ask(connection: &Object, steps: &[Step]) -> Result<Vec<Vec<Row>>, Failed> {
    let mut answers = Vec::with_capacity(steps.len());
    for some in steps.chunks(AT_ONCE) {
        let statements = prepared(connection, some).await?;
        let sent = some.iter().zip(&statements).map(|(step, statement)| {
            let parameters = step.parameters();
            async move { connection.query(statement, &parameters).await }
        });
        for rows in join_all(sent).await {
            answers.push(rows?);
        }
    }
    Ok(answers)
}

/// One statement and its rows.
///
/// # Errors
/// When the engine fails.
pub(super) async fn rows(connection: &Object, step: Step) -> Result<Vec<Row>, Failed> {
    Ok(ask(connection, &[step]).await?.pop().unwrap_or_default())
}

/// Prepared by this connection before, but the first time.
async fn prepared(connection: &Object, steps: &[Step]) -> Result<Vec<Statement>, Failed> {
    let mut statements = Vec::with_capacity(steps.len());
    for step in steps {
        statements.push(connection.prepare_cached(step.sql).await?);
    }
    Ok(statements)
}

/// Statements on their way at a time.
const AT_ONCE: usize = 24;
