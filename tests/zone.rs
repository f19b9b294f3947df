//! The zone server over real sockets, the bundled zones and their table, and the validator's findings.

#[cfg(test)]
mod bundled;
#[cfg(test)]
mod checked;
#[cfg(test)]
mod client;
#[cfg(test)]
mod reloaded;
#[cfg(test)]
mod served;
